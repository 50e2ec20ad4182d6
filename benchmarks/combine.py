"""Time the combination of soft targets against other ways to it, and against passes over the same table.

python -m benchmarks.combine [--rows 100000]

The yardstick is one `torch.softmax` over the (rows, classes) table into memory already touched: about what any
method that reads the table once and writes it once must take. All medians of a line come from alternating calls.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from benchmarks.harness import print_table, write
from specialists.combine import Combination, combine_rows

ACTIVE = 4
SAMPLE = 1_000  # rows for Adam
FEW = 5  # rows for scipy
ACCURACY = 1e-6


@dataclass(frozen=True)
class Problem:
    """Softmaxes of Gaussian logits, with so many specialists active on each row, drawn at random."""

    logits: Tensor
    rows: list[Tensor]
    probs: list[Tensor]
    subsets: list[Tensor]

    def combine(self, out: Tensor, divergence: str = "forward") -> Combination:
        """Replace the generalist's probabilities in `out` by soft targets."""
        return combine_rows(out, self.rows, self.probs, self.subsets, divergence=divergence, out=out)

    def dense(self, n_rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """The first rows as a_i (rows, classes), d_m (rows, specialists), 0 if inactive, and who is outside whom."""
        weights = self.logits[:n_rows].double().softmax(1)
        dustbins = torch.zeros(n_rows, len(self.rows), dtype=torch.float64)
        outside = torch.ones(len(self.rows), weights.shape[1], dtype=torch.float64)
        for m, (rows, probs, subset) in enumerate(zip(self.rows, self.probs, self.subsets, strict=True)):
            index = rows[rows < n_rows]
            here = probs[: len(index)].double()
            here /= here.sum(1, keepdim=True)
            weights[index[:, None], subset[None]] += here[:, :-1]
            dustbins[index, m] = here[:, -1]
            outside[m, subset] = 0.0
        return weights, dustbins, outside


def draw(
    n_rows: int, n_classes: int, n_specialists: int, subset_size: int, scale: float, n_sets: int | None = None
) -> Problem:
    """Draw a problem; with `n_sets`, rows share so few sets of active specialists, as those of real classes do."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n_rows, n_classes, generator=generator).mul_(scale)
    picks = torch.rand(n_sets or n_rows, n_specialists, generator=generator).argsort(1)[:, :ACTIVE]
    if n_sets is not None:
        picks = picks[torch.randint(n_sets, (n_rows,), generator=generator)]
    active = torch.zeros(n_rows, n_specialists, dtype=torch.bool).scatter_(1, picks, value=True)
    rows = [active[:, m].nonzero().squeeze(1) for m in range(n_specialists)]
    subsets = [torch.randperm(n_classes, generator=generator)[:subset_size] for _ in rows]
    probs = [torch.randn(len(r), subset_size + 1, generator=generator).mul_(scale).softmax(1) for r in rows]
    return Problem(logits, rows, probs, subsets)


def measure(problem: Problem, divergence: str = "forward") -> dict[str, float]:
    """Return seconds of a softmax over the table and of the combination, and what came of it.

    The soft targets replace the generalist's probabilities, which the softmax before has put there.
    """
    out = torch.empty_like(problem.logits)
    torch.softmax(problem.logits, 1, out=out)
    start_over()
    before = resident()
    result = problem.combine(out, divergence)
    extra = resident() - before
    seconds: dict[str, list[float]] = {"softmax": [], "combine": []}
    for _ in range(5):
        seconds["softmax"].append(timed(lambda: torch.softmax(problem.logits, 1, out=out)))
        seconds["combine"].append(timed(lambda: problem.combine(out, divergence)))
    softmax, combine = median(seconds["softmax"]), median(seconds["combine"])
    return {
        "rows": len(out),
        "softmax_seconds": softmax,
        "combine_seconds": combine,
        "passes": combine / softmax,
        "newton_steps": result.iterations.double().mean().item(),
        "residual": result.residual.max().item(),
        "extra_memory_share": extra / (out.numel() * out.element_size()),
    }


def measure_on_gpu(problem: Problem) -> dict[str, Any]:
    """Return what `measure` does for tables that lie on a GPU, and how it uses the memory's speed.

    The arithmetic is the CPU's, so tables go there and back block by block. Counted are the bytes of the table, read
    once and written once, and those of the specialists' tables, read once.
    """
    device = torch.device("cuda")
    there = Problem(
        problem.logits.to(device),
        [rows.to(device) for rows in problem.rows],
        [probs.to(device) for probs in problem.probs],
        [subset.to(device) for subset in problem.subsets],
    )
    out, other = torch.empty_like(there.logits), torch.empty_like(there.logits)
    n_bytes = 2 * out.nbytes + sum(probs.nbytes for probs in there.probs)
    seconds: dict[str, list[float]] = {"copy": [], "softmax": [], "combine": []}
    for _ in range(6):
        seconds["copy"].append(timed(lambda: other.copy_(there.logits)))
        seconds["softmax"].append(timed(lambda: torch.softmax(there.logits, 1, out=out)))
        seconds["combine"].append(timed(lambda: there.combine(out)))
    copy, softmax, combine = (median(values[1:]) for values in seconds.values())  # the first one warms up
    result = there.combine(torch.softmax(there.logits, 1, out=out))
    return {
        "device": torch.cuda.get_device_name(),
        "rows": len(out),
        "softmax_seconds": softmax,
        "combine_seconds": combine,
        "passes": combine / softmax,
        "bytes_per_second": n_bytes / combine,
        "copy_bytes_per_second": 2 * out.nbytes / copy,
        "newton_steps": result.iterations.double().mean().item(),
        "residual": result.residual.max().item(),
    }


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def start_over() -> None:
    """Forget the process's peak of memory."""
    Path("/proc/self/clear_refs").write_text("5")


def resident() -> int:
    """The process's peak of resident memory in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def adam(problem: Problem, steps: int = 3_000) -> dict[str, float]:
    """Minimise by gradient descent on logits, as the paper says, until all rows of a sample are accurate."""
    weights, dustbins, outside = (values.float() for values in problem.dense(SAMPLE))
    total = 1.0 + ACTIVE
    logits = problem.logits[:SAMPLE].clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-4)
    start = time.perf_counter()
    taken, steepest = 0, np.inf
    while taken < steps and steepest > ACCURACY * total:
        optimiser.zero_grad()
        log_q = logits.log_softmax(1)
        loss = -(weights * log_q).sum() - (dustbins * (log_q.exp() @ outside.T).log()).sum()
        loss.backward()
        optimiser.step()
        schedule.step()
        assert logits.grad is not None
        steepest = logits.grad.abs().max().item()
        taken += 1
    seconds = time.perf_counter() - start
    return {
        "rows": SAMPLE,
        "seconds_per_row": seconds / SAMPLE,
        "steps": taken,
        "residual": residual(logits.detach().double().softmax(1), *problem.dense(SAMPLE)),
    }


def scipy_rows(problem: Problem) -> dict[str, float]:
    """Minimise row by row with L-BFGS on logits."""
    weights, dustbins, outside = (values.numpy() for values in problem.dense(FEW))
    start = time.perf_counter()
    found = [row_by_lbfgs(weights[b], dustbins[b], outside, problem.logits[b].double().numpy()) for b in range(FEW)]
    seconds = time.perf_counter() - start
    q = torch.from_numpy(np.stack(found)).softmax(1)
    return {"rows": FEW, "seconds_per_row": seconds / FEW, "residual": residual(q, *problem.dense(FEW))}


def row_by_lbfgs(weights: Any, dustbins: Any, outside: Any, start: Any) -> Any:
    def objective(logits: Any) -> tuple[float, Any]:
        logits = logits - logits.max()
        q = np.exp(logits) / np.exp(logits).sum()
        bins = outside @ q
        value = -(weights * np.log(q)).sum() - (dustbins * np.log(bins)).sum()
        pull = q * ((dustbins / bins) @ outside)
        return value, q * (1.0 + ACTIVE) - weights - pull

    return minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"gtol": ACCURACY, "ftol": 0.0, "maxiter": 5_000}
    ).x


def residual(q: Tensor, weights: Tensor, dustbins: Tensor, outside: Tensor) -> float:
    """The certificate: the largest |q_i - a_i / lambda - q_i sum of d_m / (lambda Q_m)|."""
    pull = q * ((dustbins / (q @ outside.T)) @ outside)
    return float((q - (weights + pull) / (1.0 + ACTIVE)).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--name", default="combine")
    options = parser.parse_args()
    n_rows = options.rows
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "dtype": "float32", "active": ACTIVE}
    draw(64, 100, 4, 10, 1.0).combine(torch.full((64, 100), 0.01))  # compiles
    for scale in (1.0, 4.0, 8.0):
        problem = draw(n_rows, 1_000, 20, 50, scale)
        figures[f"1000 classes, scale {scale:g}"] = measure(problem)
        if scale == 4.0:
            figures["1000 classes, scale 4, 50 sets"] = measure(draw(n_rows, 1_000, 20, 50, scale, n_sets=50))
            draw(64, 100, 4, 10, 1.0).combine(torch.full((64, 100), 0.01), "reverse")
            figures["1000 classes, scale 4, reverse"] = measure(problem, "reverse")
            if torch.cuda.is_available():
                figures["1000 classes, scale 4, on a GPU"] = measure_on_gpu(problem)
            figures["adam, scale 4"], figures["scipy, scale 4"] = adam(problem), scipy_rows(problem)
    figures["15000 classes, scale 4"] = measure(draw(max(1, n_rows // 20), 15_000, 61, 300, 4.0))
    show(figures)
    write(options.name, figures)


def show(figures: dict[str, Any]) -> None:
    table = [["", "us a row", "softmax passes", "hours for 10^8 rows", "largest residual", "extra memory"]]
    for name, seen in figures.items():
        if not isinstance(seen, dict):
            continue
        seconds = seen.get("seconds_per_row") or seen["combine_seconds"] / seen["rows"]
        passes = f"{seen['passes']:.1f}" if "passes" in seen else "-"
        extra = f"{100 * seen['extra_memory_share']:.1f} %" if "extra_memory_share" in seen else "-"
        hours = seconds * 1e8 / 3600
        table.append([name, f"{seconds * 1e6:.3g}", passes, f"{hours:.3g}", f"{seen['residual']:.1e}", extra])
    print_table(table)
    for name, seen in figures.items():
        if isinstance(seen, dict) and "bytes_per_second" in seen:
            used, copied = seen["bytes_per_second"] / 1e9, seen["copy_bytes_per_second"] / 1e9
            print(f"{name}, {seen['device']}: {used:.1f} GB/s, where a copy moves {copied:.0f} GB/s")


if __name__ == "__main__":
    main()

"""Time the combination against passes of softmax over the same table; print a table and write JSON.

python -m benchmarks.combine [--rows 100000] [--classes 1000] [--json FILE]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from specialists.combine import combine_rows

N_SPECIALISTS = 20
SUBSET_SIZE = 50
ACTIVE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = [measure(arguments.rows, arguments.classes, scale) for scale in (1.0, 4.0, 8.0)]
    print(f"{'logit scale':>12} {'softmax s':>10} {'combine s':>10} {'passes':>7} {'Newton steps':>13} {'residual':>9}")
    for row in results:
        print("{scale:12} {softmax:10.3f} {combine:10.3f} {passes:7.2f} {steps:13.2f} {residual:9.1e}".format(**row))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(n_rows: int, n_classes: int, scale: float) -> dict[str, float]:
    """Return seconds for one softmax and one combination of the same float32 table, best of several."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n_rows, n_classes, generator=generator).mul_(scale)
    out = torch.empty_like(logits)
    softmax = best_of(7, lambda: torch.softmax(logits, 1, out=out))
    generalist = logits.softmax(1)
    picks = torch.rand(n_rows, N_SPECIALISTS, generator=generator).argsort(1)[:, :ACTIVE]
    active = torch.zeros(n_rows, N_SPECIALISTS, dtype=torch.bool).scatter_(1, picks, value=True)
    rows = [active[:, m].nonzero().squeeze(1) for m in range(N_SPECIALISTS)]
    subsets = [torch.randperm(n_classes, generator=generator)[:SUBSET_SIZE] for _ in rows]
    probs = [torch.randn(len(r), SUBSET_SIZE + 1, generator=generator).mul_(scale).softmax(1) for r in rows]
    result = combine_rows(generalist, rows, probs, subsets, out=out)
    combine = best_of(5, lambda: combine_rows(generalist, rows, probs, subsets, out=out))
    return {
        "scale": scale,
        "threads": torch.get_num_threads(),
        "softmax": softmax,
        "combine": combine,
        "passes": combine / softmax,
        "steps": result.iterations.double().mean().item(),
        "residual": result.residual.max().item(),
    }


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Return the fewest seconds that a call took."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()

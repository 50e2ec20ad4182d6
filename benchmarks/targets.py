"""Time a soft-target table beside a plain np.memmap, and measure what each encoding costs and loses.

python -m benchmarks.targets [--rows 200000] [--classes 1000] [--folder FOLDER]

Both hold the same fp16 logits and are measured in turn, warm: what is reported is the median of five, and ratios. Both
read the same rows in the same order, and give them in the same form. The files, twice the size of the table, lie in a
temporary folder.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import harness
from pipeline.stage import Artifact
from pipeline.store import Store
from stages import tables, tasks
from stages.soft_targets import SoftTargets, encoding

REPEATS = 5
BATCH = 256
N_RANDOM_BATCHES = 400
RUN = "benchmark"
TEMPERATURES = (1.0, 4.0, 20.0)
SCALES = (4.0, 8.0)

Table = dict[str, NDArray[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(own_memory(arguments.memory_of))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        speed = measure_speed(Path(folder), arguments.rows, arguments.classes)
    print_speed(speed)
    errors = [measured for scale in SCALES for measured in measure_encodings(scale, arguments.classes)]
    print_errors(errors)
    harness.write("targets", {"speed": speed, "encodings": errors})


def measure_speed(folder: Path, n_rows: int, n_classes: int) -> dict[str, Any]:
    """Return rows or bytes a second of both, their ratio, and what opening the table costs once."""
    shards = [table_of(stop - start, n_classes, start) for start, stop in tasks.shards_of(n_rows, n_classes)]
    n_bytes = n_rows * n_classes * 2
    places = folder / "table", folder / "plain.fp16"
    cores = len(os.sched_getaffinity(0))
    writing = {
        n_writers: alternate(
            partial(write_table, places[0], shards, n_classes, n_writers), partial(write_memmap, places[1], shards)
        )
        for n_writers in sorted({1, cores})
    }
    started = time.perf_counter()
    targets = SoftTargets.open(str(places[0]), RUN)
    for part in range(len(shards)):
        targets.logits(sum(len(shard["logits"]) for shard in shards[:part]))
    verified = time.perf_counter() - started
    plain = np.memmap(places[1], dtype=np.float16, mode="r", shape=(n_rows, n_classes))
    return {
        "rows": n_rows,
        "classes": n_classes,
        **{f"write, {n} at a time, MB/s": ratio(seconds, n_bytes / 1e6) for n, seconds in writing.items()},
        **{name: ratio(seconds, amount) for name, (seconds, amount) in measure_reading(targets, plain).items()},
        "seconds to open and verify, once": verified,
        "own memory, MiB": memory_in_a_process_of_its_own(places[0]),
    }


def measure_reading(targets: SoftTargets, plain: NDArray[np.float16]) -> dict[str, tuple[tuple[float, float], int]]:
    """Return by name the seconds of both for the same rows in the same order and form, and how many rows that is."""
    n_rows, n_classes = plain.shape
    shards = [np.arange(start, stop) for start, stop in tasks.shards_of(n_rows, n_classes)]
    drawn = np.random.default_rng(1).integers(0, n_rows, (N_RANDOM_BATCHES, BATCH))
    orders: dict[str, tuple[Callable[[], Iterable[NDArray[np.int64]]], int]] = {
        "shuffled shards": (lambda: targets.batches(BATCH, seed=1), n_rows),
        "random batches": (lambda: drawn, drawn.size),
    }

    def floats(rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(plain[rows]).float()

    forms: dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]] = {
        "fp16 as kept": (targets.kept, plain.__getitem__),
        "float32 logits": (targets.logits, floats),
        "log-probabilities": (targets.log_probs, lambda rows: floats(rows).log_softmax(dim=1)),
    }
    found = {
        f"{order}, {form}, rows/s": (alternate(partial(each, ours, rows), partial(each, theirs, rows)), amount)
        for order, (rows, amount) in orders.items()
        for form, (ours, theirs) in forms.items()
    }
    order = np.random.default_rng(1).permutation(len(shards))
    whole = [shards[shard] for shard in order]
    slices = [slice(rows[0], rows[-1] + 1) for rows in whole]
    copied = alternate(
        partial(each, targets.kept, lambda: whole), partial(each, lambda rows: np.array(plain[rows]), lambda: slices)
    )
    return {"whole shards in random order, fp16 as kept, rows/s": (copied, n_rows), **found}


def table_of(n_rows: int, n_classes: int, seed: int) -> Table:
    """Return the arrays of a shard of random logits."""
    logits = np.random.default_rng(seed).standard_normal((n_rows, n_classes), dtype=np.float32).astype(np.float16)
    return {"logits": logits, "maximum": np.zeros(n_rows, np.float32), "logsumexp": np.zeros(n_rows, np.float32)}


def write_table(folder: Path, shards: list[Table], n_classes: int, n_writers: int) -> None:
    """Keep shards in a store of their own, as a run's tasks do, with digests and everything synced."""
    shutil.rmtree(folder, ignore_errors=True)
    store = Store.open(str(folder))
    n_rows = sum(len(shard["logits"]) for shard in shards)
    start = 0
    artifacts = {}
    for part, shard in enumerate(shards):
        facts = {"start": start, "examples": len(shard["logits"]), "rows": len(shard["logits"])}
        artifacts[f"combined[0.{part}]"] = Artifact(shard, FACTS | facts | {"classes": n_classes})
        start += len(shard["logits"])
    view = {"examples": np.arange(n_rows), **{name: np.zeros(n_rows, np.int8) for name in ("dx", "dy", "flip")}}
    artifacts["views[0]"] = Artifact(view, {"view": 0, "rows": n_rows})
    names = [str(c) for c in range(n_classes)]
    artifacts["data[train]"] = Artifact(facts={"class_names": names, "transfer": n_rows})

    def keep(task: str) -> str:
        return store.save({"task": task}, artifacts[task], seconds=0.0).key

    with ThreadPoolExecutor(n_writers) as pool:
        store.record_run(RUN, dict(zip(artifacts, pool.map(keep, artifacts), strict=True)))


FACTS = {
    "format": tables.FORMAT,
    "teacher": tables.COMBINED,
    "view": 0,
    "subset": None,
    "prior_correction": 0.0,
    "encoding": {"name": "dense"},
    "statistics": {},
}


def write_memmap(path: Path, shards: list[Table]) -> None:
    """Write the logits of shards to one file, and flush it."""
    path.unlink(missing_ok=True)
    shape = sum(len(shard["logits"]) for shard in shards), shards[0]["logits"].shape[1]
    mapped = np.memmap(path, dtype=np.float16, mode="w+", shape=shape)
    start = 0
    for shard in shards:
        mapped[start : start + len(shard["logits"])] = shard["logits"]
        start += len(shard["logits"])
    mapped.flush()


def each(read: Callable[[Any], object], batches: Callable[[], Iterable[Any]]) -> None:
    for rows in batches():
        read(rows)


def alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of two calls, made in turn after one of each that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for call, found in zip((ours, theirs), seconds, strict=True):
            started = time.perf_counter()
            call()
            if repeat:
                found.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def ratio(seconds: tuple[float, float], amount: float) -> dict[str, float]:
    """Return what both do in a second, and how much of the other's speed ours is."""
    return {"table": amount / seconds[0], "memmap": amount / seconds[1], "ratio": seconds[1] / seconds[0]}


def memory_in_a_process_of_its_own(store: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.targets", "--memory-of", str(store)]
    return float(subprocess.run(command, cwd=harness.ROOT, check=True, capture_output=True, text=True).stdout)


def own_memory(store: Path) -> float:
    """Return the MiB that reading a table in every way adds to a process at most, mapped files not counted."""
    torch.set_num_threads(1)
    before = anonymous_mib()
    targets = SoftTargets.open(str(store), RUN)
    drawn = np.random.default_rng(2).integers(0, len(targets), (50, BATCH))
    most = 0.0
    for batches in (targets.batches(BATCH, seed=2), drawn):
        for rows in batches:
            targets.log_probs(rows)
            most = max(most, anonymous_mib())
    return most - before


def anonymous_mib() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def measure_encodings(scale: float, n_classes: int) -> list[dict[str, Any]]:
    """Return bytes a row, and KL in both directions at every temperature, of each encoding of normal logits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, n_classes, generator=generator, dtype=torch.float64) * scale
    found = []
    for name, (n_bytes, read) in encodings(logits).items():
        lost = {f"{t:g}": [mean_kl(logits, read(t), t), mean_kl(read(t), logits, t)] for t in TEMPERATURES}
        found.append({"scale": scale, "encoding": name, "bytes": n_bytes, "kl": lost})
    return found


def encodings(logits: Tensor) -> dict[str, tuple[int, Callable[[float], Tensor]]]:
    """Return by name the bytes a row takes, and what gives logits for a temperature back."""
    n_classes = logits.shape[1]
    probs = logits.softmax(1)
    found: dict[str, tuple[int, Callable[[float], Tensor]]] = {
        "fp16 logits (dense)": (tables.row_bytes(n_classes), partial(read_back, encoding.encode(logits), n_classes)),
        "fp16 probabilities": (2 * n_classes, lambda _: probs.half().double().log()),
    }
    for k in (32, 128):
        kept = encoding.encode_top_k(logits, k)
        found[f"top-{k}, sums of the others"] = tables.row_bytes(n_classes, k), partial(read_back, kept, n_classes)
        found[f"top-{k} probabilities, rest uniform"] = 4 * k, lambda _, k=k: rest_uniform(probs, k)
    return found


def read_back(kept: Table, n_classes: int, temperature: float) -> Tensor:
    return encoding.shifted_logits(encoding.as_rows(kept), n_classes, temperature).double()


def rest_uniform(probs: Tensor, k: int) -> Tensor:
    """Return log-probabilities out of the k largest in fp16 and what these leave, shared out equally."""
    top = probs.topk(k, dim=1)
    values = top.values.half().double()
    rest = (1 - values.sum(dim=1, keepdim=True)).clamp_min(0.0) / (probs.shape[1] - k)
    return rest.expand_as(probs).scatter(1, top.indices, values).log()


def mean_kl(exact: Tensor, other: Tensor, temperature: float) -> float | None:
    """Return the mean KL over rows; None where it is infinite."""
    found = float(encoding.kl(exact, other, temperature).mean())
    return found if np.isfinite(found) else None


def print_speed(speed: dict[str, Any]) -> None:
    lines = [["", "table", "memmap", "ratio"]]
    for name, value in speed.items():
        if isinstance(value, dict):
            lines.append([name, f"{value['table']:,.0f}", f"{value['memmap']:,.0f}", f"{value['ratio']:.2f}"])
        else:
            lines.append([name, f"{value:,}" if isinstance(value, int) else f"{value:,.2f}", "", ""])
    harness.print_table(lines)


def print_errors(errors: list[dict[str, Any]]) -> None:
    headings = [f"T = {t:g}" for t in TEMPERATURES]
    lines = [["KL(exact || kept) / KL(kept || exact), in nats", "logit scale", "bytes", *headings]]
    for row in errors:
        kls = [" / ".join("inf" if kl is None else f"{kl:.1e}" for kl in pair) for pair in row["kl"].values()]
        lines.append([row["encoding"], f"{row['scale']:g}", f"{row['bytes']:,}", *kls])
    print()
    harness.print_table(lines)


if __name__ == "__main__":
    main()

"""How much sooner specialists are trained by two workers than by one: 8 specialists over digits, each on one thread.

    python -m benchmarks.fanout [--times 3]

Their inputs are made before, and kept. Timed is from the first specialist's start to the last one's end, and beside it
the whole command, with the start of Python and Ray. Needs two cores that nobody else uses.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from itertools import combinations, islice
from pathlib import Path
from statistics import median

from benchmarks import harness

CONFIG = harness.ROOT / "pipeline.yaml"
SUBSETS = [list(subset) for subset in islice(combinations(range(10), 4), 0, 200, 25)]
OPTIONS = (
    "--set=generalist.epochs=2",
    f"--set=specialists={{method: manual, subsets: {SUBSETS}, epochs: 60}}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made")
        _run(made, "--until=subsets")
        seconds: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for index in range(times):
            for workers, timed in seconds.items():
                place = Path(folder, f"{index}-{workers}")
                shutil.copytree(made, place)
                timed.append(_timed(place, workers))
                print(f"{workers} workers: {timed[-1][0]:.1f} s of training, {timed[-1][1]:.1f} s in all", flush=True)
    ratios = [median(two[k] / one[k] for one, two in zip(seconds[1], seconds[2], strict=True)) for k in (0, 1)]
    print(f"two workers take {ratios[0]:.2f} of the time of one, {ratios[1]:.2f} with the start")
    figures = {f"{n}_workers": [[round(value, 1) for value in pair] for pair in timed] for n, timed in seconds.items()}
    harness.write("fanout", figures | {"ratio": round(ratios[0], 3), "ratio_with_start": round(ratios[1], 3)})


def _timed(folder: Path, workers: int) -> tuple[float, float]:
    """Return the seconds in which the specialists are trained, and those of the whole command."""
    started = time.perf_counter()
    _run(folder, "--only=specialist", f"--set=ray.cpus={workers}")
    whole = time.perf_counter() - started
    spans = harness.spans(max((folder / "runs").iterdir(), key=lambda run: run.name[-19:])).values()
    if len(spans) != len(SUBSETS):
        raise SystemExit(f"{len(SUBSETS)} specialists must have been trained; got {len(spans)}")
    return max(last for _, last in spans) - min(first for first, _ in spans), whole


def _run(folder: Path, *options: str) -> None:
    command = harness.command(CONFIG, folder, *OPTIONS, *options)
    subprocess.run(command, cwd=harness.ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

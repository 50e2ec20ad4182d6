"""What a run costs beside its learning: wall time and memory of a first run, and of one with nothing to do.

    python -m benchmarks.costs

Memory is proportional (PSS): what processes share is counted once. It is the largest sum over all processes of the run,
sampled every 0.2 s. The overhead of a run is its wall time but for the time in which at least one task was at work;
beside it a plain script is timed that makes the same calls.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks import harness

CONFIG = harness.ROOT / "pipeline.yaml"
N_REPEATS = 5
IMPORTED = """
import sys
from pipeline.cli import main
code = main(sys.argv[1:])
print("IMPORTED", [name for name in ("torch", "ray", "sklearn") if name in sys.modules])
sys.exit(code)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds, memory = _measured(harness.command(CONFIG, Path(folder)))
        again = [_measured(harness.command(CONFIG, Path(folder)))[0] for _ in range(N_REPEATS)]
        imported = _imported(Path(folder))
        results = harness.newest_results(Path(folder))
        spans = harness.spans(min((Path(folder) / "runs").iterdir()))
    started = time.perf_counter()
    plain = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain", str(CONFIG)], cwd=harness.ROOT, check=True, capture_output=True
    )
    plain_seconds = time.perf_counter() - started
    learning = sum(results["seconds"].values())
    figures = {
        "first_run_seconds": round(seconds, 2),
        "first_run_task_seconds": round(learning, 2),
        "first_run_overhead_seconds": round(seconds - harness.covered(spans.values()), 2),
        "plain_script_seconds": round(plain_seconds, 2),
        "plain_script_call_seconds": round(sum(json.loads(plain.stdout).values()), 2),
        "first_run_peak_pss_mib": round(memory / 2**20),
        "second_run_seconds": {"median": round(median(again), 3), "all": [round(value, 3) for value in again]},
        "second_run_imports": imported,
        "second_run_reused": len(results["reused"]),
    }
    print(json.dumps(figures, indent=2))
    harness.write("costs", figures)


def _measured(command: list[str]) -> tuple[float, int]:
    """Return the seconds that a command takes, and the most bytes that all its processes hold together."""
    started = time.perf_counter()
    process = psutil.Popen(command, cwd=harness.ROOT, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, _pss([process, *process.children(recursive=True)]) if process.is_running() else 0)
        try:
            process.wait(0.2)
        except psutil.TimeoutExpired:
            continue
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return seconds, most


def _pss(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it ended since it was listed
    return total


def _imported(folder: Path) -> str:
    """Return which heavy packages a run with nothing to do imports."""
    arguments = harness.command(CONFIG, folder)[3:]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments], cwd=harness.ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].removeprefix("IMPORTED ")


if __name__ == "__main__":
    main()

"""What the benchmarks share: running the program as its user does, and writing down what was seen and where."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.events import read_events
from pipeline.runs import EVENTS, newest_first
from pipeline.store import Store
from stages.learning import hardware

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


def command(config: Path, folder: Path, *options: str) -> list[str]:
    """Return the command of a run whose store and run folders lie in a folder of its own."""
    places = [f"--set=store={folder / 'store'}", f"--set=runs={folder / 'runs'}"]
    return [sys.executable, "-m", "pipeline", "run", str(config), *places, *options]


def run(config: Path, folder: Path, *options: str) -> dict[str, Any]:
    """Do a run, and return its results."""
    subprocess.run(command(config, folder, *options), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return newest_results(folder)


def run_seed(config: Path, folder: Path, seed: int, *options: str) -> dict[str, Any]:
    """Do a run in a seed's own part of a folder, and return its results."""
    return run(config, place(config, folder, seed), f"--set=seed={seed}", *options)


def place(config: Path, folder: Path, seed: int) -> Path:
    """Return a seed's own part of a folder, where what it has made is kept."""
    return folder / f"{config.stem}-{seed}"


def newest_results(folder: Path) -> dict[str, Any]:
    """Return the results of the newest finished run in a folder."""
    results: dict[str, Any] = json.loads((newest_finished(folder) / "results.json").read_text())
    return results


def newest_finished(folder: Path) -> Path:
    """Return the folder of the newest finished run in a folder."""
    return max((folder / "runs").glob("*/results.json"), key=lambda path: path.stat().st_mtime_ns).parent


def outcome(results: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what must be equal: metrics, and the digest of every result but the evaluation's, which holds seconds."""
    store = Store.open(str(folder / "store"))
    keys = next(newest_first(folder / "runs")).keys()
    manifests = {task: store.find(key) for task, key in keys.items()}
    models = {"generalist": results["generalist"], "ensemble": results["ensemble"], **results["students"]}
    return {
        "metrics": {name: (model["accuracy"], model["nll"]) for name, model in models.items()},
        "contents": {task: manifest.digest for task, manifest in manifests.items() if manifest and task != "evaluate"},
    }


def spans(run: Path) -> dict[str, tuple[float, float]]:
    """Return when each task of a run was at work, by its id, in seconds since the epoch."""
    done = [event for event in read_events(run / EVENTS) if event["event"] == "task_finished"]
    return {event["task"]: (event["time"] - event["seconds"], event["time"]) for event in done}


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of time that spans cover together, each moment counted once."""
    total, end = 0.0, float("-inf")
    for first, last in sorted(spans):
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the program; the load is that of the last minute, ours included."""
    return {
        "cpu": hardware.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("numpy", "ray", "torch")},
    }


def _version(package: str) -> str | None:
    """Return the version of a package, of which inline runs on a GPU can do without one."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write(name: str, figures: Any) -> None:
    """Write what a benchmark saw to results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n")
    print(f"written to {path.relative_to(ROOT)}")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())

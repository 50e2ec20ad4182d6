"""Damage every file of a finished run's store, one at a time and in four ways, and do a run that needs it.

    python -m benchmarks.damage [--files SHARE]

Each time a fresh copy of the store: the file is damaged, `store verify` must name it, then a stage that reads what it
belongs to is done again. That run must say what it found, make it again, and end with the metrics and contents of the
undisturbed run; and nothing damaged may be left. A deleted record of a run, or a deleted fact that is cheap to find out
again, is missed by nobody, and a record of another run is read by none.
"""

import argparse
import contextlib
import io
import itertools
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import harness
from pipeline.cli import main as pipeline
from pipeline.cli.compose import compose
from pipeline.runs import newest_first
from pipeline.store import Store, verify
from pipeline.store.manifest import manifest_path, object_path
from stages import STAGES

SETTINGS = (
    "ray.address=inline", "data.views=1", "generalist.epochs=2", "generalist.model.width=4", "specialists.epochs=1",
    "specialists.count=2", "student.epochs=1",
)  # fmt: skip


LOST = "its result is not in the store any more"
"""What a plan says of a result that an earlier run has made: nothing else tells of a manifest that was deleted."""


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": _flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "deleted": Path.unlink,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=float, default=1.0, help="share of the files, for a quick look")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.chdir(place)
        _run(place)
        for name in ("store", "runs"):
            shutil.copytree(name, f"undisturbed/{name}")
        expected = harness.outcome(harness.newest_results(place), place)
        readers = _readers(place)
        paths = Store.at("undisturbed/store").files.names("")
        chosen = [
            path for number, path in enumerate(paths) if int((number + 1) * options.files) > int(number * options.files)
        ]
        trials = [
            _trial(place, path, damage, readers.get(path), expected)
            for path, damage in itertools.product(chosen, DAMAGES)
        ]
    figures = {"files": len(chosen), "seconds": round(time.perf_counter() - started), "trials": _counted(trials)}
    harness.print_table(_table(figures["trials"]))
    harness.write("damage", figures)


def _trial(place: Path, path: str, damage: str, reader: str | None, expected: dict[str, Any]) -> dict[str, Any]:
    for name in ("store", "runs"):
        shutil.rmtree(name)
        shutil.copytree(f"undisturbed/{name}", name)
    DAMAGES[damage](place / "store" / path)
    named = [fault.path for fault in verify(Store.at("store"))]
    said = _run(place, *(["--force", reader] if reader else []))
    results = harness.newest_results(place)
    plan = next(newest_first(place / "runs")).path / "plan.json"
    left = [fault.path for fault in verify(Store.at("store"))]
    trial = {
        "kind": path.partition("/")[0],
        "damage": damage,
        "named by verify": path in named,
        "told by the run": path in said or LOST in plan.read_text(),
        "equal results": harness.outcome(results, place) == expected,
        "whole afterwards": left == [],
    }
    print({"path": path, "reader": reader, **trial}, flush=True)
    return trial


def _run(place: Path, *options: str) -> str:
    """Do the run in this process, which has torch already, and return what it printed."""
    told = io.StringIO()
    places = (f"store={place / 'store'}", f"runs={place / 'runs'}")
    settings = [part for setting in (*SETTINGS, *places) for part in ("--set", setting)]
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = pipeline(["run", str(harness.ROOT / "pipeline.yaml"), *settings, *options])
    if code:
        raise SystemExit(f"a run must end well; got exit code {code}:\n{told.getvalue()}")
    return told.getvalue().replace("\n", "")  # what is long is broken into lines


def _readers(place: Path) -> dict[str, str]:
    """Return by file the stage that is cheapest to do again of those that read what it belongs to."""
    composition = compose(harness.ROOT / "pipeline.yaml", [*SETTINGS, f"store={place / 'store'}"])
    graph = composition.graph()
    graph.advance()
    order = [stage.name for stage in STAGES]
    found: dict[str, str] = {}
    for task, manifest in graph.results.items():
        stages = [other.stage for other in graph.tasks.values() if task in other.input_ids]
        kept = [name for name in stages if graph.stages[name].kept]
        reader = max(kept, key=order.index, default=None)
        if reader is not None:
            paths = [manifest_path(manifest.key), *(object_path(item.sha256) for item in manifest.objects)]
            found |= dict.fromkeys(paths, reader)
    return found


def _counted(trials: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return by kind of file and of damage how many there were, and of how many each property held."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    for trial in trials:
        held = [name for name, value in trial.items() if value is True]
        groups.setdefault((trial["kind"], trial["damage"]), Counter()).update(["files", *held])
    names = ("files", "named by verify", "told by the run", "equal results", "whole afterwards")
    return [
        {"kind": kind, "damage": damage, **{name: counts[name] for name in names}}
        for (kind, damage), counts in groups.items()
    ]


def _table(counted: list[dict[str, Any]]) -> list[list[str]]:
    return [list(counted[0]), *([str(value) for value in row.values()] for row in counted)]


if __name__ == "__main__":
    main()

"""How long it takes until tasks are worked on: Ray, its workers, and what the first task imports; by earlier runs."""

from collections.abc import Iterable, Mapping
from statistics import median

from pipeline.errors import StoreError
from pipeline.events import read_events
from pipeline.runs import EVENTS, RunFolder
from pipeline.stage import Json

RECENT = 9
"""So many of the latest runs that started a Ray tell how long that takes: their median."""


def start_seconds(folders: Iterable[RunFolder], *, address: str, host: str) -> float | None:
    """Return how long the start of a run will take; None where no run has done the like.

    Args:
        folders: Those of earlier runs, the latest first.
        address: Where the tasks run, as `ray.address` has it.
        host: The name of this machine.
    """
    found: list[float] = []
    for folder in folders:
        seconds = _measured(folder, {"ray": address, "host": host})
        found += [] if seconds is None else [seconds]
        if len(found) == RECENT:
            break
    return median(found) if found else None


def _measured(folder: RunFolder, wanted: Mapping[str, Json]) -> float | None:
    """Return what a run took until its first result, less the work of that; None where it is no such run.

    The events of a damaged record tell nothing, for they only help to estimate.
    """
    began: float | None = None
    try:
        for event in read_events(folder.path / EVENTS, but="task_progress"):
            if event["event"] == "run_started" and any(event.get(name) != value for name, value in wanted.items()):
                return None
            if event["event"] == "executor_starting":
                began = event["time"]
            if event["event"] == "task_finished" and began is not None:
                prepared = sum(event.get("prepared", {}).values())
                start = float(event["time"] - began - event["seconds"] - prepared)
                return start if start > 0 else None  # one that went on from a checkpoint took its seconds earlier, too
    except StoreError:
        return None
    return None

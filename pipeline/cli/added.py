"""Why a run has tasks that the last one did not have, in the words of a config: what decides which tasks there are."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.cli.schema import Config
from pipeline.config import changed
from pipeline.config_source import read
from pipeline.config_words import cut_apart, shown
from pipeline.planner import Listing
from pipeline.runs import CONFIG, RESULTS, newest_first
from stages.parameters import resolved
from stages.tasks import refit

_VIEWS = ("data.views", "data.augment", "data.transfer")
_SUBSETS = ("specialists.count", "specialists.size", "specialists.method", "specialists.subsets", "specialists.from")
_DECIDED_BY: Mapping[str, tuple[str, ...]] = {
    "transfer": ("data.transfer",),
    "views": _VIEWS,
    "models": ("generalist.model", "student.model"),
    "given": ("generalist.from", "specialists.from"),
    "fold": ("data.folds",),
    "specialist": _SUBSETS,
    "calibration": ("combine.calibrate", *_SUBSETS),
    "targets": (*_VIEWS, *_SUBSETS),
    "import": ("targets.imported",),
    "imported": ("targets.imported", *_VIEWS),
    "combined": (*_VIEWS, "combine.active_classes", "sweep.active_classes"),
    "student": ("controls", "seeds", "sweep"),
    "sweep": ("sweep",),
}
"""By stage, the settings that decide which tasks it has."""


def since_last_run(config: Config) -> Listing:
    """Return what tells by which settings a stage has other tasks than in the last run of its name that ended well.

    Args:
        config: That of the run.
    """

    @cache
    def both() -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        folders = newest_first(Path(config.runs), config.name)
        last = next((folder for folder in folders if (folder.path / RESULTS).is_file()), None)
        before = read(last.path / CONFIG, []).values if last else None  # to read YAML takes long: one, where it tells
        return (before, resolved(config).model_dump(mode="json", by_alias=True)) if before else None

    def told(stage: str) -> list[str]:
        keys = _keys(stage)
        found = both() if keys else None
        if found is None:
            return []
        return [line for key in keys for line in _changes(key, *(_at(values, key) for values in found))]

    return told


def _keys(stage: str) -> tuple[str, ...]:
    """Return the settings that decide which tasks a stage has; of a stage of the refit, whether there is one, too."""
    first = stage.removeprefix(refit.PREFIX)
    return (*(("refit",) if first != stage else ()), *_DECIDED_BY.get(first, ()))


def _at(values: Mapping[str, Any], key: str) -> Any:
    """Return what a config says at a path; None where it lacks a part of it, as one of an earlier version may."""
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _changes(key: str, before: Any, now: Any) -> list[str]:
    """Return what differs at a path: a section that only one of both has is one value."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [f"{key}.{line}" for line in changed(before, now)]
    return [] if before == now else [f"{key} {' -> '.join(cut_apart(*map(_said, (before, now))))}"]


def _said(value: Any) -> str:
    """Return a value as text, of a section without what it leaves open."""
    return shown({key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value)

"""What makes a result another one, in the words of a config: recipes have digests of files, and lists of all trials."""

import re
from collections.abc import Collection, Iterator, Mapping

from pipeline.config import changed
from pipeline.stage import Json
from stages.candidates import DISTILLED, REFIT

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHORT = 12
"""Digits of a digest that tell it from others."""

WRITTEN = {
    "data.digest": "data.source",
    "generalist.content": "generalist.from",
    "generalist.model.code": "generalist.model.name",
    "generalist.model.content": "generalist.model.weights",
    "specialists.content": "specialists.from",
    "student.model.content": "student.model.weights",
}
"""By the name of a digest in recipes, the key of a config that names the files."""

_OTHER = {"data.digest": "other data", "targets.imported": "another table"}
"""What a digest is of that is not of a file of the user's."""


def told(before: Mapping[str, Json], now: Mapping[str, Json]) -> list[str]:
    """Return in what the parameters of a task differ from those of a former result.

    Args:
        before: Those of the former result's recipe.
        now: Those of the task's.
    """
    files = [name for name in before.keys() & now.keys() if before[name] != now[name] and _is_digest(now[name])]
    left, right = (_as_written(one, files) for one in (before, now))
    return sorted(
        [*(f"{_key(name, now)}: {_OTHER.get(name, 'another file')}" for name in files), *changed(left, right)]
    )


def _key(name: str, parameters: Mapping[str, Json]) -> str:
    """Return the key of a config that names the files of a digest; of a network of the user's they include a module."""
    section, _, last = name.rpartition(".")
    model = parameters.get(section) or parameters.get(section.partition(".")[0], {}).get("model", {})
    if last == "content" and section.endswith(".model") and str(model.get("name", "")).startswith("python:"):
        return section
    return WRITTEN.get(name, name)


def _is_digest(value: Json) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _as_written(parameters: Mapping[str, Json], leave_out: Collection[str]) -> dict[str, Json]:
    """Return parameters with the values that a sweep tries in place of all that it combines them to.

    In place of all students that are evaluated they have the controls, and whether there is a refit.
    """
    written = {
        _key(name, parameters): value[:_SHORT] if _is_digest(value) else value
        for name, value in parameters.items()
        if name not in leave_out
    }
    candidates, variants = written.pop("candidates", None), written.pop("variants", None)
    if candidates is not None:
        written |= dict(_axes(candidates))
    if variants is not None:
        controls = [name for name in variants if name not in {DISTILLED, REFIT}]
        written |= {"controls": controls, "refit": REFIT in variants}
    return written


def _axes(candidates: Json) -> Iterator[tuple[str, Json]]:
    """Yield the lists of a sweep, and the controls that it is done for, from each variant with its settings."""
    yield "controls", [name for name in dict.fromkeys(variant for variant, _ in candidates) if name != DISTILLED]
    names = dict.fromkeys(name for _, settings in candidates for name in settings)
    for name in names:
        values = dict.fromkeys(settings[name] for _, settings in candidates if name in settings)
        yield f"sweep.{name}", [int(value) if float(value).is_integer() else value for value in values]

"""Where the choice of a sweep lies at the edge of what it tried: there, more values may do better."""

from collections.abc import Iterator, Mapping
from typing import Any


def at_edges(sweep: Mapping[str, Any], variant: str, n_classes: int) -> list[str]:
    """Return which chosen settings are the smallest or the largest that were tried, with room beyond.

    Args:
        sweep: As results.json holds it.
        variant: Of the student.
        n_classes: Of the run.
    """
    chosen, points = sweep["chosen"][variant], sweep["grid"][variant]
    if len({(point["accuracy"], point["nll"]) for point in points}) == 1:
        return []  # what was tried means nothing, as the temperature does where alpha is 0
    tried = [point["settings"] for point in points]
    # Without soft targets what they are made of means nothing.
    telling = [name for name in chosen if chosen.get("alpha") != 0 or name not in _OF_SOFT_TARGETS]
    ends = _ENDS | {"active_classes": (1, n_classes)}
    return [
        told for name in telling for told in _at_edge(name, chosen[name], {one[name] for one in tried}, *ends[name])
    ]


_OF_SOFT_TARGETS = ("temperature", "active_classes")
_ENDS = {"temperature": (0.01, 1000), "alpha": (0, 1), "learning_rate": (0, 1000)}
"""Least and largest value of each setting, as `stages.parameters` allows them."""


def _at_edge(name: str, value: float, tried: set[float], least: float, largest: float) -> Iterator[str]:
    if len(tried) > 1 and value == min(tried) and value > least:
        yield f"{name} {value:g} is the smallest that was tried: a smaller one may be better"
    if len(tried) > 1 and value == max(tried) and value < largest:
        yield f"{name} {value:g} is the largest that was tried: a larger one may be better"

"""The accuracy of every model on each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        name: Its name.
        examples: Its test examples.
        cover: How many specialists have it.
        shares: Of each model the share of these that it gets right, in the order of the models; None without examples.
    """

    name: str
    examples: int
    cover: int
    shares: tuple[float | None, ...]


def models(results: Mapping[str, Any]) -> list[str]:
    """Return the models that `rows` has, in its order: generalist, ensemble, and the variants of the student."""
    return ["generalist", "ensemble", *results["students"]]


def rows(results: Mapping[str, Any]) -> list[ClassRow]:
    """Return what results.json says of the classes, those first of which the generalist gets least right."""
    found, names, cover = results["per_class"], results["data"]["classes"], results["subsets"]["cover"]
    students = [found["students"][variant] for variant in results["students"]]
    shares: list[Sequence[float | None]] = [found["generalist"], found["ensemble"], *students]
    of_classes = zip(names, found["examples"], cover, zip(*shares, strict=True), strict=True)
    listed = [ClassRow(name, examples, n, of_class) for name, examples, n, of_class in of_classes]
    return sorted(listed, key=lambda row: 1.0 if row.shares[0] is None else row.shares[0])

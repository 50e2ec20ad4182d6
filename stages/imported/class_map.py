"""Which class each column of somebody's logits stands for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages import manual

Listed = Sequence[int | str | None]
"""By column: a class id, a class name, or None for the dustbin, which stands for all classes that are not listed."""


@dataclass(frozen=True)
class ClassMap:
    """How the columns of a file become the outputs of a table.

    Attributes:
        columns: By output, the column of the file: the classes ascending, then the dustbin.
        subset: The classes, ascending; None where they are all there are, and so no dustbin.
    """

    columns: tuple[int, ...]
    subset: tuple[int, ...] | None


def class_map(listed: Listed | None, class_names: Sequence[str]) -> tuple[ClassMap, list[str]]:
    """Return the map of a file's columns, and what is wrong with it.

    Args:
        listed: What the columns stand for; None for all classes in the order of their ids.
        class_names: Of every class, in the order of the ids.

    Returns:
        The map, of no use where there are faults; and the faults.
    """
    n_classes = len(class_names)
    if listed is None:
        return ClassMap(tuple(range(n_classes)), None), []
    listed_classes = [(column, member) for column, member in enumerate(listed) if member is not None]
    faults = [f"classes{place} {message}" for place, message in _faults(listed_classes, class_names)]
    # Whether a dustbin is wanted follows from the classes.
    faults = faults or _dustbin_faults(len(listed) - len(listed_classes), len(listed_classes), n_classes)
    if faults:
        return ClassMap((), None), faults
    column_of = {manual.id_of(member, class_names): column for column, member in listed_classes}
    subset = tuple(sorted(column_of))
    columns = tuple(column_of[c] for c in subset)
    if len(subset) == n_classes:
        return ClassMap(columns, None), []
    return ClassMap((*columns, listed.index(None)), subset), []


def _faults(listed: Sequence[tuple[int, int | str]], class_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    before: set[int | str] = set()
    for column, member in listed:
        which = manual.class_of(member, class_names)
        again = f"must be listed once; got {member!r} again" if which in before else ""
        if fault := manual.fault_of(member, len(class_names), class_names) or again:
            yield f"[{column}]", fault
        before.add(which)


def _dustbin_faults(n_dustbins: int, n_listed: int, n_classes: int) -> list[str]:
    if not n_listed:
        return ["classes must list a class; got none"]
    if n_dustbins > 1:
        return [f"classes must have one null at most, the dustbin; got {n_dustbins}"]
    if n_dustbins and n_listed >= n_classes:
        return [f"classes must have no null beside all {n_classes} classes, for it would stand for none; got one"]
    if not n_dustbins and n_listed < n_classes:
        rule = f"have a null, the column of all other classes, where they leave out some of the {n_classes}"
        return [f"classes must {rule}; got {n_listed} classes alone"]
    return []

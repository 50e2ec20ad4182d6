"""Subsets that the config lists: by class ids, which are whole numbers, or by class names, which are text."""

from collections.abc import Iterator, Sequence

from pipeline.errors import did_you_mean

Listed = Sequence[Sequence[int | str]]
Place = tuple[int, ...]


def faults_of(subsets: Listed, n_classes: int, class_names: Sequence[str] | None = None) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with listed subsets.

    Args:
        subsets: Class ids or names.
        n_classes: Number of classes.
        class_names: Of every class, in the order of the ids; None where they are not known yet.

    Yields:
        Place in the list, and message.
    """
    before: list[frozenset[int | str]] = []
    for i, subset in enumerate(subsets):
        classes = [class_of(member, class_names) for member in subset]
        for j, member in enumerate(subset):
            again = f"must be listed once in its subset; got {member!r} again" if classes[j] in classes[:j] else ""
            if fault := fault_of(member, n_classes, class_names) or again:
                yield (i, j), fault
        if len(subset) >= n_classes:
            yield (i,), f"must leave out one of the {n_classes} classes or more; got {len(subset)} of them"
        if frozenset(classes) in before:
            yield (i,), f"must be another subset than those before it; got {list(subset)} again"
        before.append(frozenset(classes))


def faults_of_classes(
    members: Sequence[int | str], n_classes: int, class_names: Sequence[str] | None = None
) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with listed classes: place in the list, and message. Takes what `faults_of` takes."""
    classes = [class_of(member, class_names) for member in members]
    for i, member in enumerate(members):
        again = f"must be listed once; got {member!r} again" if classes[i] in classes[:i] else ""
        if fault := fault_of(member, n_classes, class_names) or again:
            yield (i,), fault


def class_ids(members: Sequence[int | str], class_names: Sequence[str]) -> list[int]:
    """Return listed classes, in which `faults_of_classes` finds nothing wrong, as ascending ids."""
    return sorted(id_of(member, class_names) for member in members)


def resolve(subsets: Listed, class_names: Sequence[str]) -> list[list[int]]:
    """Return listed subsets as ascending class ids in lexicographic order, the same however they were listed.

    Args:
        subsets: Class ids or names in which `faults_of` finds nothing wrong.
        class_names: Of every class, in the order of the ids.
    """
    return sorted(class_ids(subset, class_names) for subset in subsets)


def id_of(member: int | str, class_names: Sequence[str]) -> int:
    """Return the id of a listed class in which `fault_of` finds nothing wrong."""
    return member if isinstance(member, int) else class_names.index(member)


def class_of(member: int | str, class_names: Sequence[str] | None) -> int | str:
    """Return the id of a listed class, or its name where no id is known for it."""
    if isinstance(member, str) and class_names is not None and member in class_names:
        return class_names.index(member)
    return member


def fault_of(member: int | str, n_classes: int, class_names: Sequence[str] | None) -> str:
    """Return what is wrong with one listed class, or an empty text. Takes what `faults_of` takes."""
    if isinstance(member, int):
        return "" if 0 <= member < n_classes else f"must be a class id within 0..{n_classes - 1}; got {member}"
    if class_names is None or class_names.count(member) == 1:
        return ""
    if member in class_names:
        return f"must be a class id, for several classes have this name; got {member!r}"
    return f"must be the name of a class; got {member!r}{did_you_mean(member, class_names)}"

"""Stages `import` and `imported`: what somebody's table is, and its rows where a run's shards want them."""

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import StageError
from pipeline.stage import Artifact, Work
from pipeline.store import Store
from stages import soft_targets
from stages.imported import kept
from stages.imported.parquet import Ids
from stages.soft_targets.index import positions_in


def describe(*, imported: str, store: str, record: str, name: str, work: Work) -> Artifact:  # noqa: ARG001
    """Say what an imported table is.

    Args:
        imported: The digest that its content must have.
        store: The store that it was imported into.
        record: The record of its import.
        name: What it is called.
        work: Nothing of it is used.

    Returns:
        Facts: those of the import.

    Raises:
        StageError: It is no longer what it was when the run was planned, or no longer there.
    """
    facts = kept.load(Store.open(store), record, kept.task_of(name)).facts
    if facts["digest"] != imported:
        rule = f"be what it was when the run was planned, with the digest {imported[:12]}"
        raise StageError(f"the imported table {name} must {rule}; got {facts['digest'][:12]}")
    return Artifact(facts=facts)


def place(
    *,
    table: Artifact,
    view: Artifact,
    rows: tuple[int, int],
    store: str,
    record: str,
    work: Work,  # noqa: ARG001
) -> Artifact:
    """Take from an imported table the rows of a shard.

    Args:
        table: What the table is.
        view: The view of the run.
        rows: First row of the view, and the row after the last.
        store: The store that it was imported into.
        record: The record of its import.
        work: Nothing of it is used.

    Returns:
        A shard as `soft_targets.dense_shard` describes it, with `rows`: those that the table has.

    Raises:
        StageError: The table is of views that show an example otherwise, or no longer there.
    """
    opened, facts = Store.open(store), table.facts
    start, stop = rows
    number = view.facts["view"]
    held, positions = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    theirs = 0 if facts["any_view"] else number
    if theirs in facts["views"]:
        shown = kept.load(opened, record, f"views[{theirs}]")
        positions, is_held = positions_in(shown.arrays["examples"], view.arrays["examples"][start:stop])
        held, positions = np.flatnonzero(is_held), positions[is_held]
        if not facts["any_view"]:
            _check_view(facts["name"], view, start + held, shown, positions)
    return soft_targets.dense_shard(
        _logits(opened, record, f"{facts['name']}/{theirs}", positions, facts["shard_rows"], facts["outputs"]),
        teacher=kept.RECORD,
        view=number,
        start=start,
        examples=stop - start,
        classes=len(facts["classes"]),
        subset=facts["subset"],
        rows=held,
    )


def _check_view(name: str, ours: Artifact, rows: Ids, theirs: Artifact, positions: Ids) -> None:
    """Check that rows of two views show the same pixels."""
    for amount in sorted(set(ours.arrays) | set(theirs.arrays)):
        both = (view.arrays.get(amount) for view in (ours, theirs))
        seen, imported = (None if a is None else a[which] for a, which in zip(both, (rows, positions), strict=True))
        if seen is None or imported is None or not np.array_equal(seen, imported):
            raise StageError(
                f"the views of the imported table {name} must be the run's, for its rows are of these; got view"
                f" {ours.facts['view']} with another {amount}: import what was computed on this run's views, or what"
                " holds for an example in any view"
            )


def _logits(store: Store, record: str, prefix: str, positions: Ids, shard_rows: int, outputs: int) -> Tensor:
    """Return the logits at ascending positions of an imported view, float32 (positions, outputs)."""
    parts = [np.empty((0, outputs), dtype=np.float16)]
    for part in np.unique(positions // shard_rows).tolist():
        shard = kept.load(store, record, f"imported[{prefix}.{part}]")
        inside = positions[positions // shard_rows == part] - part * shard_rows
        parts.append(shard.arrays["logits"][inside])
    return torch.from_numpy(np.concatenate(parts)).float()

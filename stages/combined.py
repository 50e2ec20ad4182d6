"""Stage `combined`: the soft targets, one distribution over all classes for every row of a shard."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.stage import Artifact, Work
from specialists.active import active_set
from specialists.combine import combine_rows, is_compiled
from stages import soft_targets, tables
from stages.learning import training
from stages.learning.models import as_tensor

_Divergence = Literal["forward", "reverse"]


def combine(
    *,
    generalist: Artifact,
    specialists: Sequence[Artifact],
    divergence: _Divergence,
    work: Work,
    calibrations: Sequence[Artifact] = (),
    imported: Sequence[Artifact] = (),
    bytes_per_row: int | None = None,
    max_kl: float = 0.0,
    temperatures: Sequence[float] = (1.0,),
    active_classes: int | None = None,
) -> Artifact:
    """Combine one shard of all teachers' tables.

    Args:
        generalist: The generalist's table.
        specialists: Every specialist's table, with the rows where it was active.
        divergence: What is minimised.
        work: Its threads.
        calibrations: The teachers' temperatures, the generalist's first; none for a temperature of 1 each.
        imported: Every imported table, with the rows that it has: one more teacher on these, at temperature 1.
        bytes_per_row: What a row may take; where the dense encoding takes more, top-k is kept. None for no limit.
        max_kl: What top-k may lose at temperature 1 and at the students', as a mean over the shard, in nats.
        temperatures: The students'.
        active_classes: How many of the generalist's likeliest classes make a specialist active that holds one, where
            that is fewer than the specialists were scored for; None where it is what they were scored for.

    Returns:
        A table of log q at temperature 1, as `soft_targets.encode` or `encode_top_k` keeps it. Facts: those of the
        generalist's table; `encoding`: its `name`, why it was taken (`because`), of top-k also `k` and what it loses
        (`kl`, by temperature); the largest `residual` of the optimality conditions over all rows, and the most
        `iterations` that a row took.

    Raises:
        SpecialistsError: A row has no solution; names it.
        StageError: Top-k loses more than it may; names how much, at which temperature.
    """
    training.use_threads(work.threads)
    fitted = [fit.facts["temperature"] for fit in calibrations] or [1.0] * (1 + len(specialists))
    fitted += [1.0] * len(imported)
    others = [*specialists, *imported]
    probs = [
        soft_targets.decode_probs(table, temperature)
        for table, temperature in zip([generalist, *others], fitted, strict=True)
    ]
    rows = [as_tensor(table.arrays["rows"]) for table in others]
    subsets = [_subset(table) for table in others]
    if active_classes is not None:
        active = active_set(soft_targets.decode(generalist), subsets[: len(specialists)], active_classes)
        for m in range(len(specialists)):
            heard = active[rows[m], m]
            rows[m], probs[1 + m] = rows[m][heard], probs[1 + m][heard]
    _prepare(probs, subsets, divergence, work)
    combination = combine_rows(probs[0], rows, probs[1:], subsets, divergence=divergence)
    log_q = combination.probs.log()
    k = None if bytes_per_row is None else tables.top_k_within(bytes_per_row, log_q.shape[1])
    arrays, encoding = soft_targets.choose(log_q, k=k, temperatures=sorted({1.0, *temperatures}), max_kl=max_kl)
    return Artifact(
        arrays,
        {
            **generalist.facts,
            "teacher": tables.COMBINED,
            "bytes": sum(array.nbytes for array in arrays.values()),
            "encoding": encoding | {"because": _because(bytes_per_row, log_q.shape[1])},
            "statistics": soft_targets.statistics(log_q),
            "residual": float(combination.residual.max()),
            "iterations": int(combination.iterations.max()),
        },
    )


COMPILING = "compiling kernels"
LOADING = "loading compiled kernels"
"""How what is prepared before the first combination of a process is told of."""

_PREPARED: set[str] = set()
"""The divergences whose kernels this process has."""


def _prepare(probs: Sequence[Tensor], subsets: Sequence[Tensor], divergence: _Divergence, work: Work) -> None:
    """Have the kernels compiled, or read, by combining one row of the generalist's alone."""
    if divergence in _PREPARED:
        return
    with work.preparing(LOADING if is_compiled(divergence) else COMPILING):
        nobody = [torch.zeros(0, dtype=torch.int64) for _ in subsets]
        combine_rows(probs[0][:1], nobody, [given[:0] for given in probs[1:]], subsets, divergence=divergence)
    _PREPARED.add(divergence)


def _subset(table: Artifact) -> Tensor:
    """Return the classes before a table's last output; that of a table over all classes is a dustbin of one class."""
    subset = table.facts["subset"]
    return torch.arange(table.facts["classes"] - 1) if subset is None else torch.tensor(subset)


def _because(bytes_per_row: int | None, n_classes: int) -> str:
    """Return why an encoding was taken, in words."""
    dense = tables.row_bytes(n_classes)
    if bytes_per_row is None:
        return f"{tables.UNLIMITED} for the {dense} bytes of a dense row"
    fits = "fit into" if dense <= bytes_per_row else "exceed"
    return f"the {dense} bytes of a dense row {fits} targets.bytes_per_row, {bytes_per_row}"

"""Stage `combined`: the soft targets, one distribution over all classes for every row of a shard."""

from collections.abc import Sequence
from typing import Literal

import torch

from pipeline.stage import Artifact, Work
from specialists.combine import combine_rows
from stages import soft_targets
from stages.learning import training
from stages.learning.models import as_tensor


def combine(
    *, generalist: Artifact, specialists: Sequence[Artifact], divergence: Literal["forward"], work: Work
) -> Artifact:
    """Combine one shard of all teachers' tables.

    Args:
        generalist: The generalist's table.
        specialists: Every specialist's table, with the rows where it was active.
        divergence: What is minimised.
        work: Its threads.

    Returns:
        A table of log q at temperature 1, as `soft_targets.encode` keeps it. Facts: the largest `residual` of the
        optimality conditions over all rows, and the most `iterations` that a row took.

    Raises:
        SpecialistsError: A row has no solution; names it.
    """
    training.use_threads(work.threads)
    combination = combine_rows(
        soft_targets.decode_probs(generalist),
        [as_tensor(table.arrays["rows"]) for table in specialists],
        [soft_targets.decode_probs(table) for table in specialists],
        [torch.tensor(table.facts["subset"]) for table in specialists],
        divergence=divergence,
    )
    arrays = soft_targets.encode(combination.probs.log())
    return Artifact(
        arrays,
        {
            "teacher": "combined",
            "view": generalist.facts["view"],
            "rows": len(combination.probs),
            "residual": float(combination.residual.max()),
            "iterations": int(combination.iterations.max()),
        },
    )

"""A shard of a teacher's table: its logits on some rows of a view, and all that a reader has to know of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Artifact
from specialists.dustbin import corrected
from stages import tables
from stages.soft_targets.encoding import encode, statistics


def dense_shard(
    logits: Tensor,
    *,
    teacher: str,
    view: int,
    start: int,
    examples: int,
    classes: int,
    subset: Sequence[int] | None,
    prior_correction: float = 0.0,
    rows: NDArray[np.int64] | None = None,
) -> Artifact:
    """Return a shard in which every output is kept.

    Args:
        logits: Floating point, (rows, outputs), as the teacher returned them.
        teacher: Its name.
        view: The view that was shown.
        start: The shard's first row of the view.
        examples: How many rows of the view the shard spans.
        classes: Number of classes of the data set.
        subset: The classes of the outputs, ascending, after which comes the dustbin; None where the outputs are all
            classes.
        prior_correction: What is to be added to the dustbin's logit.
        rows: Which rows of the shard the logits are of, ascending; None for all.

    Returns:
        The arrays of `encode`, and `rows` where it is given. Facts: the `format`, the number of `rows`, their `bytes`,
        their `encoding`, `statistics` of their probabilities, and the other arguments by their names.

    Raises:
        StageError: The logits are not finite.
    """
    arrays = encode(logits) | ({} if rows is None else {"rows": rows})
    facts = {
        "format": tables.FORMAT,
        "teacher": teacher,
        "view": view,
        "start": start,
        "examples": examples,
        "classes": classes,
        "subset": None if subset is None else list(subset),
        "prior_correction": prior_correction,
        "rows": len(logits),
        "bytes": sum(array.nbytes for array in arrays.values()),
        "encoding": {"name": "dense"},
        "statistics": statistics(corrected(logits, prior_correction)),
    }
    return Artifact(arrays, facts)

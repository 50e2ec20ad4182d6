"""Stage `transfer`: which examples the students are trained on, where these are not all that the teachers had."""

from collections.abc import Sequence

import numpy as np

from pipeline.stage import Artifact, Work
from stages.data import training_rows
from stages.learning.split import choose_share


def choose(*, dataset: Artifact, classes: Sequence[int], fraction: float, work: Work) -> Artifact:
    """Choose the transfer set.

    Args:
        dataset: The training half of the data set.
        classes: Whose examples are in it.
        fraction: Share of each class's examples; a smaller one chooses some of what a larger one does.
        work: Its seed draws them.

    Returns:
        Array `examples` int64 (rows,), the example ids, ascending. Facts: `rows`, and `labels`, how many there are of
        each class.
    """
    labels, examples = dataset.arrays["labels"], training_rows(dataset)
    chosen = np.isin(labels[examples], classes) & choose_share(labels[examples], fraction, work.seed)
    counts = np.bincount(labels[examples[chosen]], minlength=len(dataset.facts["class_names"]))
    return Artifact({"examples": examples[chosen]}, {"rows": int(chosen.sum()), "labels": counts.tolist()})

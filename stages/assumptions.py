"""Facts that stand in for those of results that are not there yet, so that a plan can say what will be done.

Sizes are assumed as they are asked for; which classes a subset has, or what a sweep chooses, is not known.
"""

import math
from collections.abc import Sequence

from pipeline.stage import Facts
from stages import candidates
from stages.parameters import Parameters, default_count
from stages.tasks import Known

OPEN_SUBSETS: tuple[Known, ...] = ({"subsets": {"subsets": []}}, {"subsets": {"subsets": [{"classes": [0, 1]}]}})
"""Two ways in which subsets may turn out that share nothing: what is done with both is done whatever is found."""


def data(
    share: float, *, class_names: Sequence[str], class_counts: Sequence[int], test: int, image_shape: Sequence[int]
) -> dict[str, Facts]:
    """Return the facts, by task id, that the halves of a data set will hold, as far as sizes tell.

    Args:
        share: That is held out; 0 for nothing.
        class_names: Of every class, in the order of the ids.
        class_counts: Training examples of each class.
        test: Number of test examples.
        image_shape: Height, width and channels.
    """
    # As `stages.learning.split` holds them out.
    holdout = sum(min(max(round(share * n), 1), n - 1) for n in class_counts) if share else 0
    shared = {"class_names": list(class_names), "image_shape": list(image_shape)}
    return {
        "data[train]": shared | {"transfer": sum(class_counts) - holdout, "holdout": holdout},
        "data[test]": shared | {"test": test},
    }


def subsets(parameters: Parameters, n_classes: int) -> dict[str, Facts]:
    """Return facts, by task id, of subsets as many and as large as is asked for; of which classes is not known."""
    wanted = parameters.specialists
    sizes = [len(subset) for subset in wanted.listed.values()]
    count = wanted.count or default_count(n_classes)
    sizes = sizes or [wanted.size or max(2, math.ceil(n_classes / count))] * count
    starts = [i * n_classes // len(sizes) for i in range(len(sizes))]
    pairs = zip(starts, sizes, strict=True)
    found = [sorted((start + j) % n_classes for j in range(size)) for start, size in pairs]
    return {"subsets": {"subsets": [{"classes": subset} for subset in found]}}


def transfer(parameters: Parameters, train: Facts) -> dict[str, Facts]:
    """Return facts, by task id, of a transfer set of about the size that is asked for, if it is not everything.

    Args:
        parameters: The parameters of the run.
        train: The facts of the training half, known or assumed.
    """
    wanted, n_classes = parameters.data.transfer, len(train["class_names"])
    if wanted.is_everything:
        return {}
    n_wanted = len(wanted.classes or ()) or n_classes - len(wanted.omit or ())
    return {"transfer": {"rows": max(1, round(train["transfer"] * wanted.fraction * n_wanted / n_classes))}}


def choice(parameters: Parameters) -> dict[str, Facts]:
    """Return facts, by task id, of a choice among the settings of a sweep: which one does not change the cost."""
    first = {student.variant: student.settings for student in reversed(candidates.candidates(parameters))}
    return {candidates.SWEEP: {"chosen": first}} if parameters.sweep else {}

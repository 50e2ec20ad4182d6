"""Stage `fold`: what a generalist says of examples that it was not trained on, where none are held out from all."""

import numpy as np

from pipeline.stage import Artifact, Work
from stages import contents, network
from stages import generalist as whole
from stages.data import without_fold
from stages.parameters import MEMORY_BUDGET, AugmentParameters, TeacherParameters
from stages.shown import Pixels


def train(
    *,
    dataset: Artifact,
    generalist: TeacherParameters,
    augment: AugmentParameters,
    fold: int,
    weights: str | None = None,
    content: str | None = None,
    memory_budget: float = MEMORY_BUDGET,
    work: Work,
) -> Artifact:
    """Train a generalist on all folds but one, and predict that one. The network is not kept.

    Args:
        dataset: The training half of the data set, dealt out to folds.
        generalist: The network and its training, those of the generalist that is trained on all folds.
        augment: Each epoch shows another draw of it.
        fold: The fold that is left out and predicted.
        weights: File of weights that the network starts from.
        content: Digest of that file, and of a function's code.
        memory_budget: What the images may take on the device, in GiB.
        work: Its seed draws the weights, the order and the augmentation.

    Returns:
        Arrays `examples` int64 (examples of the fold,), ascending, and `log_probs` float32 (examples of the fold,
        classes). Facts: `fold`, and the `history` of the training, judged on the fold.
    """
    rest = without_fold(dataset, fold)
    net = whole.train(
        dataset=rest,
        generalist=generalist,
        augment=augment,
        weights=weights,
        content=content,
        memory_budget=memory_budget,
        work=work,
    )
    examples = np.flatnonzero(rest.arrays["holdout"])
    log_probs = network.predict(net, Pixels.of(rest).show(examples), warn=work.warn).log_softmax(dim=1)
    return Artifact(
        contents.fold(examples=examples, log_probs=log_probs.numpy(force=True)),
        {"fold": fold, "history": net.facts["history"]},
    )

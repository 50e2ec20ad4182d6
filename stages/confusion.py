"""Stage `confusion`: what the generalist takes for what, on examples it was not trained on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Artifact, Work
from specialists import subsets
from stages import contents, network
from stages.learning import metrics, training
from stages.shown import Pixels


def measure(*, dataset: Artifact, generalist: Artifact, work: Work) -> Artifact:
    """Predict the holdout and average the predictions over each true class.

    Args:
        dataset: The training half of the data set.
        generalist: The trained generalist.
        work: Its threads.

    Returns:
        Arrays `probs` float32 (holdout, classes), `labels` int64 (holdout,) and `confusion` float64 (classes, classes),
        the mean probability of each class over the examples of each true class. Facts: `accuracy` and `nll`.
    """
    training.use_threads(work.threads)
    held_out = np.flatnonzero(dataset.arrays["holdout"])
    labels = dataset.arrays["labels"][held_out]
    logits = network.predict(generalist, Pixels.of(dataset).show(held_out), warn=work.warn)
    return _measured(logits.log_softmax(dim=1).numpy(force=True), labels)


def gather(*, dataset: Artifact, folds: Sequence[Artifact], work: Work) -> Artifact:  # noqa: ARG001
    """Average what was predicted of every fold by the generalist that was trained on the others.

    Args:
        dataset: The training half of the data set, dealt out to folds.
        folds: What stage `fold` returned of each.
        work: Nothing of it is used.

    Returns:
        As `measure`, over all training examples, in their order.
    """
    examples = np.concatenate([fold.arrays["examples"] for fold in folds])
    log_probs = np.concatenate([fold.arrays["log_probs"] for fold in folds])
    return _measured(log_probs[np.argsort(examples)], dataset.arrays["labels"])


def _measured(log_probs: NDArray[np.float32], labels: NDArray[np.int64]) -> Artifact:
    probs = np.exp(log_probs)
    return Artifact(
        contents.confusion(probs=probs, labels=labels, class_means=subsets.soft_confusion(probs, labels)),
        {"accuracy": metrics.accuracy(log_probs, labels), "nll": metrics.nll(log_probs, labels)},
    )

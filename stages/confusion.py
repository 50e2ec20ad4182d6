"""Stage `confusion`: what the generalist takes for what, on examples it was not trained on."""

import numpy as np

from pipeline.stage import Artifact, Work
from specialists import subsets
from stages import network
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
    log_probs = logits.log_softmax(dim=1).numpy(force=True)
    probs = np.exp(log_probs)
    return Artifact(
        {"probs": probs, "labels": labels, "confusion": subsets.soft_confusion(probs, labels)},
        {"accuracy": metrics.accuracy(log_probs, labels), "nll": metrics.nll(log_probs, labels)},
    )

"""How good given networks are on the holdout, told before anything learns from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Artifact, Work
from stages import network
from stages.learning import training
from stages.learning.metrics import Flags
from stages.shown import Pixels

_JUDGED = 1000
"""Examples of the holdout that tell how good a network is, to one or two in a hundred: a CPU may have to show them."""
_CERTAIN = 2.0
"""Standard errors from which on one way to show the pixels is better than another."""


def tell(net: Artifact, dataset: Artifact, *, name: str, is_bare: bool, work: Work) -> None:
    """Tell the accuracy of a network on the holdout, and what it suggests; nothing where nothing is held out.

    Args:
        net: The network.
        dataset: The training half of the data set.
        name: What the network is called in a warning.
        is_bare: Whether it is of a file beside which nothing says what pixels it expects.
        work: Its progress is told the `accuracy`, of a specialist that on examples of its own classes with no other to
            choose; it is warned of a network that is no better than guessing, or better on pixels from 0 to 1.
    """
    subset, labels = net.facts.get("subset"), dataset.arrays["labels"]
    classes = range(len(dataset.facts["class_names"])) if subset is None else subset
    held_out = np.flatnonzero(dataset.arrays["holdout"] & np.isin(labels, classes))
    if not len(held_out):
        return
    examples = held_out[np.linspace(0, len(held_out) - 1, min(len(held_out), _JUDGED)).astype(np.int64)]
    training.use_threads(work.threads)
    right = _right(net, dataset, classes, examples, work)
    work.progress({"accuracy": float(right.mean())})
    where = "on the holdout" if subset is None else "on the holdout among its own classes"
    others = _right(_of_pixels_as_they_are(net), dataset, classes, examples, work) if is_bare else right
    shares = np.unique(labels[examples], return_counts=True)[1] / len(examples)
    if others.mean() > shares.max() and _is_better(others, right):
        rule = "expect normalised pixels, for nothing beside it says what it expects"
        got = f"{right.mean():.1%} right {where} with these and {others.mean():.1%} with pixels from 0 to 1"
        work.warn(f"{name} must {rule}; got {got}; give a function that returns the network, python:MODULE:FACTORY")
    elif len(shares) > 1 and right.mean() <= shares.max():
        got = f"{right.mean():.1%} {where}, where the commonest class is {shares.max():.1%}"
        hint = "see whether its outputs are in the order of the classes, and what pixels it expects"
        work.warn(f"{name} must do better than guessing; got {got}; {hint}")


def _right(net: Artifact, dataset: Artifact, classes: Sequence[int], examples: NDArray[np.int64], work: Work) -> Flags:
    """Return whether a network is right on each example, with no class to choose but its own, bool (examples,)."""
    logits = network.predict(net, Pixels.of(dataset).show(examples), warn=work.warn).numpy(force=True)
    right: Flags = np.asarray(classes)[logits[:, : len(classes)].argmax(axis=1)] == dataset.arrays["labels"][examples]
    return right


def _of_pixels_as_they_are(net: Artifact) -> Artifact:
    """Return a network that is shown pixels from 0 to 1."""
    said = net.facts["network"]
    pixels = {"mean": [0.0] * said["channels"], "std": [1.0] * said["channels"]}
    return Artifact(net.arrays, {**net.facts, "network": {**said, **pixels}})


def _is_better(first: Flags, second: Flags) -> bool:
    """Whether one is right more often than another on the same examples, by more than chance."""
    gained = first.astype(np.float64) - second
    return bool(gained.mean() > _CERTAIN * gained.std() / np.sqrt(len(gained)))

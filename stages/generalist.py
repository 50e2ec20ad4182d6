"""Stage `generalist`: a teacher over all classes."""

from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.stage import Artifact, Work
from stages import fitting, network
from stages.data import training_rows
from stages.learning import models
from stages.learning.objectives import labels_loss
from stages.learning.sampling import log_priors
from stages.learning.state import History
from stages.parameters import GIB, MEMORY_BUDGET, AugmentParameters, TeacherParameters
from stages.shown import Pixels


def train(
    *,
    dataset: Artifact,
    generalist: TeacherParameters,
    augment: AugmentParameters,
    weights: str | None = None,
    content: str | None = None,
    memory_budget: float = MEMORY_BUDGET,
    work: Work,
) -> Artifact:
    """Train the generalist on the training part without the holdout.

    Args:
        dataset: The training half of the data set.
        generalist: The network and its training.
        augment: Each epoch shows another draw of it.
        weights: File of weights that the network starts from.
        content: Digest of that file, and of a function's code.
        memory_budget: What the images may take on the device, in GiB.
        work: Its seed draws the weights, the order and the augmentation.

    Returns:
        The network, as `network.to_artifact` describes it. Facts also hold the `history` of its training.
    """
    labels = dataset.arrays["labels"]
    model, description = network.initial(
        generalist.model, dataset=dataset, seed=work.seed, weights=weights, content=content
    )
    examples = training_rows(dataset)
    pixels = Pixels.of(dataset, budget=memory_budget * GIB)
    is_balanced = generalist.sampling == "balanced"

    def epoch(number: int) -> fitting.Epoch:
        shown = examples[fitting.order(labels[examples], generalist.sampling, work, number)]
        draw = fitting.fresh_views if is_balanced else fitting.fresh_view
        return fitting.Epoch(shown, labels[shown], draw(pixels, shown, augment, work, number))

    # Trained with equal shares, it says p(class | image) up to the classes' shares in the data; specialists, with which
    # it is combined, speak of the data as they are. So it is judged as what it will be, and then made that.
    priors = log_priors(labels[examples], description["outputs"]) if is_balanced else None
    holdout = replace(fitting.Holdout.of(dataset), shifts=priors)
    history = fitting.fit(
        model,
        pixels,
        epoch,
        partial(labels_loss, smoothing=generalist.label_smoothing),
        holdout,
        parameters=generalist,
        work=work,
    )
    if priors is not None:
        models.shift_logits(model, priors)
    else:
        _warn_if_guessing(history, holdout, work)
    return network.to_artifact(model, description, {"history": history})


def _warn_if_guessing(history: History, holdout: fitting.Holdout, work: Work) -> None:
    """Tell of a network that has learnt nothing: whatever follows from it is worth nothing, however long it takes."""
    shares = np.unique(holdout.labels, return_counts=True)[1] / len(holdout.labels)
    if len(shares) > 1 and history[-1]["accuracy"] <= shares.max():
        got = f"got {history[-1]['accuracy']:.1%} on the holdout, where the commonest class is {shares.max():.1%}"
        what_to_do = "a smaller learning rate may help, or more epochs"
        work.warn(f"a trained network must do better than guessing; {got}; {what_to_do}")

"""Stage `student`: one small network, distilled from soft targets; its controls are the same with other targets."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json, Work
from specialists.frequencies import frequency_shift
from stages import fitting, network
from stages.learning.batches import Batch
from stages.learning.history import best_epoch
from stages.learning.models import shift_logits
from stages.learning.objectives import labels_loss, soft_targets_loss
from stages.learning.prediction import predict_logits
from stages.learning.sampling import log_priors
from stages.learning.training import Objective
from stages.parameters import GIB, MEMORY_BUDGET, StudentParameters
from stages.shown import Pixels, replayed_view
from stages.soft_targets import SoftTargets, TrainingTargets

_FREQUENCIES_WITHIN = 1e-3


def train(
    *,
    dataset: Artifact,
    views: Sequence[Artifact],
    targets: Sequence[Artifact],
    student: StudentParameters,
    calibration: Artifact | None = None,
    weights: str | None = None,
    content: str | None = None,
    memory_budget: float = MEMORY_BUDGET,
    work: Work,
) -> Artifact:
    """Train a student on the views that the teachers saw.

    Args:
        dataset: The training half of the data set.
        views: All views, in order; epoch e shows view e mod views.
        targets: The shards of a table over all classes, in canonical order; none for a student of labels alone.
        student: The network, its training, and the weight and temperature of the soft targets.
        calibration: The temperature of the one teacher whose table it is; none for a table that is calibrated already,
            or not at all.
        weights: File of weights that the network starts from.
        content: Digest of that file, and of a function's code.
        memory_budget: What the images and the table may take on the device, in GiB.
        work: Its seed, which all students of a run share, draws the weights and the order; its team trains it together.

    Returns:
        The network. Facts also hold the `history` of its training, and its accuracy and NLL on the `holdout`, if there
        is one; the `shift` of the outputs' biases, where there is one.
    """
    if work.team.size != student.workers:
        rule = "be the number of processes that train it, which its recipe says"
        raise ValueError(f"student.workers must {rule}; got {student.workers} for {work.team.size}")
    labels = dataset.arrays["labels"]
    model, description = network.initial(
        student.model, dataset=dataset, seed=work.seed, weights=weights, content=content
    )
    pixels = Pixels.of(dataset, budget=memory_budget * GIB)
    table = _table(targets, views, dataset, pixels, memory_budget * GIB) if targets else None
    calibrated = 1.0 if calibration is None else calibration.facts["temperature"]
    # Shown equal shares, labels teach p(class | image) up to the classes' shares in the data. Soft targets without
    # these teach the same; with them, the two terms of the loss would pull apart.
    present = labels[views[0].arrays["examples"]]  # as in all views
    priors = log_priors(present, description["outputs"]) if student.sampling == "balanced" else None
    shifts = None if priors is None else torch.from_numpy(-priors).float()

    def epoch(number: int) -> fitting.Epoch:
        view = views[number % len(views)]
        shown, parameters = replayed_view(view, fitting.order(present, student.sampling, work, number))
        log_q = table.log_q(shown, view.facts["view"], student.temperature, calibrated, shifts) if table else None
        return fitting.Epoch(shown, labels[shown], parameters, log_q)

    holdout = replace(fitting.Holdout.of(dataset), shifts=priors)
    history = fitting.fit(model, pixels, epoch, _objective(student), holdout, parameters=student, work=work)
    kept = history[best_epoch(history) - 1] if student.keep == "best" else history[-1]
    judged = {measure: kept[measure] for measure in ("accuracy", "nll") if measure in kept}
    if priors is not None:
        shift_logits(model, priors)
    facts = {"history": history} | ({"holdout": judged} if judged else {})
    if student.match_frequencies:
        facts |= _match_frequencies(model, dataset, pixels, work)
    return network.to_artifact(model, description, facts)


def _objective(student: StudentParameters) -> Objective:
    """Return what is minimised: of the labels alone where a batch has no soft targets."""

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        if batch.log_q is None:
            return labels_loss(logits, batch, smoothing=student.label_smoothing)
        return soft_targets_loss(
            logits,
            batch.labels,
            batch.log_q,
            temperature=student.temperature,
            alpha=student.alpha,
            smoothing=student.label_smoothing,
        )

    return objective


def _table(
    targets: Sequence[Artifact], views: Sequence[Artifact], dataset: Artifact, pixels: Pixels, budget: float
) -> TrainingTargets:
    """Return the table of some shards, on the device if there is room for it beside the images."""
    taken = 0 if pixels.resident is None else pixels.resident.nbytes
    is_resident = taken + sum(shard.facts["bytes"] for shard in targets) <= budget
    return TrainingTargets(SoftTargets(targets, views, dataset), pixels.device, is_resident=is_resident)


def _match_frequencies(model: nn.Module, dataset: Artifact, pixels: Pixels, work: Work) -> dict[str, Json]:
    """Shift the biases of the outputs until the holdout's images have the frequencies of the training labels.

    Returns:
        Facts: `shift`, what was added to each, and what is known of the `holdout` after that.
    """
    labels, holdout = dataset.arrays["labels"], fitting.Holdout.of(dataset)
    shown = pixels.show(holdout.examples)
    predict = partial(predict_logits, model, shown, mean=pixels.mean, std=pixels.std, warn=work.warn)
    logits = predict()
    counts = torch.from_numpy(np.bincount(labels, minlength=logits.shape[1]))
    shift = frequency_shift(logits, counts / len(labels))
    shift_logits(model, shift.numpy(force=True))
    shifted = predict()
    off = float((shifted.double().softmax(dim=1).mean(dim=0).cpu() - counts / len(labels)).abs().max())
    if not off <= _FREQUENCIES_WITHIN:
        rule = f"have the classes' frequencies within {_FREQUENCIES_WITHIN:g} when its last biases are shifted for that"
        raise StageError(f"the student must {rule}; got {off:.2g} off: does its last layer make its logits?")
    return {"shift": shift.tolist(), "holdout": holdout.judge(shifted)}

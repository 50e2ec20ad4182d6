"""Stage `student`: one small network, distilled from soft targets; its controls are the same with other targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.stage import Artifact, Work
from stages import fitting, network, soft_targets
from stages.learning.batches import Batch
from stages.learning.objectives import labels_loss, soft_targets_loss
from stages.learning.state import best_epoch
from stages.parameters import StudentParameters


def train(
    *,
    dataset: Artifact,
    views: Sequence[Artifact],
    targets: Sequence[Artifact],
    student: StudentParameters,
    weights: str | None = None,
    content: str | None = None,
    work: Work,
) -> Artifact:
    """Train a student on the views that the teachers saw.

    Args:
        dataset: The training half of the data set.
        views: All views, in order; epoch e shows view e mod views.
        targets: The shards of a table over all classes, in canonical order; none for a student of labels alone.
        student: The network, its training, and the weight and temperature of the soft targets.
        weights: File of weights that the network starts from.
        content: Digest of that file, and of a function's code.
        work: Its seed, which all students of a run share, draws the weights and the order.

    Returns:
        The network. Facts also hold the `history` of its training, and its accuracy and NLL on the `holdout`.
    """
    labels = dataset.arrays["labels"]
    model, description = network.initial(
        student.model, dataset=dataset, seed=work.seed, weights=weights, content=content
    )
    pixels = fitting.Pixels.of(dataset)
    table = soft_targets.SoftTargets(targets, views, dataset) if targets else None

    def epoch(number: int) -> fitting.Epoch:
        view = views[number % len(views)]
        order = fitting.permutation(view.facts["rows"], work, number)
        shown, parameters = fitting.replayed_view(view, order)
        log_q = None
        if table:
            rows = table.find(shown, view.facts["view"])
            log_q = _LogQ(table, rows, student.temperature, pixels.images.device)
        return fitting.Epoch(shown, labels[shown], parameters, log_q)

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

    history = fitting.fit(
        model,
        pixels,
        epoch,
        objective,
        fitting.Holdout.of(dataset),
        parameters=student,
        work=work,
    )
    kept = history[best_epoch(history) - 1] if student.keep == "best" else history[-1]
    holdout = {measure: kept[measure] for measure in ("accuracy", "nll")}
    return network.to_artifact(model, description, {"history": history, "holdout": holdout})


@dataclass(frozen=True)
class _LogQ:
    """The soft targets of an epoch, read batch by batch: a view of a big data set would not fit into memory.

    What top-k has left out is right at the student's temperature: that is the one the objective tempers to.
    """

    table: soft_targets.SoftTargets
    rows: fitting.Ids
    temperature: float
    device: torch.device

    def __getitem__(self, batch: slice) -> Tensor:
        logits = self.table.logits(self.rows[batch], temperature=self.temperature, device=self.device)
        return logits.log_softmax(dim=1)

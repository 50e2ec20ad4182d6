"""Stage `specialist`: a teacher over one confusable subset and a dustbin for all other classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.stage import Artifact, Work
from specialists import dustbin, enrichment
from stages import fitting, network
from stages.data import training_rows
from stages.learning import models
from stages.learning.batches import Batch
from stages.learning.objectives import labels_loss, soft_targets_loss
from stages.parameters import GIB, MEMORY_BUDGET, AugmentParameters, TrainingParameters
from stages.shown import Pixels
from stages.tasks import subset_name


def train(
    *,
    dataset: Artifact,
    generalist: Artifact,
    specialists: TrainingParameters,
    fraction: float,
    regularize: Literal["none", "soft_targets"],
    augment: AugmentParameters,
    subset: Sequence[int],
    memory_budget: float = MEMORY_BUDGET,
    work: Work,
) -> Artifact:
    """Train one specialist, starting from the generalist.

    Args:
        dataset: The training half of the data set.
        generalist: The trained generalist.
        specialists: The training.
        fraction: Share of an epoch's examples that are of the subset's classes.
        regularize: With `soft_targets`, the network keeps an output for every class, and of examples of other classes
            it learns what the generalist says of these on the same pixels (Hinton et al. 2015, section 6.1).
        augment: Each epoch shows another draw of it.
        subset: The classes, ascending; at least two, and not all.
        memory_budget: What the images may take on the device, in GiB.
        work: Its seed draws the other classes' examples, the order and the augmentation.

    Returns:
        The network; its predictions are of the subset's classes and, last, the dustbin. Facts also hold its `name`,
        `subset`, the `history` of its training (judged on the holdout's examples of the subset), and the
        `prior_correction` of its dustbin's logit.
    """
    classes = torch.tensor(subset)
    examples = training_rows(dataset)
    global_labels = models.as_tensor(dataset.arrays["labels"])
    labels = dustbin.subset_labels(global_labels, classes, len(dataset.facts["class_names"])).numpy()
    pool = global_labels[torch.from_numpy(examples)]
    # A generalist that was trained elsewhere may expect another mean of the pixels; its specialists start from it.
    expected = {name: generalist.facts["network"][name] for name in ("mean", "std")}
    pixels = replace(Pixels.of(dataset, budget=memory_budget * GIB), **expected)
    teach = None
    if regularize == "soft_targets":
        teach = network.predictor(generalist, pixels.device)
    model, description = _from_generalist(generalist, classes, keep_all=teach is not None)

    def epoch(number: int) -> fitting.Epoch:
        shown = examples[dustbin.enriched_epoch(pool, classes, fraction, fitting.generator(work, number)).numpy()]
        hard = fitting.Epoch(shown, labels[shown], fitting.fresh_view(pixels, shown, augment, work, number))
        return replace(hard, log_q=_Regularized(hard, pixels, classes, teach)) if teach else hard

    history = fitting.fit(
        model,
        pixels,
        epoch,
        partial(_objective, smoothing=specialists.label_smoothing),
        fitting.Holdout.of_subset(dataset, list(subset)),
        parameters=specialists,
        work=work,
    )
    inside = int(torch.isin(pool, classes).sum())
    used = enrichment.used_fraction(inside, fraction)
    facts = {
        "name": subset_name(subset),
        "subset": list(subset),
        "prior_correction": enrichment.prior_correction(used, inside / len(pool)),
        "history": history,
    }
    return network.to_artifact(model, description, facts)


@dataclass(frozen=True)
class _Regularized:
    """What a specialist with an output for every class learns in an epoch, computed when a batch is shown.

    Attributes:
        epoch: The examples as they are shown, with labels of the subset and the dustbin.
        pixels: The data set.
        subset: The classes, int64 (|S|,).
        teach: Returns the generalist's logits of images.
    """

    epoch: fitting.Epoch
    pixels: Pixels
    subset: Tensor
    teach: Callable[[Tensor], Tensor]

    def __getitem__(self, batch: slice) -> Tensor:
        labels = self.epoch.labels[batch]
        outside = labels == len(self.subset)
        view = {name: values[batch][outside] for name, values in self.epoch.view.items()}
        said = self.teach(self.pixels.seen(self.epoch.examples[batch][outside], view))
        device = said.device
        logits = said.new_zeros(len(labels), said.shape[1])
        logits[torch.from_numpy(outside).to(device)] = said
        return dustbin.regularized_targets(torch.from_numpy(labels).to(device), logits, self.subset.to(device))


def _objective(logits: Tensor, batch: Batch, *, smoothing: float) -> Tensor:
    """Return the cross-entropy with the labels, or with the targets of `_Regularized` where there are any."""
    if batch.log_q is None:
        return labels_loss(logits, batch, smoothing=smoothing)
    return soft_targets_loss(logits, batch.labels, batch.log_q, temperature=1.0, alpha=1.0)


def _from_generalist(generalist: Artifact, subset: Tensor, *, keep_all: bool) -> tuple[nn.Module, network.Description]:
    """Return the generalist's network with a head for the subset and its dustbin, or for the subset and all others."""
    make_head = dustbin.full_head if keep_all else dustbin.initial_head
    n_outputs = generalist.facts["network"]["outputs"] if keep_all else len(subset) + 1
    description: network.Description = generalist.facts["network"] | {"outputs": n_outputs}
    if keep_all:
        description["inside"] = len(subset)
    model = network.build(description, seed=0)
    head, old_weight, old_bias = models.head_weights(model, generalist.arrays)
    weight, bias = make_head(old_weight, old_bias, subset)
    heads = {f"{head}.weight": weight.numpy(), f"{head}.bias": bias.numpy()}
    models.arrays_to_state(model, dict(generalist.arrays) | heads)
    return model, description

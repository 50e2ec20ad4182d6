"""Stage `specialist`: a teacher over one confusable subset and a dustbin for all other classes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.stage import Artifact, Work
from specialists import dustbin
from stages import fitting, network
from stages.data import transfer_rows
from stages.learning import models
from stages.learning.objectives import labels_loss
from stages.parameters import AugmentParameters, TrainingParameters
from stages.tasks import subset_name


def train(
    *,
    dataset: Artifact,
    generalist: Artifact,
    specialists: TrainingParameters,
    fraction: float,
    augment: AugmentParameters,
    subset: Sequence[int],
    work: Work,
) -> Artifact:
    """Train one specialist, starting from the generalist.

    Args:
        dataset: The training half of the data set.
        generalist: The trained generalist.
        specialists: The training.
        fraction: Share of an epoch's examples that are of the subset's classes.
        augment: Each epoch shows another draw of it.
        subset: The classes, ascending; at least two, and not all.
        work: Its seed draws the other classes' examples, the order and the augmentation.

    Returns:
        The network, whose last output is the dustbin. Facts also hold its `name`, `subset`, the `history` of its
        training (judged on the holdout's examples of the subset), and the `prior_correction` of its dustbin's logit.
    """
    classes = torch.tensor(subset)
    examples = transfer_rows(dataset)
    global_labels = models.as_tensor(dataset.arrays["labels"])
    labels = dustbin.subset_labels(global_labels, classes, len(dataset.facts["class_names"])).numpy()
    pool = global_labels[torch.from_numpy(examples)]
    description = generalist.facts["network"] | {"outputs": len(subset) + 1}
    model = _from_generalist(generalist, description, classes)

    def epoch(number: int) -> fitting.Epoch:
        shown = examples[dustbin.enriched_epoch(pool, classes, fraction, fitting.generator(work, number)).numpy()]
        return fitting.Epoch(shown, labels[shown], fitting.fresh_view(shown, augment, work, number))

    history = fitting.fit(
        model,
        fitting.Pixels.of(dataset),
        epoch,
        labels_loss,
        fitting.Holdout.of_subset(dataset, list(subset)),
        parameters=specialists,
        work=work,
    )
    inside = int(torch.isin(pool, classes).sum())
    used = dustbin.used_fraction(inside, fraction)
    facts = {
        "name": subset_name(subset),
        "subset": list(subset),
        "prior_correction": dustbin.prior_correction(used, inside / len(pool)),
        "history": history,
    }
    return network.to_artifact(model, description, facts)


def _from_generalist(generalist: Artifact, description: network.Description, subset: Tensor) -> nn.Module:
    """Return the generalist's network with a head for the subset and the dustbin."""
    model = network.build(description, seed=0)
    head = dustbin.initial_head(
        models.as_tensor(generalist.arrays["head.weight"]),
        models.as_tensor(generalist.arrays["head.bias"]),
        subset,
    )
    arrays = dict(generalist.arrays) | {"head.weight": head[0].numpy(), "head.bias": head[1].numpy()}
    models.arrays_to_state(model, arrays)
    return model

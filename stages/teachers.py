"""The trained teachers of a run as one ensemble."""

from collections.abc import Sequence

import torch

from pipeline.stage import Artifact
from specialists.ensemble import Ensemble, Specialist, Teacher
from stages import network
from stages.inference import Classifier
from stages.learning import training
from stages.parameters import CombineParameters


def ensemble(
    generalist: Teacher,
    outputs: Sequence[Teacher],
    specialists: Sequence[Artifact],
    combine: CombineParameters,
    temperatures: Sequence[float] = (),
) -> Ensemble:
    """Return what combines teachers.

    Args:
        generalist: Returns the generalist's logits of inputs.
        outputs: Of every specialist, what returns its logits, as they were trained.
        specialists: The trained specialists, for their subsets and the corrections of their dustbins.
        combine: How they are combined.
        temperatures: Of the teachers, the generalist's first; none for 1 each.
    """
    of_generalist, *of_specialists = temperatures or [1.0] * (1 + len(specialists))
    members = [
        Specialist(output, torch.tensor(net.facts["subset"]), net.facts["prior_correction"], temperature)
        for net, output, temperature in zip(specialists, outputs, of_specialists, strict=True)
    ]
    return Ensemble(generalist, members, combine.active_classes, combine.divergence, of_generalist)


def networks(
    generalist: Artifact,
    specialists: Sequence[Artifact],
    combine: CombineParameters,
    temperatures: Sequence[float] = (),
) -> Ensemble:
    """Return the ensemble of trained networks; it takes pixels, uint8 (images, height, width, channels)."""
    device = training.device()
    predictors = [network.predictor(net, device) for net in (generalist, *specialists)]
    return ensemble(predictors[0], predictors[1:], specialists, combine, temperatures)


def classifier(together: Ensemble, generalist: Artifact, class_names: Sequence[str]) -> Classifier:
    """Return the ensemble of `networks` as a classifier that takes what the generalist takes."""
    description = generalist.facts["network"]
    height, width = description["image_size"]
    return Classifier(
        tuple(class_names), (height, width), description["channels"], lambda pixels: together(pixels).probs.log()
    )

"""Stage `calibration`: the temperature at which a teacher's confidence fits the holdout best."""

import numpy as np
import torch

from pipeline.stage import Artifact, Work
from specialists.calibration import calibrated, fit_temperature
from specialists.dustbin import subset_labels
from stages import network, soft_targets
from stages.learning import metrics, training
from stages.learning.models import as_tensor
from stages.shown import Pixels


def fit(*, dataset: Artifact, teacher: Artifact, work: Work) -> Artifact:
    """Fit one teacher's temperature on the whole holdout, a specialist's with its prior corrected.

    Args:
        dataset: The training half of the data set.
        teacher: The generalist or a specialist.
        work: Its threads.

    Returns:
        Facts: `temperature`, and the teacher's `nll` and `ece` on the holdout at temperature 1 (`before`) and at this
        (`after`), of a specialist over its subset and the dustbin.
    """
    training.use_threads(work.threads)
    held_out = np.flatnonzero(dataset.arrays["holdout"])
    labels = as_tensor(dataset.arrays["labels"][held_out])
    logits = network.predict(teacher, Pixels.of(dataset).show(held_out), warn=work.warn).cpu().double()
    if "subset" in teacher.facts:
        labels = subset_labels(labels, torch.tensor(teacher.facts["subset"]), len(dataset.facts["class_names"]))
        logits = soft_targets.corrected(logits, teacher.facts["prior_correction"])
    temperature = fit_temperature(logits, labels)

    def measured(temperature: float) -> dict[str, float]:
        log_probs = calibrated(logits, temperature).log_softmax(dim=1).numpy()
        return {"nll": metrics.nll(log_probs, np.asarray(labels)), "ece": metrics.ece(log_probs, np.asarray(labels))}

    return Artifact(
        facts={"temperature": temperature, "before": measured(1.0), "after": measured(temperature)},
    )

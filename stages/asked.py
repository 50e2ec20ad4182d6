"""What all models say of the test split: each network is asked once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Artifact
from specialists.ensemble import Ensemble, Prediction
from stages import network, teachers
from stages.learning.metrics import Labels, Scores
from stages.learning.prediction import Images
from stages.parameters import CombineParameters


@dataclass(frozen=True)
class Teachers:
    """What all teachers say of all test examples: asked once, combined with and without their temperatures.

    Attributes:
        logits: The generalist's, (examples, classes).
        outputs: Of every specialist, its logits, (examples, subset and dustbin).
        specialists: The specialists.
        wanted: How they are combined.
    """

    logits: Tensor
    outputs: Sequence[Tensor]
    specialists: Sequence[Artifact]
    wanted: CombineParameters

    def combined(self, temperatures: Sequence[float]) -> Prediction:
        """Return what the ensemble says, at the teachers' temperatures, the generalist's first; at 1 without any."""
        return self._ensemble(temperatures)(self._all)

    def of_specialists(self, temperatures: Sequence[float]) -> dict[str, NDArray[np.float32]]:
        """Return by its name the log-probabilities of every specialist."""
        members = self._ensemble(temperatures).specialists
        return {
            net.facts["name"]: as_log_probs(member.probs(self._all).log())
            for net, member in zip(self.specialists, members, strict=True)
        }

    @property
    def _all(self) -> Tensor:
        return torch.arange(len(self.logits))

    def _ensemble(self, temperatures: Sequence[float]) -> Ensemble:
        outputs = [output.__getitem__ for output in self.outputs]
        return teachers.ensemble(self.logits.__getitem__, outputs, self.specialists, self.wanted, temperatures)


@dataclass(frozen=True)
class Said:
    """What all models say of the test split, as log-probabilities (examples, classes).

    Attributes:
        labels: int64 (examples,).
        generalist: The generalist's.
        ensemble: The ensemble's.
        students: By variant, those of each seed's student.
        active: Which specialists were asked, bool (examples, specialists).
        teachers: What the ensemble was combined from.
    """

    labels: Labels
    generalist: Scores
    ensemble: Scores
    students: Mapping[str, Sequence[Scores]]
    active: Tensor
    teachers: Teachers

    def by_model(self, seeds: Sequence[int]) -> dict[str, Scores]:
        """Return what each model says by its name, with its seed where there are several."""
        of_seeds = {
            f"student {variant}" + (f" of seed {seed}" if len(seeds) > 1 else ""): one
            for variant, found in self.students.items()
            for seed, one in zip(seeds, found, strict=True)
        }
        return {"generalist": self.generalist, "ensemble": self.ensemble, **of_seeds}


@dataclass(frozen=True)
class Models:
    """All networks that are measured.

    Attributes:
        generalist: The generalist.
        specialists: The specialists.
        students: By variant, the student of each seed.
        seeds: The seeds.
        combine: How the ensemble is combined.
        temperatures: Of the teachers, the generalist's first; none where they are not calibrated.
    """

    generalist: Artifact
    specialists: Sequence[Artifact]
    students: Mapping[str, Sequence[Artifact]]
    seeds: Sequence[int]
    combine: CombineParameters
    temperatures: Sequence[float]

    def asked(self, images: Images, labels: Labels, warn: Callable[[str], None]) -> Said:
        """Return what they say of images."""
        logits = network.predict(self.generalist, images, warn=warn).cpu()
        outputs = [network.predict(specialist, images, warn=warn).cpu() for specialist in self.specialists]
        asked = Teachers(logits, outputs, self.specialists, self.combine)
        prediction = asked.combined(self.temperatures)
        students = {
            variant: [as_log_probs(network.predict(student, images, warn=warn)) for student in trained]
            for variant, trained in self.students.items()
        }
        together = as_log_probs(prediction.probs.log())
        return Said(labels, as_log_probs(logits), together, students, prediction.active, asked)

    def ensemble(self) -> Ensemble:
        """Return the ensemble as it answers images, every active specialist asked anew."""
        return teachers.networks(self.generalist, self.specialists, self.combine, self.temperatures)


def as_log_probs(logits: Tensor) -> NDArray[np.float32]:
    """Return the log-probabilities of logits (examples, outputs)."""
    return logits.double().log_softmax(dim=1).float().numpy(force=True)

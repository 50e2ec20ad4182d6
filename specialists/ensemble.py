"""The ensemble: a generalist and its specialists as one predictor.

    ensemble = Ensemble(generalist, [Specialist(predict, subset, prior_correction=1.5), ...], active_classes=2)
    ensemble(images).probs

A teacher is any function from a batch to logits. Logits that are known already serve as well: their function is
`logits.__getitem__`, and the batch the rows that are wanted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from specialists.active import active_set
from specialists.calibration import calibrated
from specialists.combine import Combination, combine_rows
from specialists.dustbin import corrected

Teacher = Callable[[Tensor], Tensor]
"""Returns the logits (rows, outputs) of a batch (rows, ...)."""


@dataclass(frozen=True)
class Specialist:
    """A teacher over a subset of the classes and a dustbin.

    Attributes:
        predict: Returns logits as they were trained, (rows, |S| + 1), dustbin last.
        subset: Class ids in the order of the outputs, int64 (|S|,).
        prior_correction: What is added to the dustbin's logit, in nats, from `enrichment.prior_correction`.
        temperature: What the corrected logits are divided by, from `calibration.fit_temperature`.
    """

    predict: Teacher
    subset: Tensor
    prior_correction: float = 0.0
    temperature: float = 1.0

    def probs(self, inputs: Tensor) -> Tensor:
        """Return the corrected and calibrated probabilities of a batch.

        Args:
            inputs: Whatever `predict` takes, (rows, ...).

        Returns:
            softmax((z + correction on the dustbin) / T), float64 (rows, |S| + 1), dustbin last.

        Raises:
            SpecialistsError: The temperature is not positive.
        """
        return calibrated(corrected(self.predict(inputs), self.prior_correction), self.temperature).softmax(dim=1)


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of a batch.

    Attributes:
        combination: The probabilities and their certificate.
        active: Which specialists were asked about which row, bool (batch, specialists).
    """

    combination: Combination
    active: Tensor

    @property
    def probs(self) -> Tensor:
        """The ensemble's probabilities, float64 (batch, classes), on the device of the generalist's logits."""
        return self.combination.probs


@dataclass(frozen=True)
class Ensemble:
    """A generalist and its specialists (Hinton, Vinyals, Dean 2015, section 5.3).

    Attributes:
        generalist: Returns logits over all classes, (rows, N).
        specialists: Any number, also none.
        active_classes: A specialist is active where its subset holds one of so many classes, the most probable to
            the generalist.
        divergence: What the combination minimises, one of `combine.DIVERGENCES`.
        temperature: What the generalist's logits are divided by.
    """

    generalist: Teacher
    specialists: Sequence[Specialist]
    active_classes: int
    divergence: str = "forward"
    temperature: float = 1.0

    def __call__(self, inputs: Tensor) -> Prediction:
        """Predict a batch; each specialist is asked about the rows where it is active, and not at all if on none.

        Args:
            inputs: Whatever the teachers take, (batch, ...).

        Returns:
            Probabilities, certificate, and who was active.

        Raises:
            SpecialistsError: The teachers' outputs are of wrong shape, hold NaN or cannot be combined.
        """
        logits = self.generalist(inputs)
        active = active_set(logits, [specialist.subset for specialist in self.specialists], self.active_classes)
        rows = [active[:, m].nonzero().squeeze(1) for m in range(len(self.specialists))]
        combination = combine_rows(
            calibrated(logits, self.temperature).softmax(dim=1),
            rows,
            [
                specialist.probs(inputs[index.to(inputs.device)]) if len(index) else _nothing(specialist)
                for specialist, index in zip(self.specialists, rows, strict=True)
            ],
            [specialist.subset for specialist in self.specialists],
            divergence=self.divergence,
        )
        return Prediction(combination, active)


def _nothing(specialist: Specialist) -> Tensor:
    return torch.empty(0, len(specialist.subset) + 1, dtype=torch.float64)

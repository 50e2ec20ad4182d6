"""How a training goes."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Settings:
    """How a training goes.

    Attributes:
        epochs: Passes over the training examples.
        steps_per_epoch: Batches of each, which the schedule must know.
        learning_rate: The largest, reached at the end of the warm-up; from there a cosine leads to zero.
        momentum: Nesterov's, in [0, 1).
        weight_decay: Of weights that are matrices or more; norms and biases have none.
        warmup: Share of all steps in which the learning rate rises in equal steps.
        precision: `bf16` computes the network, though not the loss, in bfloat16.
        seed: What a step draws at random, such as which units drop out, is drawn from this and its number.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    precision: Precision = "fp32"
    seed: int = 0

    @property
    def n_steps(self) -> int:
        """The number of steps in all."""
        return self.epochs * self.steps_per_epoch

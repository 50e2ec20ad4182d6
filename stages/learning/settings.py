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
        learning_rate: The largest, reached at the end of the warm-up.
        optimiser: `sgd` with Nesterov's momentum, or `adamw` (Loshchilov and Hutter 2019).
        momentum: In [0, 1); of AdamW its beta1, beta2 being 0.999.
        weight_decay: Of weights that are matrices or more; norms and biases have none.
        schedule: `cosine`, a linear rise and half a cosine to zero, or `one_cycle` (Smith and Topin 2018).
        warmup: Share of all steps in which the learning rate rises.
        clip: Largest norm of the gradient of all weights together: a longer one is scaled to it.
        max_norm: Largest norm of the weights into one unit: longer ones are scaled to it after each step.
        mixup: Both parameters of the beta distribution that images are mixed by (Zhang et al. 2018); 0 mixes none.
        ema: What is judged and returned are not the last weights but their exponential mean, which keeps this share
            of itself at each step, less at the first ones; 0 for the last weights.
        keep: Which epoch's weights are returned: those of the `last`, or of the `best` that validation saw, with the
            highest accuracy, and of equal ones the lowest NLL.
        precision: `bf16` computes the network, though not the loss, in bfloat16.
        compile: Whether the network is compiled for its training.
        cuda_graph: Whether a GPU replays the network's passes from a graph, where it is not compiled.
        deterministic: Whether a GPU too gives the same bits each time; an operation that cannot is an error.
        seed: What a step draws at random, such as which units drop out, is drawn from this and its number.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    optimiser: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["cosine", "one_cycle"] = "cosine"
    warmup: float = 0.1
    clip: float | None = None
    max_norm: float | None = None
    mixup: float = 0.0
    ema: float = 0.0
    keep: Literal["last", "best"] = "last"
    precision: Precision = "fp32"
    compile: bool = False
    cuda_graph: bool = True
    deterministic: bool = False
    seed: int = 0

    @property
    def n_steps(self) -> int:
        """The number of steps in all."""
        return self.epochs * self.steps_per_epoch

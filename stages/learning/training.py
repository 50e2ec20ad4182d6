"""The training loop, the only one, and prediction."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD

from stages.learning.errors import TrainingError
from stages.learning.views import normalise

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Batch:
    """What one step sees, all on one device.

    Attributes:
        images: Normalised, float32 (batch, channels, height, width).
        labels: int64 (batch,).
        log_q: Logarithm of the soft targets at temperature 1, float32 (batch, classes), if there are any.
    """

    images: Tensor
    labels: Tensor
    log_q: Tensor | None = None


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
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    precision: Precision = "fp32"


Facts = Mapping[str, float]
History = list[dict[str, float]]
Objective = Callable[[Tensor, Batch], Tensor]
Progress = Callable[[Facts], None]
Validate = Callable[[], Facts]


def device() -> torch.device:
    """Return the device to compute on: a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(n_threads: int) -> None:
    """Let the process use this many CPU threads; sums differ with it in their last bits."""
    torch.set_num_threads(n_threads)


def batch_slices(n_examples: int, batch_size: int) -> list[slice]:
    """Return the batches of an epoch as slices of its order, none dropped.

    A last batch of one example, which batch normalisation cannot learn from, joins the one before.
    """
    starts = list(range(0, n_examples, batch_size))
    if len(starts) > 1 and batch_size > 1 and n_examples - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in pairwise([*starts, n_examples])]


def fit(
    model: nn.Module,
    batches_of_epoch: Callable[[int], Iterable[Batch]],
    objective: Objective,
    settings: Settings,
    *,
    progress: Progress | None = None,
    validate: Validate | None = None,
) -> History:
    """Train a network with SGD.

    The result depends on the arguments alone: on the CPU, for one number of threads, to the last bit.

    Args:
        model: Changed in place, on the device of the batches; returned to evaluation mode.
        batches_of_epoch: Returns the batches of an epoch, counted from 0.
        objective: Returns the mean loss of a batch, from float32 logits (batch, classes).
        settings: How the training goes.
        progress: Called after each epoch with `epoch` (from 1), `epochs`, and what `History` has of it.
        validate: Called after each epoch, the model being in evaluation mode; its facts join the epoch's.

    Returns:
        Of each epoch `epoch` (from 1), `loss` (the mean over its steps) and the facts of `validate`.

    Raises:
        TrainingError: A loss was not finite, or an epoch had another number of batches than was said.
    """
    model.to(memory_format=torch.channels_last)
    optimiser = _optimiser(model, settings)
    history: History = []
    for epoch in range(settings.epochs):
        losses = _train_epoch(model, batches_of_epoch, objective, settings, optimiser, epoch)
        facts = {"epoch": epoch + 1, "loss": _finite_mean(losses, epoch, settings)}
        model.eval()
        facts |= validate() if validate else {}
        history.append(facts)
        if progress:
            progress({"epochs": settings.epochs, **facts})
    return history


def learning_rate_at(step: int, settings: Settings) -> float:
    """Return the learning rate of a step, counted from 0.

    It rises in equal steps through the warm-up, then follows half a cosine that is zero after the last step.
    """
    n_steps = settings.epochs * settings.steps_per_epoch
    n_warmup = int(settings.warmup * n_steps)
    if step < n_warmup:
        return settings.learning_rate * (step + 1) / n_warmup
    done = (step - n_warmup) / (n_steps - n_warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2


def predict_logits(
    model: nn.Module,
    images: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 1024,
    precision: Precision = "fp32",
) -> Tensor:
    """Return the logits of images.

    Args:
        model: On the device of the images; left in evaluation mode.
        images: uint8 (examples, height, width, channels).
        mean: Of each channel, of pixels scaled to [0, 1].
        std: Of each channel.
        batch_size: Examples at a time; the last bits of the logits may differ with it.
        precision: What the network computes in.

    Returns:
        float32 (examples, outputs), on the device of the images.
    """
    model.eval()
    starts = range(0, max(len(images), 1), batch_size)  # no images make one empty batch: none, but of full width
    with torch.inference_mode():
        parts = [_logits(model, normalise(images[i : i + batch_size], mean, std), precision) for i in starts]
    # Outside of the inference mode, so that what is returned may take part in a training.
    return torch.cat(parts)


def _optimiser(model: nn.Module, settings: Settings) -> SGD:
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return SGD(
        [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )


def _train_epoch(
    model: nn.Module,
    batches_of_epoch: Callable[[int], Iterable[Batch]],
    objective: Objective,
    settings: Settings,
    optimiser: SGD,
    epoch: int,
) -> list[Tensor]:
    """Return the loss of each step, still on the device: reading one would wait for it."""
    model.train()
    losses: list[Tensor] = []
    for step, batch in enumerate(batches_of_epoch(epoch), start=epoch * settings.steps_per_epoch):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        loss = objective(_logits(model, batch.images, settings.precision), batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.detach())
    return losses


def _logits(model: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    """Return float32 logits of normalised images."""
    # On a CPU, channels_last made a step on 32 x 32 colour images 1.6 times as fast, in fp32 and in bf16.
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits: Tensor = model(images)
    return logits.float()


def _finite_mean(losses: list[Tensor], epoch: int, settings: Settings) -> float:
    if len(losses) != settings.steps_per_epoch:
        rule = f"have {settings.steps_per_epoch} batches, as the schedule counts them"
        raise TrainingError(f"epoch {epoch + 1} must {rule}; got {len(losses)}")
    values = torch.stack(losses).tolist()
    for step, value in enumerate(values, start=1):
        if not math.isfinite(value):
            where = f"epoch {epoch + 1} of {settings.epochs}, step {step} of {len(values)}"
            raise TrainingError(f"loss must be finite; got {value} in {where}; a smaller learning rate may help")
    return math.fsum(values) / len(values)

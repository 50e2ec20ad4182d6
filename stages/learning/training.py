"""The training loop, the only one, and prediction."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from stages.learning.errors import TrainingError
from stages.learning.optimisers import learning_rate_at, make_optimiser
from stages.learning.settings import Precision, Settings
from stages.learning.state import Checkpoint, History, State
from stages.learning.views import normalise


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


Facts = Mapping[str, float]
Objective = Callable[[Tensor, Batch], Tensor]
Progress = Callable[[Facts], None]
Validate = Callable[[], Facts]
Batches = Callable[[int, int], Iterable[Batch]]
"""Returns the batches of an epoch, both counted from 0, from one of them on."""


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
    batches: Batches,
    objective: Objective,
    settings: Settings,
    *,
    progress: Progress | None = None,
    validate: Validate | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train a network with SGD.

    The result depends on the arguments alone: on the CPU, for one number of threads, to the last bit. That holds
    also where it goes on from a checkpoint.

    Args:
        model: Changed in place, on the device of the batches; returned to evaluation mode.
        batches: Returns the batches of an epoch, from one of them on: each time the same.
        objective: Returns the mean loss of a batch, from float32 logits (batch, classes).
        settings: How the training goes.
        progress: Called after each epoch, and where it goes on, with `epoch` (from 1), `epochs`, and what `History` has
            of it.
        validate: Called after each epoch, the model being in evaluation mode; its facts join the epoch's.
        checkpoint: Keeps the state between two steps whenever that is due, and is gone on from.

    Returns:
        Of each epoch `epoch` (from 1), `loss` (the mean over its steps) and the facts of `validate`.

    Raises:
        TrainingError: A loss was not finite, or an epoch had another number of batches than was said.
    """
    model.to(memory_format=torch.channels_last)
    state = State(model, make_optimiser(model, settings))
    if checkpoint:
        state.resume(checkpoint)
    if progress and state.history:
        progress({"epochs": settings.epochs, **state.history[-1]})
    with _random_numbers_of_its_own(model):
        for epoch in range(state.step // settings.steps_per_epoch, settings.epochs):
            _train_epoch(state, batches, objective, settings, checkpoint)
            facts = {"epoch": epoch + 1, "loss": _finite_mean(state, settings)}
            model.eval()
            state.history.append(facts | dict(validate() if validate else {}))
            state.losses = []
            _keep_if_due(state, settings, checkpoint)
            if progress:
                progress({"epochs": settings.epochs, **state.history[-1]})
    model.eval()
    return state.history


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


def _train_epoch(
    state: State, batches: Batches, objective: Objective, settings: Settings, checkpoint: Checkpoint | None
) -> None:
    """Do the steps that are left of an epoch."""
    epoch, first = divmod(state.step, settings.steps_per_epoch)
    state.model.train()
    for batch in batches(epoch, first):
        _train_step(state, batch, objective, settings)
        if len(state.losses) < settings.steps_per_epoch:  # the end of an epoch is kept with what is known of it
            _keep_if_due(state, settings, checkpoint)


def _train_step(state: State, batch: Batch, objective: Objective, settings: Settings) -> None:
    _seed_step(settings.seed, state.step, batch.images.device)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate_at(state.step, settings)
    loss = objective(_logits(state.model, batch.images, settings.precision), batch)
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.losses.append(loss.detach())
    state.step += 1


def _keep_if_due(state: State, settings: Settings, checkpoint: Checkpoint | None) -> None:
    if checkpoint is not None and checkpoint.is_due():
        _finite(state, settings)  # what has diverged is not worth going on from
        state.keep(checkpoint)


@contextmanager
def _random_numbers_of_its_own(model: nn.Module) -> Iterator[None]:
    """Leave the generators of torch as they were."""
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        yield


def _seed_step(seed: int, step: int, device: torch.device) -> None:
    """Let what a step draws depend on its number, not on the steps before: so there is no generator to keep."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{step}".encode()).digest()[:8], "big") >> 1
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        torch.cuda.manual_seed(drawn)


def _logits(model: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    """Return float32 logits of normalised images."""
    # On a CPU, channels_last made a step on 32 x 32 colour images 1.6 times as fast, in fp32 and in bf16.
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits: Tensor = model(images)
    return logits.float()


def _finite_mean(state: State, settings: Settings) -> float:
    if len(state.losses) != settings.steps_per_epoch:
        rule = f"have {settings.steps_per_epoch} batches, as the schedule counts them"
        raise TrainingError(f"epoch {len(state.history) + 1} must {rule}; got {len(state.losses)}")
    return math.fsum(_finite(state, settings)) / settings.steps_per_epoch


def _finite(state: State, settings: Settings) -> list[float]:
    """Return the losses of the epoch that is under way."""
    values: list[float] = torch.stack(state.losses).tolist() if state.losses else []
    for step, value in enumerate(values, start=1):
        if not math.isfinite(value):
            where = f"epoch {len(state.history) + 1} of {settings.epochs}, step {step} of {settings.steps_per_epoch}"
            raise TrainingError(f"loss must be finite; got {value} in {where}; a smaller learning rate may help")
    return values

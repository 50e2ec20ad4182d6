"""The training loop, the only one."""

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.learning.batches import Batch
from stages.learning.captured import captured
from stages.learning.errors import TrainingError
from stages.learning.mixing import mixed_loss
from stages.learning.optimisers import clip_gradients, constrain, follow_schedule
from stages.learning.prediction import forward_logits
from stages.learning.ranks import ALONE, Ranks
from stages.learning.settings import Settings
from stages.learning.state import Checkpoint, History, State

Facts = Mapping[str, float]
Objective = Callable[[Tensor, Batch], Tensor]
Progress = Callable[[Facts], None]
Validate = Callable[[], Facts]
Batches = Callable[[int, int], Iterable[Batch]]
"""Returns the batches of an epoch, both counted from 0, from one of them on."""


_HARMLESS = (
    "The AccumulateGrad node's stream does not match",  # a graph's backward pass was captured on a stream of its own
    "Attempting to run cuBLAS, but there was no current CUDA context",  # torch makes one then, which is what is wanted
)
"""How warnings begin that torch gives in every captured training, and that nobody can do anything about."""


def device() -> torch.device:
    """Return the device to compute on: a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(n_threads: int) -> None:
    """Let the process use this many CPU threads; sums differ with it in their last bits."""
    torch.set_num_threads(n_threads)


def fit(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
    settings: Settings,
    *,
    progress: Progress | None = None,
    validate: Validate | None = None,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> History:
    """Train a network.

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
        ranks: The processes that train together. Each is given its shares of the same batches; validation and
            checkpoints are the first one's. All have the same weights after each step, those that one alone would have
            but for the last bits of sums, unless the network has norms, or a step draws something at random.

    Returns:
        Of each epoch `epoch` (from 1), `loss` (the mean over its steps) and the facts of `validate`.

    Raises:
        TrainingError: A loss was not finite, a step did not fit into the GPU's memory, or an epoch had another number
            of batches than was said.
    """
    model.to(memory_format=torch.channels_last)
    checkpoint = ranks.checkpoint(checkpoint)
    run = _Run(State.begin(model, settings), model, batches, objective, settings, checkpoint, ranks)
    if checkpoint:
        run.state.resume(checkpoint)
    if progress and run.state.history:
        progress({"epochs": settings.epochs, **run.state.history[-1]})
    with _numerics_of_its_own(model, settings), _memory_told(run):
        run.network = _faster(run)
        while run.state.epoch < settings.epochs:
            _train_epoch(run)
            _judge_epoch(run, validate)
            _keep_if_due(run)
            if progress:
                progress({"epochs": settings.epochs, **run.state.history[-1]})
    run.state.settle()
    return run.state.history


@dataclass
class _Run:
    """One training: where it stands, and what `fit` was given.

    Attributes:
        state: Where it stands.
        network: The network, as it is, compiled or captured, or one of several processes'.
        batches: As `fit` takes them.
        objective: As `fit` takes it.
        settings: As `fit` takes them.
        checkpoint: As `fit` takes it.
        ranks: As `fit` takes them.
    """

    state: State
    network: Callable[[Tensor], Tensor]
    batches: Batches
    objective: Objective
    settings: Settings
    checkpoint: Checkpoint | None
    ranks: Ranks

    def loss(self, batch: Batch, seed: int) -> Tensor:
        """Return the loss of a batch."""
        if self.settings.mixup:
            return mixed_loss(batch, self.forward, self.objective, alpha=self.settings.mixup, seed=seed)
        return self.objective(self.forward(batch.images), batch)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        return forward_logits(self.network, images, self.settings.precision)


def _faster(run: _Run) -> Callable[[Tensor], Tensor]:
    """Return the network compiled or captured, where that is wanted and there are steps to do."""
    model, settings, epoch = run.state.model, run.settings, run.state.epoch
    if settings.compile:
        model = torch.compile(model, dynamic=False)  # type: ignore[assignment]
    if settings.compile or run.ranks.size > 1:
        return run.ranks.network(model)
    if not (settings.cuda_graph and next(model.parameters()).is_cuda and epoch < settings.epochs):
        return model
    # Of the first batch of an epoch, whose shape all but the last have, wherever a resumed training goes on.
    batches = iter(run.batches(epoch, 0))
    images = next(batches).images
    del batches  # and with it, whatever makes the next batch beside this thread
    return captured(model.train(), images, settings.precision)


def _train_epoch(run: _Run) -> None:
    """Do the steps that are left of an epoch."""
    state, n_steps = run.state, run.settings.steps_per_epoch
    state.model.train()
    for batch in run.batches(state.epoch, len(state.losses)):
        _train_step(run, batch)
        if len(state.losses) < n_steps:  # the end of an epoch is kept with what is known of it
            _keep_if_due(run)
    if len(state.losses) != n_steps:
        rule = f"have {n_steps} batches, as the schedule counts them"
        raise TrainingError(f"epoch {state.epoch + 1} must {rule}; got {len(state.losses)}")


def _train_step(run: _Run, batch: Batch) -> None:
    state, settings = run.state, run.settings
    seed = _seed_step(settings.seed, state.step, batch.images.device, run.ranks.rank)
    follow_schedule(state.optimiser, state.step, settings)
    loss = run.ranks.weighed(run.loss(batch, seed), batch.weight)
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if settings.clip is not None:
        clip_gradients(state.model.parameters(), settings.clip)
    state.optimiser.step()
    if settings.max_norm is not None:
        constrain(state.model.parameters(), settings.max_norm)
    if state.average is not None:
        state.average.update(state.step)
    state.losses.append(run.ranks.whole(loss.detach()))
    state.step += 1


def _judge_epoch(run: _Run, validate: Validate | None) -> None:
    """Add what is known of an epoch to the history, and keep its weights where they are the best so far."""
    losses = _finite_losses(run)
    _refuse_infinite_weights(run)
    facts = {"epoch": run.state.epoch + 1, "loss": math.fsum(losses) / len(losses)}
    with run.state.judged():
        judged = run.ranks.of_first(lambda: dict(validate() if validate else {}))
        for name, value in judged.items():
            if not math.isfinite(value):
                raise TrainingError(f"{name} on the holdout must be finite; got {value} {_after_epoch(run)}")
        run.state.end_epoch(facts | judged)


def _refuse_infinite_weights(run: _Run) -> None:
    """Refuse what the last step of an epoch has done: a step's loss is that of the weights before it."""
    weights = [weight.detach() for weight in run.state.model.parameters()]
    if not torch.stack([weight.isfinite().all() for weight in weights]).all():
        raise TrainingError(f"weights must be finite; got others {_after_epoch(run)}")


def _after_epoch(run: _Run) -> str:
    settings = run.settings
    where = f"epoch {run.state.epoch + 1} of {settings.epochs}, step {settings.steps_per_epoch}, its last"
    return f"after {where}; a smaller learning rate may help"


def _keep_if_due(run: _Run) -> None:
    if run.checkpoint is not None and run.checkpoint.is_due():
        _finite_losses(run)  # what has diverged is not worth going on from
        run.state.keep(run.checkpoint)


def _finite_losses(run: _Run) -> list[float]:
    """Return the losses of the epoch that is under way."""
    losses, settings = run.state.losses, run.settings
    values: list[float] = torch.stack(losses).tolist() if losses else []
    for step, value in enumerate(values, start=1):
        if not math.isfinite(value):
            where = f"epoch {run.state.epoch + 1} of {settings.epochs}, step {step} of {settings.steps_per_epoch}"
            raise TrainingError(f"loss must be finite; got {value} in {where}; a smaller learning rate may help")
    return values


def _seed_step(seed: int, step: int, device: torch.device, rank: int) -> int:
    """Let what a step draws depend on its number, not on the steps before: so there is no generator to keep."""
    name = f"{seed}/{step}/{rank}" if rank else f"{seed}/{step}"  # else all shares would lose the same units
    drawn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        torch.cuda.manual_seed(drawn)
    return drawn


@contextmanager
def _numerics_of_its_own(model: nn.Module, settings: Settings) -> Iterator[None]:
    """Set what torch keeps for the whole process, and leave it, and the generators, as they were."""
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    cudnn, before = torch.backends.cudnn, torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by what is deterministic, and of no cost
    torch.use_deterministic_algorithms(settings.deterministic)
    try:
        # The fastest of all algorithms, each tried once, need not be the same one each time. Unless told otherwise,
        # the flags would switch cuDNN off: a step on an H100 then took 17 times as long.
        flags = cudnn.flags(enabled=True, benchmark=not settings.deterministic)
        with flags, torch.random.fork_rng(devices=list(devices)), warnings.catch_warnings():
            for harmless in _HARMLESS:
                warnings.filterwarnings("ignore", message=harmless)
            yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _memory_told(run: _Run) -> Iterator[None]:
    """Say what can be done where the GPU's memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        where = f"epoch {run.state.epoch + 1} of {run.settings.epochs}, step {len(run.state.losses) + 1}"
        got = str(error).splitlines()[0]
        advice = "a smaller batch_size, precision bf16 or a smaller model needs less"
        raise TrainingError(f"a step must fit into the GPU's memory; got, in {where}: {got}; {advice}") from error

"""What the three stages that train have in common: epochs of augmented batches, and the holdout that judges them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import StageError
from pipeline.recipe import derive_seed
from pipeline.stage import Artifact, Work
from stages.learning import metrics, training, views
from stages.learning.batches import Batch, batch_slices
from stages.learning.meeting import joined
from stages.learning.prediction import predict_logits
from stages.learning.ranks import ALONE, Ranks
from stages.learning.sampling import balanced_epoch
from stages.learning.settings import Settings
from stages.learning.state import History
from stages.learning.training import Objective
from stages.parameters import AugmentParameters, TrainingParameters
from stages.parameters.fields import Sampling
from stages.shown import Ids, Pixels, ViewParameters, ahead

_TOGETHER, _TOGETHER_BYTES = 8, 64 * 2**20
"""The most batches, and bytes of their images, that are made at once on a GPU."""


class SoftTargetRows(Protocol):
    """The soft targets of an epoch: a tensor, or what reads them from a table when a batch is shown."""

    def __getitem__(self, batch: slice, /) -> Tensor:
        """Return the rows of a batch, on the device, float32 (rows, classes)."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch shows, in its order.

    Attributes:
        examples: Example ids, int64 (n,).
        labels: As the network's outputs are numbered, int64 (n,).
        view: The augmentation of each example, (n,) by parameter.
        log_q: The n rows of soft targets at temperature 1, where the objective wants them.
    """

    examples: Ids
    labels: NDArray[np.int64]
    view: ViewParameters
    log_q: SoftTargetRows | None = None

    def batches(
        self, pixels: Pixels, batch_size: int, first: int = 0, *, together: int = 1, ranks: Ranks = ALONE
    ) -> Iterator[Batch]:
        """Yield the epoch in batches on the device, from the first one wanted on.

        Args:
            pixels: The data set.
            batch_size: Examples of a batch.
            first: The first batch wanted, counted from 0.
            together: How many batches are made at once; the same ones whatever is the first one wanted, so that a
                training that goes on in their midst sees the same bits.
            ranks: The processes that share each batch; of several, each makes one share at a time.
        """
        shares = [ranks.share(rows) for rows in batch_slices(len(self.examples), batch_size)]
        labels = torch.from_numpy(self.labels).to(pixels.device)
        shown = pixels.show(self.examples, self.view)
        for number in range(first - first % together, len(shares), together):
            block = shares[number : number + together]
            rows = slice(block[0].rows.start, block[-1].rows.stop)
            images = views.normalise(shown[rows], pixels.mean, pixels.std)
            made = Batch(images, labels[rows], None if self.log_q is None else self.log_q[rows])
            for share in block[max(0, first - number) :]:
                batch = made[share.rows.start - rows.start : share.rows.stop - rows.start]
                yield replace(batch, weight=share.weight)


@dataclass(frozen=True)
class Holdout:
    """The examples that a training is judged on while it goes on.

    Attributes:
        examples: Example ids, int64 (n,).
        labels: As the network's outputs are numbered, int64 (n,).
        n_outputs: How many outputs are looked at, the first ones; None where these are all.
        shifts: What is added to the logits first, (outputs,): what the network's last layer will have of it when it is
            returned.
    """

    examples: Ids
    labels: NDArray[np.int64]
    n_outputs: int | None = None
    shifts: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, dataset: Artifact) -> "Holdout":
        """Return the whole holdout of a data set."""
        examples = np.flatnonzero(dataset.arrays["holdout"])
        return cls(examples, dataset.arrays["labels"][examples])

    @classmethod
    def of_subset(cls, dataset: Artifact, subset: list[int]) -> "Holdout":
        """Return the holdout's examples of a subset of ascending classes, to be told apart without the dustbin."""
        whole = cls.of(dataset)
        inside = np.isin(whole.labels, subset)
        return cls(whole.examples[inside], np.searchsorted(subset, whole.labels[inside]), len(subset))

    def judge(self, logits: Tensor) -> dict[str, float]:
        """Return accuracy and NLL, from logits (n, outputs)."""
        shifted = logits.double()
        if self.shifts is not None:
            shifted = shifted + torch.from_numpy(self.shifts).to(shifted)
        log_probs = shifted[:, : self.n_outputs].log_softmax(dim=1).numpy(force=True)
        return {
            "accuracy": metrics.accuracy(log_probs, self.labels),
            "nll": metrics.nll(log_probs, self.labels),
        }


def generator(work: Work, epoch: int) -> torch.Generator:
    """Return the generator of an epoch's order: each epoch has its own, so that none depends on those before."""
    return torch.Generator().manual_seed(derive_seed(work.seed, "epoch", str(epoch)))


def permutation(n: int, work: Work, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch shows n examples."""
    return torch.randperm(n, generator=generator(work, epoch)).numpy()


def order(labels: NDArray[np.int64], sampling: Sampling, work: Work, epoch: int) -> NDArray[np.int64]:
    """Return in which order an epoch shows examples that have these labels: each once, or all classes equally often.

    Args:
        labels: int64 (n,).
        sampling: How often it shows each class.
        work: Its seed.
        epoch: Counted from 0.

    Returns:
        Positions in `labels`, int64 (n,).
    """
    if sampling == "balanced":
        return balanced_epoch(labels, generator(work, epoch))
    return permutation(len(labels), work, epoch)


def fresh_view(pixels: Pixels, examples: Ids, augment: AugmentParameters, work: Work, epoch: int) -> ViewParameters:
    """Draw the augmentation of an epoch that nobody has to see again."""
    size = pixels.images.shape[1:3]
    return views.draw(examples, seed=work.seed, view=epoch, image_size=size, **augment.model_dump())


def fresh_views(pixels: Pixels, examples: Ids, augment: AugmentParameters, work: Work, epoch: int) -> ViewParameters:
    """Draw, as `fresh_view`, the augmentation of an epoch that shows examples several times: each time another one."""
    size = pixels.images.shape[1:3]
    times = _times_before(examples)
    drawn: dict[str, NDArray[Any]] = {}
    for n in range(times.max(initial=0) + 1):
        again = times == n
        part = views.draw(examples[again], seed=work.seed, view=epoch, image_size=size, n=n, **augment.model_dump())
        for name, values in part.items():
            drawn.setdefault(name, np.empty(len(examples), values.dtype))[again] = values
    return drawn


def _times_before(examples: Ids) -> NDArray[np.int64]:
    """Return how often each entry was there before, int64 (n,)."""
    order = np.argsort(examples, kind="stable")
    ordered = examples[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(examples)]
    firsts = np.maximum.accumulate(np.where(is_first, np.arange(len(examples)), 0))
    times = np.empty(len(examples), dtype=np.int64)
    times[order] = np.arange(len(examples)) - firsts
    return times


def batches_together(pixels: Pixels, batch_size: int) -> int:
    """Return how many batches to make at once: on a GPU several small ones, since the host launches as many kernels."""
    if pixels.device.type == "cpu":
        return 1
    batch_bytes = 4 * batch_size * int(np.prod(pixels.images.shape[1:]))
    return max(1, min(_TOGETHER, _TOGETHER_BYTES // batch_bytes))


def in_time(batches: Iterator[Batch], pixels: Pixels) -> Iterator[Batch]:
    """Return the batches of an epoch as a training takes them: made one ahead where they are read for a GPU."""
    # A GPU need not wait for what is read. On a CPU the thread would take what the training computes with.
    return ahead(batches) if pixels.resident is None and pixels.device.type != "cpu" else batches


def fit(
    model: nn.Module,
    pixels: Pixels,
    epoch: Callable[[int], Epoch],
    objective: Objective,
    holdout: Holdout,
    *,
    parameters: TrainingParameters,
    work: Work,
) -> History:
    """Train a network in place, on the device of the pixels.

    Args:
        model: The network.
        pixels: The data set.
        epoch: Returns what an epoch shows, counted from 0: the same each time, and all of one length.
        objective: What is minimised.
        holdout: What each epoch is judged on; decides nothing unless the best epoch is to be kept.
        parameters: How the training goes.
        work: Its seed draws what is drawn in a step; its threads, progress and checkpoint; its team trains together.

    Returns:
        For each epoch its number, mean loss, and accuracy and NLL on the holdout, where that has examples: nothing is
        judged on what it was trained on.

    Raises:
        StageError: The best epoch is to be kept, and nothing is held out to find it by.
    """
    has_holdout = len(holdout.examples) > 0
    if parameters.keep == "best" and not has_holdout:
        raise StageError("keep must be last where nothing is held out to find the best epoch by; got best")
    training.use_threads(work.threads)
    held_out = pixels.show(holdout.examples)
    # Drawn again when its turn comes: kept until then, it would keep a view's soft targets in memory all along.
    n_shown = len(epoch(0).examples)
    # Shares of consecutive batches do not follow one another in the epoch.
    together = batches_together(pixels, parameters.batch_size) if work.team.size == 1 else 1

    def batches(number: int, first: int, ranks: Ranks) -> Iterator[Batch]:
        found = epoch(number).batches(pixels, parameters.batch_size, first, together=together, ranks=ranks)
        return in_time(found, pixels)

    def validate() -> dict[str, float]:
        logits = predict_logits(model, held_out, mean=pixels.mean, std=pixels.std, warn=work.warn)
        return holdout.judge(logits)

    with joined(work.team) as ranks:
        return training.fit(
            model.to(pixels.device),
            partial(batches, ranks=ranks),
            objective,
            _settings(parameters, n_shown, work),
            progress=work.progress,
            validate=validate if has_holdout else None,
            checkpoint=work.checkpoint,
            ranks=ranks,
        )


def _settings(parameters: TrainingParameters, n_examples: int, work: Work) -> Settings:
    names = {field.name for field in fields(Settings)} & set(TrainingParameters.model_fields)
    options: dict[str, Any] = {name: getattr(parameters, name) for name in names}
    n_steps = len(batch_slices(n_examples, parameters.batch_size))
    return Settings(steps_per_epoch=n_steps, seed=work.seed, **options)

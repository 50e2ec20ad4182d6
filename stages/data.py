"""Stage `data`: the data set as uint8 arrays, its holdout drawn, the test split apart."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json, Work
from stages import contents
from stages.learning import sources

BLOCK_IMAGES = 1024
"""Images whose pixels are counted at a time."""


def load(  # what a data set is, and where
    *,
    split: Literal["train", "test"],
    kind: str,  # noqa: ARG001  # part of the recipe; the source says it again
    digest: str,
    source: str,
    root: str,
    stamp: Json = None,
    holdout: float | None = None,
    folds: int | None = None,
    size: int | None = None,
    test: float | None = None,
    work: Work,
) -> Artifact:
    """Load one half of a data set.

    Args:
        split: Which half.
        kind: The kind of source, as in the recipe.
        digest: The digest that the source's content must have.
        source: The source as the config names it.
        root: Folder that relative paths of the source start from.
        stamp: What showed, when the run was planned, that the content is of this digest.
        holdout: Share of the training part that no network is trained on, drawn from each class alike; 0 for nothing.
        folds: In place of it, the number of parts that the training part is dealt out to, of each class alike: none of
            it is held out then. The test half has neither.
        size: Height and width that the images of a folder are brought to.
        test: Share of a folder's images that makes the test half.
        work: Its seed draws the holdout or the folds.

    Returns:
        Arrays `images` uint8 (examples, height, width, channels) and `labels` int64 (examples,); of the training half
        also `holdout` bool (examples,), and with folds `fold` int64 (examples,). Facts: `class_names`, `image_shape`,
        the counts, and the `mean` and `std` of each channel over the training part without the holdout, in [0, 1].

    Raises:
        LearningError: The data set is not what it must be; the message lists all faults.
        StageError: Of holdout and folds not one is given for the training half, or one for the test half; or there are
            fewer examples than folds.
    """
    given = {name: value for name, value in (("holdout", holdout), ("folds", folds)) if value is not None}
    if len(given) != (split == "train"):
        rule = "holdout or folds must be given for the training half and for no other"
        raise StageError(f"{rule}; got {given or 'neither'} for {split}")
    data = sources.load(source, root, split, options=sources.Options(size, test), digest=digest, stamp=stamp)
    if folds is not None:
        return _dealt_out(data, folds, work.seed)
    return _test_half(data) if holdout is None else _train_half(data, holdout, work.seed)


def training_rows(dataset: Artifact) -> NDArray[np.int64]:
    """Return the example ids of the training part without the holdout, in its order: what teachers are trained on."""
    return np.flatnonzero(~dataset.arrays["holdout"])


def without_fold(dataset: Artifact, fold: int) -> Artifact:
    """Return a training half that was dealt out to folds with one of them as its holdout.

    Nothing in it is of the held out examples but these themselves: mean and standard deviation are those of the others.
    """
    arrays = dataset.arrays
    shared = {name: dataset.facts[name] for name in ("class_names", "image_shape")}
    return _divided(arrays["images"], arrays["labels"], arrays["fold"] == fold, shared)


def _test_half(data: sources.Examples) -> Artifact:
    facts = _shared_facts(data) | {"test": len(data.labels)}
    return Artifact(contents.half(images=data.images, labels=data.labels), facts)


def _train_half(data: sources.Examples, holdout: float, seed: int) -> Artifact:
    nobody = np.zeros(len(data.labels), dtype=np.bool_)
    held_out = sources.split_holdout(data.labels, holdout, seed) if holdout else nobody
    return _divided(data.images, data.labels, held_out, _shared_facts(data))


def _dealt_out(data: sources.Examples, folds: int, seed: int) -> Artifact:
    n = len(data.labels)
    if folds > n:
        raise StageError(f"data.folds must be at most {n}, the number of training examples; got {folds}")
    whole = _divided(data.images, data.labels, np.zeros(n, dtype=np.bool_), _shared_facts(data))
    dealt = sources.split_folds(data.labels, folds, seed)
    return Artifact(contents.half(**whole.arrays, folds=dealt), {**whole.facts, "folds": folds})


def _divided(
    images: NDArray[np.uint8], labels: NDArray[np.int64], held_out: NDArray[np.bool_], shared: dict[str, Json]
) -> Artifact:
    """Return a training half, some examples of which are held out."""
    mean, std = _channel_statistics(images[~held_out] if held_out.any() else images)
    facts = shared | {
        "transfer": int((~held_out).sum()),
        "holdout": int(held_out.sum()),
        "mean": mean.tolist(),
        "std": np.maximum(std, 1e-3).tolist(),  # a channel that never varies is only centred
    }
    return Artifact(contents.half(images=images, labels=labels, holdout=held_out), facts)


def _shared_facts(data: sources.Examples) -> dict[str, Json]:
    return {"class_names": list(data.class_names), "image_shape": list(data.images.shape[1:])}


def _channel_statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel, of pixels scaled to [0, 1].

    Counts how often each of the 256 values occurs, block by block: numpy's `std` would take eight bytes a pixel.
    """
    counts = np.zeros((images.shape[3], 256))
    for start in range(0, len(images), BLOCK_IMAGES):
        block = np.moveaxis(images[start : start + BLOCK_IMAGES], 3, 0)
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in block]
    shares = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255
    mean = shares @ values
    variance = (shares * (values - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)

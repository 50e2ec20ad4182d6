"""Stage `data`: the data set as uint8 arrays, its holdout drawn, the test split apart."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json, Work
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
        holdout: Share of the training part that no network is trained on, drawn from each class alike; None for the
            test half, which has none.
        size: Height and width that the images of a folder are brought to.
        test: Share of a folder's images that makes the test half.
        work: Its seed draws the holdout.

    Returns:
        Arrays `images` uint8 (examples, height, width, channels) and `labels` int64 (examples,); of the training half
        also `holdout` bool (examples,). Facts: `class_names`, `image_shape`, the counts, and the `mean` and `std` of
        each channel over the training part without the holdout, in [0, 1].

    Raises:
        LearningError: The data set is not what it must be; the message lists all faults.
        StageError: A holdout is missing, or given for the test half.
    """
    if (holdout is None) != (split == "test"):
        raise StageError(f"holdout must be given for the training half and for no other; got {holdout} for {split}")
    data = sources.load(source, root, split, options=sources.Options(size, test), digest=digest, stamp=stamp)
    return _test_half(data) if holdout is None else _train_half(data, holdout, work.seed)


def training_rows(dataset: Artifact) -> NDArray[np.int64]:
    """Return the example ids of the training part without the holdout, in its order: what teachers are trained on."""
    return np.flatnonzero(~dataset.arrays["holdout"])


def _test_half(data: sources.Examples) -> Artifact:
    facts = _shared_facts(data) | {"test": len(data.labels)}
    return Artifact({"images": data.images, "labels": data.labels}, facts)


def _train_half(data: sources.Examples, holdout: float, seed: int) -> Artifact:
    held_out = sources.split_holdout(data.labels, holdout, seed)
    mean, std = _channel_statistics(data.images[~held_out])
    facts = _shared_facts(data) | {
        "transfer": int((~held_out).sum()),
        "holdout": int(held_out.sum()),
        "mean": mean.tolist(),
        "std": np.maximum(std, 1e-3).tolist(),  # a channel that never varies is only centred
    }
    return Artifact({"images": data.images, "labels": data.labels, "holdout": held_out}, facts)


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

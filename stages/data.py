"""Stage `data`: the data set as uint8 arrays, its holdout drawn, the test split apart."""

from typing import Literal

import numpy as np

from pipeline.stage import Artifact, Work
from stages.learning import sources


def load(
    *,
    split: Literal["train", "test"],
    kind: str,  # noqa: ARG001  # part of the recipe; the source says it again
    digest: str,
    source: str,
    root: str,
    holdout: float | None = None,
    work: Work,
) -> Artifact:
    """Load one half of a data set.

    Args:
        split: Which half.
        kind: The kind of source, as in the recipe.
        digest: The digest that the source's content must have.
        source: The source as the config names it.
        root: Folder that relative paths of the source start from.
        holdout: Share of the training part that no teacher is trained on; drawn from each class alike.
        work: Its seed draws the holdout.

    Returns:
        Arrays `images` uint8 (examples, height, width, channels) and `labels` int64 (examples,); of the training half
        also `holdout` bool (examples,). Facts: `class_names`, the counts, and the `mean` and `std` of each channel over
        the training part without the holdout, in [0, 1].

    Raises:
        LearningError: The data set is not what it must be; the message lists all faults.
    """
    data = sources.load(source, root, digest=digest)
    names = list(data.class_names)
    if split == "test" or holdout is None:
        facts = {"class_names": names, "test": len(data.test_labels)}
        return Artifact({"images": data.test_images, "labels": data.test_labels}, facts)
    held_out = sources.split_holdout(data.train_labels, holdout, work.seed)
    used = data.train_images[~held_out]
    mean, std = used.mean(axis=(0, 1, 2)) / 255, used.std(axis=(0, 1, 2)) / 255
    facts = {
        "class_names": names,
        "transfer": int((~held_out).sum()),
        "holdout": int(held_out.sum()),
        "mean": [float(value) for value in mean],
        "std": [float(max(value, 1e-3)) for value in std],  # a channel that never varies is only centred
    }
    return Artifact({"images": data.train_images, "labels": data.train_labels, "holdout": held_out}, facts)


def transfer_rows(dataset: Artifact) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the example ids of the transfer set: the training part without the holdout, in its order."""
    return np.flatnonzero(~dataset.arrays["holdout"])

"""Which examples an epoch shows, where the classes are of unequal size."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator


def balanced_epoch(labels: NDArray[np.int64], generator: Generator) -> NDArray[np.int64]:
    """Draw an epoch as long as the training set in which all classes are shown equally often.

    Of a class that is large for that, some examples are left out; those of a small one come several times, each as
    often as the others, and only the remainder is drawn.

    Args:
        labels: Class ids of the training set, int64 (examples,).
        generator: Source of the draws.

    Returns:
        Positions in `labels`, int64 (examples,), shuffled.
    """
    classes = np.unique(labels)
    least, n_more = divmod(len(labels), len(classes))
    favoured = set(torch.randperm(len(classes), generator=generator)[:n_more].tolist())
    drawn = [
        _drawn(np.flatnonzero(labels == label), least + (rank in favoured), generator)
        for rank, label in enumerate(classes)
    ]
    order: NDArray[np.int64] = torch.randperm(len(labels), generator=generator).numpy()
    return np.concatenate(drawn)[order]


def log_priors(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Return the logarithm of each class's share of the examples, float64 (classes,).

    Args:
        labels: Class ids, int64 (examples,), every class at least once.
        n_classes: Number of classes.
    """
    shares = np.bincount(labels, minlength=n_classes) / len(labels)
    return np.log(shares)


def _drawn(members: NDArray[np.int64], n: int, generator: Generator) -> NDArray[np.int64]:
    """Return n of the members, each as often as all of them can be, the remainder drawn."""
    whole, remainder = divmod(n, len(members))
    chosen = torch.randperm(len(members), generator=generator)[:remainder].numpy()
    return np.concatenate([np.tile(members, whole), members[chosen]])

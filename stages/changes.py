"""What the specialists changed: test examples on which the ensemble differs from the generalist."""

import numpy as np
from numpy.typing import NDArray

from stages.contents import N_SHOWN
from stages.learning import metrics
from stages.learning.metrics import Labels, Scores


def shown_examples(generalist: Scores, ensemble: Scores, labels: Labels, n: int = N_SHOWN) -> NDArray[np.int64]:
    """Choose the examples that show best what the specialists changed, for better and for worse.

    In turn the one put right whose label gained most, and the one made wrong whose label lost most, as long as there
    are any; then those whose label's probability moved most though the answer stayed as right or wrong as it was.

    Args:
        generalist: Log-probabilities (examples, classes).
        ensemble: Log-probabilities (examples, classes).
        labels: int64 (examples,).
        n: How many to choose.

    Returns:
        int64 (at most n,), without those whose label's probability did not move at all.
    """
    before, after = metrics.correct(generalist, labels), metrics.correct(ensemble, labels)
    moved = metrics.label_log_probs(ensemble, labels) - metrics.label_log_probs(generalist, labels)
    by_size = np.argsort(-np.abs(moved), kind="stable")
    by_size = by_size[moved[by_size] != 0]
    right, wrong = by_size[~before[by_size] & after[by_size]], by_size[before[by_size] & ~after[by_size]]
    others = by_size[before[by_size] == after[by_size]]
    n_pairs = min(len(right), len(wrong))
    pairs = np.stack([right[:n_pairs], wrong[:n_pairs]], axis=1).ravel()
    chosen: NDArray[np.int64] = np.concatenate([pairs, right[n_pairs:], wrong[n_pairs:], others])[:n]
    return chosen


def counts(generalist: Scores, ensemble: Scores, labels: Labels) -> dict[str, int]:
    """Return how many examples were put `right`, made `wrong`, or given `another` wrong answer."""
    before, after = metrics.correct(generalist, labels), metrics.correct(ensemble, labels)
    differ = generalist.argmax(axis=1) != ensemble.argmax(axis=1)
    return {
        "right": int((~before & after).sum()),
        "wrong": int((before & ~after).sum()),
        "another": int((differ & ~before & ~after).sum()),
    }

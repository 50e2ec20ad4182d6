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
    Within each of the three, classes take turns: one that moved much in every example would be all that is shown.

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
    right, wrong, others = (
        _by_turns(by_size[kind[by_size]], labels) for kind in (~before & after, before & ~after, before == after)
    )
    n_pairs = min(len(right), len(wrong))
    pairs = np.stack([right[:n_pairs], wrong[:n_pairs]], axis=1).ravel()
    chosen: NDArray[np.int64] = np.concatenate([pairs, right[n_pairs:], wrong[n_pairs:], others])[:n]
    return chosen


def _by_turns(examples: NDArray[np.int64], labels: Labels) -> NDArray[np.int64]:
    """Return examples so that the first of every class come first, then the second of each, otherwise as they were."""
    own = labels[examples]
    order = np.argsort(own, kind="stable")
    turns = np.empty_like(examples)
    turns[order] = np.arange(len(own)) - np.searchsorted(own[order], own[order])
    return examples[np.argsort(turns, kind="stable")]


def counts(generalist: Scores, ensemble: Scores, labels: Labels) -> dict[str, int]:
    """Return how many examples were put `right`, made `wrong`, or given `another` wrong answer."""
    before, after = metrics.correct(generalist, labels), metrics.correct(ensemble, labels)
    differ = generalist.argmax(axis=1) != ensemble.argmax(axis=1)
    return {
        "right": int((~before & after).sum()),
        "wrong": int((before & ~after).sum()),
        "another": int((differ & ~before & ~after).sum()),
    }

"""What is known of the epochs of a training. Imports no torch."""

from collections.abc import Mapping, Sequence


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """Return the epoch, counted from 1, of the highest accuracy, of several the lowest NLL, of several the first."""
    return 1 + max(range(len(history)), key=lambda epoch: (history[epoch]["accuracy"], -history[epoch]["nll"], -epoch))

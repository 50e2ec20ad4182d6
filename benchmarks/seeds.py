"""Figures over seeds: means, deviations, and differences paired by seed with Student's interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.learning.metrics import deviation, mean_interval


def over_seeds(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and deviation of a model's figures; of one seed there is no deviation."""
    columns = {name: [float(model[name]) for model in models] for name in ("accuracy", "nll", "ece")}
    figures: dict[str, Any] = {
        name: {
            "mean": float(np.mean(column)),
            "deviation": deviation(column) if len(column) > 1 else None,
            "values": column,
        }
        for name, column in columns.items()
    }
    return figures | {"parameters": models[0].get("parameters")}


def difference(models: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return how far one model is above another in accuracy and NLL, both in the order of the seeds."""
    return {name: paired([a[name] for a in models], [b[name] for b in others]) for name in ("accuracy", "nll")}


def paired(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return the mean of paired differences, and of several their deviation and the ends of Student's 95 % interval.

    Each value is one figure of a seed, and all are of the same test split: the interval says what other seeds would
    change on it. That of a report or of `compare` adds what other test examples would, and is wider.
    """
    differences = np.subtract(values, others)
    if len(differences) < 2:
        return {"mean": float(differences.mean())}
    interval = mean_interval(differences[:, np.newaxis], seed=0)  # of one figure each nothing is drawn again
    return {"deviation": deviation(differences.tolist()), **interval._asdict()}


def spread(values: Sequence[float], digits: int) -> list[str]:
    """Return mean and standard deviation in words."""
    return [f"{np.mean(values):.{digits}f}", f"{deviation(values):.{digits}f}" if len(values) > 1 else "-"]


def interval(found: dict[str, float], scale: float, digits: int) -> str:
    """Return a difference in words, and its interval where there is one."""
    mean, *ends = (f"{scale * found[name]:+.{digits}f}" for name in ("mean", "low", "high") if name in found)
    return f"{mean} ({' to '.join(ends)})" if ends else mean

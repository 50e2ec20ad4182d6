"""Calibration: one temperature for a teacher, at which its confidence is closest to how often it is right.

Guo, Pleiss, Sun, Weinberger 2017, section 4.2 (temperature scaling). It changes no decision of a teacher alone,
but how much it counts beside others.
"""

import torch
from torch import Tensor

from specialists.errors import SpecialistsError, raise_all

LOWEST, HIGHEST = 0.1, 10.0
"""The bounds of a temperature. A teacher that is right on every example has no best one but the lowest, and one
that is no better than chance none but the highest."""

_PRECISION = 1e-10  # of the temperature, relative


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Fit the temperature T that minimises the negative log likelihood of softmax(logits / T).

    The mean over examples of logsumexp(b z) - b z_y is convex in b = 1 / T: Newton's method, with bisection where
    that leaves the bracket or gains too little.

    Args:
        logits: On examples that the teacher was not trained on, finite, any float dtype (examples, outputs).
        labels: The right output of each, int64 (examples,).

    Returns:
        T, within `LOWEST` and `HIGHEST`; exactly one of these where the minimum is not between them, and 1 where
        all temperatures are equally good.

    Raises:
        SpecialistsError: There is no example, a logit is not finite, or a label is not an output.
    """
    raise_all(_faults(logits, labels))
    exact = logits.detach().double()
    shifted = exact - exact.amax(dim=1, keepdim=True)
    own = shifted.gather(1, labels[:, None].to(shifted.device)).mean()
    low, high = 1 / HIGHEST, 1 / LOWEST
    ends = _slope(shifted, own, low), _slope(shifted, own, high)
    if ends == (0.0, 0.0):
        return 1.0
    if ends[0] >= 0.0:
        return HIGHEST
    if ends[1] <= 0.0:
        return LOWEST
    return 1 / _root(shifted, own, low, high)


def calibrated(logits: Tensor, temperature: float) -> Tensor:
    """Return logits divided by a temperature.

    Args:
        logits: Any float dtype, any shape.
        temperature: T, above 0, such as `fit_temperature` returns; no unit.

    Returns:
        z / T, float64 of the same shape, on the same device.

    Raises:
        SpecialistsError: The temperature is not positive.
    """
    if not temperature > 0.0:
        raise SpecialistsError(f"temperature must be above 0; got {temperature}")
    return logits.double() / temperature


def _root(shifted: Tensor, own: Tensor, low: float, high: float) -> float:
    """Return the b between two bounds at which the slope is 0; it is negative at the first, positive at the second."""
    inverse, before = 1.0, float("inf")
    while True:
        slope, curvature = _slope(shifted, own, inverse), _curvature(shifted, inverse)
        step = slope / curvature if curvature > 0.0 else float("inf")
        if min(abs(step), high - low) <= _PRECISION * inverse:
            return inverse
        low, high = (inverse, high) if slope < 0.0 else (low, inverse)
        newton = inverse - step
        # Every turn halves the slope or the bracket, so the loop ends.
        fast = abs(slope) <= before / 2 and low < newton < high
        inverse, before = newton if fast else (low + high) / 2, abs(slope)


def _slope(shifted: Tensor, own: Tensor, inverse: float) -> float:
    """Return the derivative of the mean NLL by b = 1 / T: the mean of E[z] - z_y."""
    probs = (inverse * shifted).softmax(dim=1)
    return float((probs * shifted).sum(dim=1).mean() - own)


def _curvature(shifted: Tensor, inverse: float) -> float:
    """Return its second derivative: the mean of the variance of z."""
    probs = (inverse * shifted).softmax(dim=1)
    mean = (probs * shifted).sum(dim=1, keepdim=True)
    return float((probs * (shifted - mean) ** 2).sum(dim=1).mean())


def _faults(logits: Tensor, labels: Tensor) -> list[str]:
    """Return what is wrong with the arguments of `fit_temperature`."""
    if logits.ndim != 2 or not logits.is_floating_point() or labels.shape != logits.shape[:1] or not len(labels):
        got = (tuple(logits.shape), tuple(labels.shape))
        return [f"logits must be float (examples, outputs) and labels (examples,), one or more; got {got}"]
    faults = []
    if not bool(logits.isfinite().all()):
        faults.append("logits must be finite; got others")
    if labels.dtype != torch.int64 or not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        got_labels = f"{labels.dtype} from {labels.min()} to {labels.max()}"
        faults.append(f"labels must be int64 within 0..{logits.shape[1] - 1}; got {got_labels}")
    return faults

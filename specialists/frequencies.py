"""Biases under which a classifier predicts each class as often as it is known to occur.

A student that has seen no example of a class, or few, has learnt what the class looks like from soft targets alone, and
with that how rare it is. Hinton, Vinyals, Dean 2015, section 3, raise the bias of an omitted class on MNIST and get
98.6 % of its test examples right.
"""

import torch
from torch import Tensor

from specialists.errors import SpecialistsError, raise_all

TOLERANCE = 1e-6
"""By how much a class's mean probability may differ from its frequency."""

_STEPS = 500


def frequency_shift(logits: Tensor, frequencies: Tensor) -> Tensor:
    """Return what to add to the logits of each class, so that its mean probability is its frequency.

    It minimises the mean over examples of logsumexp(z + b) - f b, which is convex in b and has the gradient mean
    softmax(z + b) - f. Found by L-BFGS. Unique but for a constant, which is chosen so that the shifts have the mean 0.

    Args:
        logits: Of examples drawn as those to come, without their labels: finite, any float dtype (examples, classes).
            No gradient reaches them.
        frequencies: Known share of each class, positive, of sum 1, any float dtype (classes,).

    Returns:
        float64 (classes,), on the device of the logits.

    Raises:
        SpecialistsError: The arguments are not what they must be, or no shift was found.
    """
    raise_all(_faults(logits, frequencies))
    with torch.inference_mode(mode=False), torch.enable_grad():  # which the search needs
        exact = logits.detach().double()
        wanted = frequencies.detach().to(exact, copy=True)
        found = _minimum(exact, wanted)
    off = float(((exact + found).softmax(dim=1).mean(dim=0) - wanted).abs().max())
    if not off <= TOLERANCE:
        rule = f"meet every frequency within {TOLERANCE:g} after {_STEPS} steps"
        raise SpecialistsError(f"shift must {rule}; got {off:.2g} off")
    return found


def _minimum(exact: Tensor, wanted: Tensor) -> Tensor:
    """Return the shifts of mean 0 that are best after so many steps."""
    shift = torch.zeros_like(wanted, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [shift],
        max_iter=_STEPS,
        tolerance_grad=TOLERANCE / 10,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value: Tensor = (exact + shift).logsumexp(dim=1).mean() - wanted @ shift
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return shift.detach() - shift.detach().mean()


def _faults(logits: Tensor, frequencies: Tensor) -> list[str]:
    """Return what is wrong with the arguments of `frequency_shift`."""
    if logits.ndim != 2 or not logits.is_floating_point() or not len(logits) or frequencies.shape != logits.shape[1:]:
        got = (tuple(logits.shape), tuple(frequencies.shape))
        return [f"logits must be float (examples, classes), one or more, and frequencies (classes,); got {got}"]
    faults = []
    if not bool(logits.isfinite().all()):
        faults.append("logits must be finite; got others")
    if not bool((frequencies > 0).all()) or abs(float(frequencies.double().sum()) - 1) > TOLERANCE:
        low, total = float(frequencies.min()), float(frequencies.double().sum())
        faults.append(f"frequencies must be positive and of sum 1; got {low:g} at least, and sum {total:g}")
    return faults

"""How much larger a share of a specialist's epoch its subset has than of the data, and what corrects for that.

Imports no torch, so that a plan can tell how long an epoch is. `dustbin.enriched_epoch` draws one.
"""

import math

from specialists.errors import SpecialistsError


def epoch_size(n_inside: int, fraction: float) -> int:
    """Return how many examples an epoch shows: those of the subset once, and from outside what makes `fraction`.

    Args:
        n_inside: Examples of the subset's classes, at least 1.
        fraction: Their share of an epoch, above 0 and below 1.

    Returns:
        More than `n_inside`: one from outside at least. There may be fewer outside; they are shown again then.

    Raises:
        SpecialistsError: A value is out of its range.
    """
    if not 0.0 < fraction < 1.0:
        raise SpecialistsError(f"fraction must be above 0 and below 1; got {fraction}")
    if n_inside < 1:
        raise SpecialistsError("a subset must have at least one training example; got none")
    return n_inside + max(1, round(n_inside * (1.0 - fraction) / fraction))


def used_fraction(n_inside: int, fraction: float) -> float:
    """Return the share of the subset in an epoch: `fraction`, but for rounding to whole examples.

    Args:
        n_inside: Examples of the subset's classes, at least 1.
        fraction: The share asked for, above 0 and below 1.

    Returns:
        n / `epoch_size`, above 0 and below 1.

    Raises:
        SpecialistsError: As `epoch_size`.
    """
    return n_inside / epoch_size(n_inside, fraction)


def prior_correction(fraction: float, prior: float) -> float:
    """Return what to add to the dustbin logit of a specialist trained on enriched epochs.

    Training showed the subset with probability f where the data have pi, so its posterior odds of inside
    against outside are too high, by Bayes' rule, by f/(1-f) * (1-pi)/pi. The dustbin's logit takes the log of it
    (Hinton, Vinyals, Dean 2015, section 5.2).

    Args:
        fraction: f, the share of the subset's examples really used in training, from `used_fraction`.
        prior: pi, their share in the data.

    Returns:
        log[ f/(1-f) * (1-pi)/pi ], in nats.

    Raises:
        SpecialistsError: A value is not above 0 and below 1.
    """
    for name, value in (("fraction", fraction), ("prior", prior)):
        if not 0.0 < value < 1.0:
            raise SpecialistsError(f"{name} must be above 0 and below 1; got {value}")
    return math.log(fraction) - math.log1p(-fraction) + math.log1p(-prior) - math.log(prior)

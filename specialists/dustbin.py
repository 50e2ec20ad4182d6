"""Training a specialist: its head, its labels, its enriched epochs.

A specialist has |S|+1 outputs: the classes of its subset in the order it lists them, then one dustbin for all
others (Hinton, Vinyals, Dean 2015, sections 5.2 and 5.3). Or it keeps one output for each of the N classes, those of
its subset first, and learns the others from the generalist's soft targets (section 6.1): then its dustbin is the
logsumexp of the others, so that it too speaks of |S|+1.
"""

import math

import torch
from torch import Generator, Tensor

from specialists.enrichment import epoch_size
from specialists.errors import SpecialistsError, raise_all
from specialists.subset_checks import subset_faults


def initial_head(weight: Tensor, bias: Tensor, subset: Tensor) -> tuple[Tensor, Tensor]:
    """Make a specialist's last layer from the generalist's.

    The subset's rows are copied. The dustbin stands for the N - |S| other classes: its logit starts as the
    mean of theirs plus log(N - |S|), which is the log of their summed exponentials where they are equal.

    Args:
        weight: The generalist's, float (N, features).
        bias: The generalist's, float (N,).
        subset: Class ids, int64 (|S|,), 1 to N - 1 of them.

    Returns:
        Weight (|S| + 1, features) and bias (|S| + 1,), new tensors of the same dtype.

    Raises:
        SpecialistsError: The subset is not 1 to N - 1 different classes.
    """
    outside = _outside(subset, len(weight))
    dustbin_bias = bias[outside].mean() + math.log(len(weight) - len(subset))
    return (
        torch.cat([weight[subset], weight[outside].mean(0, keepdim=True)]),
        torch.cat([bias[subset], dustbin_bias[None]]),
    )


def full_head(weight: Tensor, bias: Tensor, subset: Tensor) -> tuple[Tensor, Tensor]:
    """Return the generalist's last layer with the classes of a subset first, the others after them in their order.

    Args:
        weight: The generalist's, float (N, features).
        bias: The generalist's, float (N,).
        subset: Class ids, int64 (|S|,), 1 to N - 1 of them.

    Returns:
        Weight (N, features) and bias (N,), new tensors of the same dtype.

    Raises:
        SpecialistsError: The subset is not 1 to N - 1 different classes.
    """
    order = torch.cat([subset, _outside(subset, len(weight)).nonzero().squeeze(1)])
    return weight[order], bias[order]


def folded(logits: Tensor, n_inside: int) -> Tensor:
    """Return what a specialist with a full head says of its subset and of all other classes together.

    Args:
        logits: The subset's first, float (batch, N).
        n_inside: |S|, 1 to N - 1.

    Returns:
        The subset's logits, then the logsumexp of the others, of the same dtype (batch, |S| + 1): its softmax is the
        sum of the full head's over each of them.

    Raises:
        SpecialistsError: `n_inside` leaves no class for the dustbin, or none for the subset.
    """
    if not 1 <= n_inside < logits.shape[1]:
        raise SpecialistsError(f"a subset must have 1 to {logits.shape[1] - 1} classes; got {n_inside}")
    return torch.cat([logits[:, :n_inside], logits[:, n_inside:].logsumexp(1, keepdim=True)], dim=1)


def regularized_targets(labels: Tensor, generalist_logits: Tensor, subset: Tensor) -> Tensor:
    """Return what a specialist with a full head learns: labels for its subset, soft targets for the others.

    An example of another class is known to be outside the subset, so its soft targets are the generalist's among the
    other classes, renormalised: with the generalist's mass on the subset left in, the training would count that mass
    twice, once in the soft targets and once in the examples of the subset, and no constant could correct the prior.
    Thus the dustbin learns what it learns from labels alone, and the generalist decides how it is divided
    (Hinton, Vinyals, Dean 2015, section 6.1, but for that mass).

    Args:
        labels: From `subset_labels`, int64 (batch,).
        generalist_logits: Of the same examples, in the order of the classes, float (batch, N). Those of examples of
            the subset are not read; in others, not all outside the subset may be minus infinity.
        subset: Class ids, int64 (|S|,), 1 to N - 1 of them.

    Returns:
        Log-probabilities in the order of `full_head`, of the logits' dtype (batch, N); minus infinity for what has no
        share.

    Raises:
        SpecialistsError: The subset is not 1 to N - 1 different classes.
    """
    n_inside = len(subset)
    others = generalist_logits[:, _outside(subset, generalist_logits.shape[1])]
    targets = torch.full_like(generalist_logits, -math.inf)
    is_inside = labels < n_inside
    targets[is_inside, labels[is_inside]] = 0.0
    targets[~is_inside, n_inside:] = others[~is_inside].log_softmax(1)
    return targets


def corrected(logits: Tensor, correction: float) -> Tensor:
    """Return a specialist's logits as the classes' shares in the data ask for, not those in its training.

    Args:
        logits: Any float dtype (batch, |S| + 1), dustbin last.
        correction: From `enrichment.prior_correction`, in nats.

    Returns:
        A new tensor, float64 (batch, |S| + 1).
    """
    exact = logits.to(torch.float64, copy=True)
    exact[:, -1] += correction
    return exact


def subset_labels(labels: Tensor, subset: Tensor, n_classes: int) -> Tensor:
    """Return labels as the specialist counts: the position in its subset, or |S| for the dustbin.

    Args:
        labels: Class ids, int64, any shape.
        subset: Class ids, int64 (|S|,), 1 to N - 1 of them.
        n_classes: N.

    Returns:
        int64, shaped like `labels`, on their device.

    Raises:
        SpecialistsError: The subset is not 1 to N - 1 different classes, or a label is not within 0..N-1.
    """
    raise_all(subset_faults("subset", subset, n_classes))
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        got = (int(labels.min()), int(labels.max()))
        raise SpecialistsError(f"labels must be within 0..{n_classes - 1}; got values from {got[0]} to {got[1]}")
    local = torch.full((n_classes,), len(subset), dtype=torch.int64, device=labels.device)
    local[subset.to(labels.device)] = torch.arange(len(subset), device=labels.device)
    return local[labels]


def enriched_epoch(labels: Tensor, subset: Tensor, fraction: float, generator: Generator) -> Tensor:
    """Draw one epoch of a specialist: every example of its subset once, others at random, shuffled.

    The others are drawn without replacement. Where there are fewer than are asked for, each is taken as often
    as all of them can be, and only the remainder is drawn, so that the share of the subset stays as asked.

    Args:
        labels: Class ids of the training set, int64 (examples,), on the CPU.
        subset: Class ids, int64 (|S|,).
        fraction: Share of the subset's examples in the epoch, above 0 and below 1.
        generator: Source of the draws.

    Returns:
        Positions in `labels`, int64 (examples of the epoch,).

    Raises:
        SpecialistsError: No example is in the subset, none is outside, or `fraction` is out of range.
    """
    is_inside = torch.isin(labels, subset)
    inside, outside = is_inside.nonzero().squeeze(1), (~is_inside).nonzero().squeeze(1)
    n_draws = epoch_size(len(inside), fraction) - len(inside)
    if not len(outside):
        raise SpecialistsError("a training set must have examples outside the subset; got none")
    whole, remainder = divmod(n_draws, len(outside))
    drawn = outside[torch.randperm(len(outside), generator=generator)[:remainder]]
    epoch = torch.cat([inside, outside.repeat(whole), drawn])
    return epoch[torch.randperm(len(epoch), generator=generator)]


def _outside(subset: Tensor, n_classes: int) -> Tensor:
    """Return which classes are outside a subset, bool (N,); raise where it is not 1 to N - 1 different classes."""
    raise_all(subset_faults("subset", subset, n_classes))
    outside = torch.ones(n_classes, dtype=torch.bool, device=subset.device)
    outside[subset] = False
    return outside

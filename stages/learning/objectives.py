"""What a training minimises: means per example, of logits."""

from torch import Tensor
from torch.nn import functional

from stages.learning.batches import Batch


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy with labels.

    Args:
        logits: (batch, classes).
        labels: int64 (batch,).
        smoothing: Share of each label that all classes get in equal parts (Szegedy et al. 2016, arXiv 1512.00567,
            section 7).

    Returns:
        A scalar, in nats.
    """
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def labels_loss(logits: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy with the labels of a batch: what teachers minimise."""
    return cross_entropy(logits, batch.labels, smoothing)


def temper(log_probs: Tensor, temperature: float) -> Tensor:
    """Return the logarithm of q^(1/T), renormalised.

    Args:
        log_probs: log q, or logits, (batch, classes); minus infinity where q is 0.
        temperature: T, positive: 1 changes nothing, large ones approach the uniform distribution.
    """
    return (log_probs / temperature).log_softmax(dim=1)


def soft_targets_loss(
    logits: Tensor, labels: Tensor, log_q: Tensor, *, temperature: float, alpha: float, smoothing: float = 0.0
) -> Tensor:
    """Return the distillation loss, alpha T^2 CE(q_T, softmax(z/T)) + (1 - alpha) CE(y, softmax(z)).

    T^2 makes up for the gradients of the first term, which shrink by it: its derivative by z is
    (softmax(z/T) - q_T) / T before that. Source: Hinton, Vinyals, Dean 2015, sections 2 and 2.1.

    Args:
        logits: The student's, z, (batch, classes).
        labels: y, int64 (batch,).
        log_q: Logarithm of the soft targets q at temperature 1, (batch, classes).
        temperature: T, of student and targets alike.
        alpha: Weight of the soft targets, in [0, 1].
        smoothing: Of the labels.

    Returns:
        A scalar, in nats.
    """
    soft = functional.cross_entropy(logits / temperature, temper(log_q, temperature).exp())
    return alpha * temperature**2 * soft + (1 - alpha) * cross_entropy(logits, labels, smoothing)

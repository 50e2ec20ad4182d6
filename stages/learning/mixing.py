"""Mixup: images and their targets mixed in pairs."""

import random
from collections.abc import Callable

import torch
from torch import Tensor

from stages.learning.batches import Batch


def mixed_loss(
    batch: Batch,
    forward: Callable[[Tensor], Tensor],
    objective: Callable[[Tensor, Batch], Tensor],
    *,
    alpha: float,
    seed: int,
) -> Tensor:
    """Return the loss of a batch whose images are mixed in pairs, and their targets alike.

    Every image is mixed with another one of the batch, all by one share, drawn from the symmetric beta distribution.
    The loss is the mixture of the two images' losses: for a cross-entropy, which is linear in its targets, that is the
    loss with mixed targets. Soft targets are mixed as labels are; no teacher has seen the mixed image. Source: Zhang
    et al. 2018, "mixup: Beyond Empirical Risk Minimization" (arXiv 1710.09412), section 2.

    Args:
        batch: The batch.
        forward: Returns the logits of images.
        objective: Returns the mean loss of logits and a batch.
        alpha: Both parameters of the beta distribution, positive.
        seed: The share is drawn from it; the pairs are drawn from torch's generator.

    Returns:
        A scalar.
    """
    share = random.Random(seed).betavariate(alpha, alpha)  # noqa: S311  # no secret; on the host, so that nothing waits
    partner = batch[torch.randperm(len(batch.labels), device=batch.labels.device)]
    logits = forward(torch.lerp(partner.images, batch.images, share))
    return share * objective(logits, batch) + (1 - share) * objective(logits, partner)

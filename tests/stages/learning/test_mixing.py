"""Mixup, against the loss with mixed targets."""

import pytest
import torch
from torch.nn import functional

from stages.learning.batches import Batch
from stages.learning.mixing import mixed_loss
from stages.learning.objectives import labels_loss, soft_targets_loss, temper

N_CLASSES = 4


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    log_q = torch.randn(6, N_CLASSES, generator=generator).log_softmax(dim=1)
    return Batch(torch.rand(6, 1, 2, 2, generator=generator), torch.arange(6) % N_CLASSES, log_q)


def mixed(batch, objective, seed=5):
    """Return the loss, the mixed images, and the share and partners that explain them."""
    seen = []

    def forward(images):
        seen.append(images)
        return images.flatten(1)

    torch.manual_seed(2)
    loss = mixed_loss(batch, forward, objective, alpha=0.5, seed=seed)
    torch.manual_seed(2)
    order = torch.randperm(len(batch.labels))
    row = next(i for i in range(6) if order[i] != i)
    difference = batch.images[row] - batch.images[order[row]]
    share = ((seen[0][row] - batch.images[order[row]]) / difference).mean().item()
    return loss, seen[0], share, order


def test_mixed_images_are_mixtures_by_one_share(batch):
    _, images, share, order = mixed(batch, labels_loss)
    assert 0 < share < 1
    assert torch.allclose(images, share * batch.images + (1 - share) * batch.images[order], atol=1e-6)


def test_mixed_loss_is_the_loss_with_mixed_labels(batch):
    loss, images, share, order = mixed(batch, labels_loss)
    labels = functional.one_hot(batch.labels, N_CLASSES).float()
    targets = share * labels + (1 - share) * labels[order]
    assert loss.item() == pytest.approx(functional.cross_entropy(images.flatten(1), targets).item(), rel=1e-5)


def test_mixed_loss_is_the_loss_with_mixed_soft_targets(batch):
    def objective(logits, batch):
        return soft_targets_loss(logits, batch.labels, batch.log_q, temperature=3.0, alpha=1.0)

    loss, images, share, order = mixed(batch, objective)
    q = temper(batch.log_q, 3.0).exp()
    expected = 9 * functional.cross_entropy(images.flatten(1) / 3.0, share * q + (1 - share) * q[order])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_share_comes_from_the_seed(batch):
    shares = [mixed(batch, labels_loss, seed=seed)[2] for seed in (1, 1, 2)]
    assert shares[0] == shares[1] != shares[2]

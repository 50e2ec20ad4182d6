"""Objectives: values and gradients against what the paper says of them."""

import pytest
import torch

from stages.learning import objectives
from stages.learning.batches import Batch

N_CLASSES = 6


def random(seed, rows=4):
    """Return logits, labels and log-probabilities, in float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, N_CLASSES, generator=generator, dtype=torch.float64).requires_grad_()
    log_q = torch.randn(rows, N_CLASSES, generator=generator, dtype=torch.float64).log_softmax(dim=1)
    return logits, torch.randint(N_CLASSES, (rows,), generator=generator), log_q


def gradient(logits, loss):
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_soft_targets_loss_has_the_gradient_of_finite_differences(temperature, alpha):
    logits, labels, log_q = random(0)
    assert torch.autograd.gradcheck(
        lambda z: objectives.soft_targets_loss(z, labels, log_q, temperature=temperature, alpha=alpha), logits
    )


def test_soft_targets_loss_has_the_gradient_of_the_paper():
    logits, labels, log_q = random(1, rows=1)
    temperature = 3.0
    loss = objectives.soft_targets_loss(logits, labels, log_q, temperature=temperature, alpha=1.0)
    q = log_q.exp() ** (1 / temperature)
    expected = ((logits / temperature).softmax(dim=1) - q / q.sum()) / temperature
    assert torch.allclose(gradient(logits, loss) / temperature**2, expected, rtol=1e-12)


def test_soft_targets_loss_matches_zero_mean_logits_at_large_temperature():
    logits, labels, log_q = random(2, rows=1)
    centred = (logits.detach() - logits.mean()).requires_grad_()
    teacher = log_q - log_q.mean()
    temperature = 1e4
    loss = objectives.soft_targets_loss(centred, labels, teacher, temperature=temperature, alpha=1.0)
    assert torch.allclose(gradient(centred, loss), (centred - teacher) / N_CLASSES, atol=1e-3)


def test_soft_targets_loss_without_soft_targets_is_the_cross_entropy():
    logits, labels, log_q = random(3)
    loss = objectives.soft_targets_loss(logits, labels, log_q, temperature=4.0, alpha=0.0)
    assert loss.item() == objectives.cross_entropy(logits, labels).item()


def test_soft_targets_loss_is_a_mean_over_examples():
    logits, labels, log_q = random(4)
    options = {"temperature": 2.0, "alpha": 0.7}
    whole = objectives.soft_targets_loss(logits, labels, log_q, **options)
    rows = [
        objectives.soft_targets_loss(logits[i : i + 1], labels[i : i + 1], log_q[i : i + 1], **options)
        for i in range(4)
    ]
    assert torch.allclose(whole, torch.stack(rows).mean())


def test_soft_targets_loss_takes_classes_of_probability_zero():
    logits = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    log_q = torch.tensor([[0.5, 0.5, 0.0]]).log()
    loss = objectives.soft_targets_loss(logits, torch.tensor([0]), log_q, temperature=4.0, alpha=0.9)
    assert torch.isfinite(gradient(logits, loss)).all()


def test_labels_loss_is_the_mean_of_minus_log_p():
    logits, labels, _ = random(5)
    expected = -logits.log_softmax(dim=1)[torch.arange(4), labels].mean()
    assert torch.allclose(objectives.labels_loss(logits, Batch(torch.empty(4), labels)), expected)


def test_temper_changes_nothing_at_one_and_goes_to_uniform():
    log_q = random(6)[2]
    assert torch.allclose(objectives.temper(log_q, 1.0), log_q)
    assert torch.allclose(objectives.temper(log_q, 1e6).exp(), torch.full_like(log_q, 1 / N_CLASSES), atol=1e-6)
    assert torch.allclose(objectives.temper(log_q, 3.0).exp().sum(dim=1), torch.ones(4, dtype=torch.float64))


def test_label_smoothing_mixes_the_label_with_all_classes():
    logits, labels = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([1])
    targets = 0.7 * torch.nn.functional.one_hot(labels, 3) + 0.1
    expected = torch.nn.functional.cross_entropy(logits, targets).item()
    batch = Batch(torch.zeros(1, 1, 1, 1), labels)
    assert objectives.labels_loss(logits, batch, smoothing=0.3).item() == pytest.approx(expected)
    mixed = objectives.soft_targets_loss(
        logits, labels, logits.log_softmax(dim=1), temperature=2.0, alpha=0.0, smoothing=0.3
    )
    assert mixed.item() == pytest.approx(expected)

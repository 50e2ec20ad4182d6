"""Schedules, against torch's own; what is decayed; what is scaled."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.learning import optimisers
from stages.learning.settings import Settings


@given(epochs=st.integers(1, 5), steps=st.integers(1, 9), warmup=st.floats(0, 0.99))
def test_learning_rate_at_rises_then_falls_towards_zero(epochs, steps, warmup):
    settings = Settings(epochs, steps, learning_rate=2.0, warmup=warmup)
    rates = [optimisers.learning_rate_at(step, settings) for step in range(epochs * steps + 1)]
    peak = rates.index(max(rates))
    assert max(rates) == 2.0
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates[:-1]) > 0
    assert rates[-1] == pytest.approx(0)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.77])
def test_one_cycle_is_that_of_torch(kind, warmup):
    settings = Settings(4, 10, learning_rate=0.5, optimiser=kind, momentum=0.95, schedule="one_cycle", warmup=warmup)
    weight = [torch.nn.Parameter(torch.ones(2, 2))]
    theirs = torch.optim.SGD(weight, lr=0.1, momentum=0.9) if kind == "sgd" else torch.optim.AdamW(weight)
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=0.5, total_steps=40, pct_start=warmup)
    ours = optimisers.make_optimiser(torch.nn.Linear(2, 2), settings)
    for step in range(40):
        optimisers.follow_schedule(ours, step, settings)
        wanted = theirs.param_groups[0]
        for group in ours.param_groups:
            assert group["lr"] == pytest.approx(wanted["lr"])
            momentum = (group["momentum"], wanted["momentum"]) if kind == "sgd" else (group["betas"], wanted["betas"])
            assert momentum[0] == pytest.approx(momentum[1])
        theirs.step()
        schedule.step()


@given(n_steps=st.integers(1, 30), warmup=st.floats(0, 0.99), momentum=st.floats(0, 0.99))
def test_one_cycle_stays_within_its_bounds(n_steps, warmup, momentum):
    settings = Settings(1, n_steps, learning_rate=2.0, momentum=momentum, schedule="one_cycle", warmup=warmup)
    for step in range(n_steps):
        assert 0 < optimisers.learning_rate_at(step, settings) <= 2.0 + 1e-9
        assert max(0, momentum - 0.1) - 1e-9 <= optimisers.momentum_at(step, settings) <= momentum + 1e-9


def test_cosine_leaves_the_momentum_alone():
    settings = Settings(1, 10, learning_rate=1.0, momentum=0.7)
    assert {optimisers.momentum_at(step, settings) for step in range(10)} == {0.7}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_weight_decay_is_for_matrices_alone(kind):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 2))
    settings = Settings(1, 1, learning_rate=0.1, weight_decay=0.3, optimiser=kind)
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimisers.make_optimiser(model, settings).param_groups
        for parameter in group["params"]
    }
    found = {name: decays[id(parameter)] for name, parameter in model.named_parameters()}
    assert found == {name: 0.3 if name in {"0.weight", "2.weight"} else 0.0 for name in found}


def test_adamw_takes_the_step_that_torch_documents():
    model = torch.nn.Linear(1, 1, bias=False)
    weight = model.weight.item()
    settings = Settings(1, 1, learning_rate=0.5, optimiser="adamw", weight_decay=0.1)
    optimiser = optimisers.make_optimiser(model, settings)
    model(torch.ones(1, 1)).sum().backward()
    optimiser.step()
    # the first step of Adam is the learning rate, whatever the gradient is, after the decoupled decay
    assert model.weight.item() == pytest.approx(weight * (1 - 0.5 * 0.1) - 0.5, abs=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_of_adamw_is_that_of_the_settings(momentum):
    model = torch.nn.Linear(1, 1, bias=False)
    settings = Settings(1, 2, learning_rate=0.5, optimiser="adamw", momentum=momentum, weight_decay=0.0)
    optimiser = optimisers.make_optimiser(model, settings)
    weights = [model.weight.item()]
    for sign in (1.0, -1.0):
        optimiser.zero_grad()
        (sign * model(torch.ones(1, 1))).sum().backward()
        optimiser.step()
        weights.append(model.weight.item())
    # Gradients 1 and -1 have one mean square; their corrected mean is (1 - b)(b - 1) / (1 - b^2) at the second step.
    assert weights[2] - weights[1] == pytest.approx(0.5 * (1 - momentum) / (1 + momentum), abs=1e-5)


def test_constrain_scales_long_rows_and_leaves_short_ones_and_biases():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    weight, bias = torch.nn.Parameter(rows.clone()), torch.nn.Parameter(torch.tensor([9.0]))
    optimisers.constrain([weight, bias], 1.0)
    assert torch.allclose(weight, torch.tensor([[0.6, 0.8], [0.3, 0.4]]), atol=1e-6)
    assert bias.item() == 9.0


def test_settings_count_their_steps():
    assert dataclasses.replace(Settings(1, 1, learning_rate=1.0), epochs=3, steps_per_epoch=7).n_steps == 21

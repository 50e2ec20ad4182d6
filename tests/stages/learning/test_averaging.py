"""The mean of weights, against its formula."""

import pytest
import torch

from stages.learning.averaging import Average


def test_average_follows_its_formula():
    model = torch.nn.Linear(1, 1, bias=False)
    weights = [1.0, 2.0, 4.0, 8.0]
    model.weight.data.fill_(weights[0])
    average, expected = Average(model, 0.15), weights[0]
    for step, weight in enumerate(weights[1:]):
        model.weight.data.fill_(weight)
        average.update(step)
        decay = min(0.15, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert average.values["weight"].item() == pytest.approx(expected)
    assert model.weight.item() == 8.0


def test_average_is_shown_for_a_while_and_given_for_good():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = Average(model, 0.5)
    before = average.values["0.weight"].clone()
    model[0].weight.data.add_(1.0)
    with average.shown():
        assert torch.equal(model[0].weight, before)
    assert torch.equal(model[0].weight, before + 1.0)
    average.give()
    assert torch.equal(model[0].weight, before)


def test_average_has_the_statistics_of_norms_and_leaves_counts():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2))
    average = Average(model, 0.5)
    model(torch.tensor([[1.0, 5.0], [3.0, 9.0]]))
    average.update(100)
    assert "0.num_batches_tracked" not in average.values
    assert torch.allclose(average.values["0.running_mean"], model[0].running_mean / 2)

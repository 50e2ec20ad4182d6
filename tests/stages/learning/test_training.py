"""The training loop: it learns, repeats itself exactly, and says what went wrong."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage import Artifact
from stages.learning import models, objectives, optimisers, training, views
from stages.learning.errors import TrainingError
from stages.learning.settings import Settings
from stages.learning.training import Batch

MEAN, STD = [0.5], [0.3]
SETTINGS = Settings(epochs=8, steps_per_epoch=3, learning_rate=0.1)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    training.use_threads(1)
    yield
    training.use_threads(before)


def stripes():
    """Return 48 images of 8 x 8 pixels, bright above, below or in between, and which: three easy classes."""
    noise = torch.randint(0, 60, (48, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(48) % 3
    for label, rows in enumerate((slice(0, 3), slice(3, 5), slice(5, 8))):
        noise[labels == label, rows] += 180
    return noise, labels


def batches_of(images, labels, batch_size=16):
    def batches(epoch, first):
        generator = torch.Generator().manual_seed(epoch)
        for rows in torch.randperm(len(images), generator=generator).split(batch_size)[first:]:
            yield Batch(views.normalise(images[rows], MEAN, STD), labels[rows])

    return batches


def trained(settings=SETTINGS, name="cnn"):
    images, labels = stripes()
    model = models.build(name, classes=3, channels=1, image_size=(8, 8), width=8, seed=1)
    history = training.fit(model, batches_of(images, labels), objectives.labels_loss, settings)
    return model, history


def assert_same_weights(model, other):
    arrays, others = models.state_to_arrays(model), models.state_to_arrays(other)
    assert all(np.array_equal(arrays[name], others[name]) for name in arrays)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", models.MODELS)
def test_fit_learns_an_easy_set(name, precision):
    images, labels = stripes()
    settings = Settings(epochs=12, steps_per_epoch=3, learning_rate=0.1, precision=precision)
    model, history = trained(settings, name)
    logits = training.predict_logits(model, images, mean=MEAN, std=STD, precision=precision)
    assert logits.dtype == torch.float32
    assert torch.equal(logits.argmax(dim=1), labels)
    assert history[-1]["loss"] < history[0]["loss"]


def test_fit_repeats_itself_to_the_last_bit_whatever_the_global_generator_does():
    torch.manual_seed(1)
    first, history = trained()
    torch.manual_seed(2)
    torch.rand(10)
    second, again = trained()
    assert_same_weights(first, second)
    assert history == again


def test_fit_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_fit_takes_the_step_of_nesterov_with_decay_on_matrices_alone():
    model = torch.nn.Linear(2, 2)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    batch = Batch(torch.ones(1, 2, 1, 1), torch.tensor([0]))
    flat = torch.nn.Sequential(torch.nn.Flatten(), model)
    settings = Settings(1, 1, learning_rate=0.5, momentum=0.9, weight_decay=0.1, warmup=0)
    training.fit(flat, lambda epoch, first: [batch], lambda logits, _: logits.sum(), settings)
    # the first step of Nesterov's momentum is gradient + momentum * gradient
    assert torch.allclose(model.weight, weight - 0.5 * 1.9 * (1 + 0.1 * weight))
    assert torch.allclose(model.bias, bias - 0.5 * 1.9)


def test_fit_without_momentum_is_plain_gradient_descent():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1, 1, bias=False))
    weight = model[1].weight.item()
    batch = Batch(torch.ones(1, 1, 1, 1), torch.tensor([0]))
    settings = Settings(1, 1, learning_rate=0.5, momentum=0, weight_decay=0, warmup=0)
    training.fit(model, lambda epoch, first: [batch], lambda logits, _: logits.sum(), settings)
    assert model[1].weight.item() == pytest.approx(weight - 0.5)


def test_fit_reports_every_epoch_and_validates_in_evaluation_mode():
    images, labels = stripes()
    model = models.build("cnn", classes=3, channels=1, image_size=(8, 8), width=2)
    seen = []
    history = training.fit(
        model,
        batches_of(images, labels),
        objectives.labels_loss,
        Settings(epochs=2, steps_per_epoch=3, learning_rate=0.1),
        progress=seen.append,
        validate=lambda: {"training": float(model.training)},
    )
    assert seen == [{"epochs": 2, **facts} for facts in history]
    assert [(facts["epoch"], facts["training"]) for facts in history] == [(1, 0.0), (2, 0.0)]
    assert not model.training


def test_fit_names_the_step_of_a_loss_that_is_not_finite():
    images, labels = stripes()
    model = models.build("cnn", classes=3, channels=1, image_size=(8, 8), width=2)
    calls = []

    def objective(logits, batch):
        calls.append(len(calls))
        return logits.sum() * (math.inf if len(calls) == 5 else 1e-3)

    with pytest.raises(TrainingError, match=r"loss must be finite; got (-?inf|nan) in epoch 2 of 8, step 2 of 3"):
        training.fit(model, batches_of(images, labels), objective, SETTINGS)
    assert len(calls) == 6


@pytest.mark.parametrize("steps", [2, 4])
def test_fit_refuses_another_number_of_batches_than_was_said(steps):
    settings = Settings(epochs=1, steps_per_epoch=steps, learning_rate=0.1, warmup=0.99)
    with pytest.raises(TrainingError, match=f"epoch 1 must have {steps} batches, as the schedule counts them; got 3"):
        trained(settings)


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


@given(n_examples=st.integers(0, 40), batch_size=st.integers(1, 12))
def test_batch_slices_drop_nothing_and_leave_no_single_example(n_examples, batch_size):
    batches = training.batch_slices(n_examples, batch_size)
    assert [row for rows in batches for row in range(n_examples)[rows]] == list(range(n_examples))
    sizes = [rows.stop - rows.start for rows in batches]
    assert 1 not in sizes or 1 in (n_examples, batch_size)
    assert max(sizes, default=0) <= batch_size + 1


def test_predict_logits_does_not_depend_on_the_batches():
    images, _ = stripes()
    model, _ = trained()
    options = {"mean": MEAN, "std": STD}
    whole = training.predict_logits(model, images, **options)
    parts = training.predict_logits(model, images, batch_size=7, **options)
    assert torch.allclose(whole, parts, atol=1e-5)
    assert not whole.is_inference()


def test_predict_logits_of_no_image_has_all_outputs():
    model = models.build("cnn", classes=3, channels=1, image_size=(8, 8), width=2)
    images = torch.zeros(0, 8, 8, 1, dtype=torch.uint8)
    assert training.predict_logits(model, images, mean=MEAN, std=STD).shape == (0, 3)


def test_device_is_one_that_computes():
    assert torch.ones(1, device=training.device()).item() == 1


class Kept:
    """A checkpoint in memory, due at every step; loses what is said of it."""

    def __init__(self):
        self.saved, self.refused = {}, ""

    def load(self):
        return self.saved[max(self.saved)] if self.saved else None

    def is_due(self):
        return True

    def save(self, arrays, facts, *, position):
        self.saved[position] = Artifact(arrays, json.loads(json.dumps(facts)))

    def discard(self, why):
        self.refused = why


def with_dropout():
    """A network that draws at random, with weights that channels_last lays out in another order."""
    torch.manual_seed(3)
    layers = (torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.5))
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(144, 3))


def fit_with(model, checkpoint, *, told=None, settings=SETTINGS):
    options = {"checkpoint": checkpoint, "progress": told.append if told is not None else None}
    return training.fit(model, batches_of(*stripes()), objectives.labels_loss, settings, **options)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fit_goes_on_from_any_step_with_the_same_bits(momentum):
    settings = dataclasses.replace(SETTINGS, epochs=4, momentum=momentum)
    whole, kept = with_dropout(), Kept()
    history = fit_with(whole, kept, settings=settings)
    assert sorted(kept.saved) == list(range(1, 13))
    for step, snapshot in kept.saved.items():
        resumed, from_there, told = with_dropout(), Kept(), []
        from_there.saved[step] = snapshot
        assert fit_with(resumed, from_there, told=told, settings=settings) == history
        assert_same_weights(resumed, whole)
        assert [facts["epoch"] for facts in told] == list(range(max(1, step // 3), 5))
        assert not resumed.training


def test_fit_draws_other_units_at_every_step_and_for_every_seed():
    seen = []
    settings = dataclasses.replace(SETTINGS, epochs=1)
    batch = Batch(torch.ones(1, 1, 8, 8), torch.tensor([0]))
    for seed in (1, 1, 2):
        drop = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(64, 3))
        drop[0].register_forward_hook(lambda module, given, made: seen.append(made.flatten().tolist()))
        training.fit(
            drop,
            lambda epoch, first: [batch] * 3,
            objectives.labels_loss,
            dataclasses.replace(settings, seed=seed),
        )
    first, again, other = seen[:3], seen[3:6], seen[6:]
    assert first == again != other
    assert first[0] != first[1] != first[2]


def test_fit_starts_afresh_where_what_was_kept_is_of_another_network():
    kept = Kept()
    kept.save({"model/weight": np.zeros(3, dtype=np.float32)}, {"step": 1, "history": []}, position=1)
    model, alone = with_dropout(), with_dropout()
    fit_with(alone, None)
    fit_with(model, kept)
    assert "is not of this training: weights must be those of the network" in kept.refused
    assert_same_weights(model, alone)


def test_fit_keeps_nothing_that_has_diverged():
    kept = Kept()
    calls = []

    def objective(logits, batch):
        calls.append(len(calls))
        return logits.sum() * (math.nan if len(calls) == 5 else 1e-3)

    with pytest.raises(TrainingError, match=r"got nan in epoch 2 of 8, step 2 of 3"):
        training.fit(with_dropout(), batches_of(*stripes()), objective, SETTINGS, checkpoint=kept)
    assert sorted(kept.saved) == [1, 2, 3, 4]

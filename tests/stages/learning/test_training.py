"""The training loop: it learns, repeats itself exactly, and says what went wrong."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact
from stages.learning import models, objectives, prediction, training, views
from stages.learning.batches import Batch
from stages.learning.errors import TrainingError
from stages.learning.settings import Settings
from stages.learning.state import best_epoch

MEAN, STD = [0.5], [0.3]
SETTINGS = Settings(epochs=8, steps_per_epoch=3, learning_rate=0.1)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    training.use_threads(1)
    yield
    training.use_threads(before)


def stripes(seed=0):
    """Return 48 images of 8 x 8 pixels, bright above, below or in between, and which: three easy classes."""
    noise = torch.randint(0, 60, (48, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
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
    model = models.build(name, classes=3, channels=1, image_size=(8, 8), width=8, seed=1)
    history = training.fit(model, batches_of(*stripes()), objectives.labels_loss, settings)
    return model, history


def judged(model):
    """Return accuracy and NLL on other images of the same kind."""
    images, labels = stripes(seed=9)
    log_probs = prediction.predict_logits(model, images, mean=MEAN, std=STD).log_softmax(dim=1)
    nll = torch.nn.functional.nll_loss(log_probs, labels).item()
    return {"accuracy": (log_probs.argmax(dim=1) == labels).float().mean().item(), "nll": nll}


def assert_same_weights(model, other):
    arrays, others = models.state_to_arrays(model), models.state_to_arrays(other)
    assert all(np.array_equal(arrays[name], others[name]) for name in arrays)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet8", "wrn-16-1"])
def test_fit_learns_an_easy_set(name, precision):
    images, labels = stripes()
    settings = Settings(epochs=12, steps_per_epoch=3, learning_rate=0.1, precision=precision)
    model, history = trained(settings, name)
    logits = prediction.predict_logits(model, images, mean=MEAN, std=STD, precision=precision)
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


def test_fit_refuses_what_the_last_step_has_done():
    images, labels = stripes()
    model = models.build("mlp", classes=3, channels=1, image_size=(8, 8), width=4)
    settings = Settings(epochs=1, steps_per_epoch=3, learning_rate=1e-3)
    calls = []

    def objective(logits, batch):
        calls.append(len(calls))
        return logits.sum() * (1e38 if len(calls) == 3 else 1e-3)  # whose gradients are infinite, but not the loss

    rule = "weights must be finite; got others after epoch 1 of 1, step 3, its last"
    with pytest.raises(TrainingError, match=rule):
        training.fit(model, batches_of(images * 1e-3, labels), objective, settings)


def test_fit_refuses_what_the_holdout_says_of_a_network_that_has_diverged():
    images, labels = stripes()
    model = models.build("cnn", classes=3, channels=1, image_size=(8, 8), width=2)
    settings = Settings(epochs=2, steps_per_epoch=3, learning_rate=0.1)
    with pytest.raises(TrainingError, match="nll on the holdout must be finite; got inf after epoch 1 of 2"):
        training.fit(
            model, batches_of(images, labels), objectives.labels_loss, settings, validate=lambda: {"nll": math.inf}
        )


@pytest.mark.parametrize("steps", [2, 4])
def test_fit_refuses_another_number_of_batches_than_was_said(steps):
    settings = Settings(epochs=1, steps_per_epoch=steps, learning_rate=0.1, warmup=0.99)
    with pytest.raises(TrainingError, match=f"epoch 1 must have {steps} batches, as the schedule counts them; got 3"):
        trained(settings)


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
    return training.fit(
        model,
        batches_of(*stripes()),
        objectives.labels_loss,
        settings,
        checkpoint=checkpoint,
        progress=None if told is None else told.append,
        validate=lambda: judged(model),
    )


EVERYTHING = {
    "schedule": "one_cycle",
    "clip": 1.0,
    "max_norm": 0.9,
    "mixup": 0.4,
    "ema": 0.9,
    "keep": "best",
    "precision": "bf16",
}
"""Options that may all be on at once."""


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.0}, {"optimiser": "adamw", "learning_rate": 0.01}, EVERYTHING],
    ids=["sgd", "no momentum", "adamw", "everything"],
)
def test_fit_goes_on_from_any_step_with_the_same_bits(options):
    settings = dataclasses.replace(SETTINGS, epochs=4, **options)
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


def test_fit_begins_anew_where_a_checkpoint_is_of_another_format():
    model, kept = with_dropout(), Kept()
    history = fit_with(model, kept)
    for facts in ({"step": 2, "history": []}, {"format": 0, "step": 2, "history": []}):
        other, again = Kept(), with_dropout()
        other.saved[2] = Artifact(kept.saved[2].arrays, facts)
        assert fit_with(again, other) == history
        assert_same_weights(again, model)
        got = facts.get("format") or "none"
        assert other.refused == f"is not of this training: its format must be 1; got {got}"


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
    kept.save({"model/weight": np.zeros(3, dtype=np.float32)}, {"format": 1, "step": 1, "history": []}, position=1)
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


@pytest.mark.parametrize("name", [*EVERYTHING, "optimiser", "deterministic"])
def test_every_option_still_learns(name):
    values = EVERYTHING | {"optimiser": "adamw", "deterministic": True}
    settings = dataclasses.replace(SETTINGS, epochs=12, **{name: values[name]})
    if name == "optimiser":
        settings = dataclasses.replace(settings, learning_rate=0.01)
    model = models.build("cnn", classes=3, channels=1, image_size=(8, 8), width=8, seed=1)
    fit_with(model, None, settings=settings)
    assert judged(model)["accuracy"] > 0.95


def test_fit_leaves_what_torch_keeps_for_all_as_it_was():
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    seen = []
    settings = dataclasses.replace(SETTINGS, epochs=1, deterministic=True)
    training.fit(
        with_dropout(),
        batches_of(*stripes()),
        objectives.labels_loss,
        settings,
        validate=lambda: {"seen": seen.append(torch.are_deterministic_algorithms_enabled()) or 0.0},
    )
    assert seen == [True]
    assert (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark) == before


@pytest.mark.parametrize("deterministic", [True, False])
def test_fit_trains_with_cudnn_which_tries_algorithms_where_bits_may_differ(deterministic):
    seen = []
    settings = dataclasses.replace(SETTINGS, epochs=1, deterministic=deterministic)

    def objective(logits, batch):
        seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        return objectives.labels_loss(logits, batch)

    training.fit(with_dropout(), batches_of(*stripes()), objective, settings)
    assert set(seen) == {(True, not deterministic)}


def test_fit_keeps_the_norms_of_weights_within_bounds():
    model = with_dropout()
    training.fit(model, batches_of(*stripes()), objectives.labels_loss, dataclasses.replace(SETTINGS, max_norm=0.3))
    norms = [weights.detach().flatten(1).norm(dim=1) for weights in (model[0].weight, model[5].weight)]
    assert max(float(norm.max()) for norm in norms) <= 0.3 + 1e-5
    assert min(float(norm.max()) for norm in norms) > 0.29  # the bound is reached, and not gone below


def test_fit_clips_the_gradient_of_all_weights_together():
    def change(clip):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        settings = Settings(1, 1, learning_rate=1.0, momentum=0, weight_decay=0, warmup=0, clip=clip)
        batch = Batch(torch.ones(1, 1, 2, 2), torch.tensor([0]))
        training.fit(model, lambda epoch, first: [batch], lambda logits, _: logits.sum(), settings)
        return before - torch.nn.utils.parameters_to_vector(model.parameters()).detach()

    assert torch.allclose(change(None), torch.ones(10), atol=1e-5)
    assert change(1.0).norm().item() == pytest.approx(1.0, abs=1e-5)
    assert torch.allclose(change(100.0), torch.ones(10), atol=1e-5)


def test_fit_returns_the_epoch_that_was_judged_best():
    settings = dataclasses.replace(SETTINGS, epochs=5, keep="best")
    said = iter([(0.5, 1.0), (0.9, 0.7), (0.9, 0.4), (0.9, 0.4), (0.8, 0.1)])
    seen = []

    def validate():
        seen.append(models.state_to_arrays(model))
        return dict(zip(("accuracy", "nll"), next(said), strict=True))

    model = with_dropout()
    history = training.fit(model, batches_of(*stripes()), objectives.labels_loss, settings, validate=validate)
    assert best_epoch(history) == 3
    found = models.state_to_arrays(model)
    assert all(np.array_equal(found[name], seen[2][name]) for name in found)
    assert not all(np.array_equal(found[name], seen[4][name]) for name in found)


def test_fit_judges_and_returns_the_mean_of_the_weights():
    seen = []
    model, last = with_dropout(), with_dropout()

    def validate():
        seen.append(models.state_to_arrays(model))
        return {}

    training.fit(
        model,
        batches_of(*stripes()),
        objectives.labels_loss,
        dataclasses.replace(SETTINGS, ema=0.9),
        validate=validate,
    )
    training.fit(last, batches_of(*stripes()), objectives.labels_loss, SETTINGS)
    found = models.state_to_arrays(model)
    assert all(np.array_equal(found[name], seen[-1][name]) for name in found)
    assert not np.array_equal(found["0.weight"], models.state_to_arrays(last)["0.weight"])


def test_fit_says_what_to_do_where_the_memory_does_not_suffice():
    calls = []

    def objective(logits, batch):
        calls.append(len(calls))
        if len(calls) == 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore of it")
        return logits.sum() * 1e-3

    with pytest.raises(TrainingError) as caught:
        training.fit(with_dropout(), batches_of(*stripes()), objective, SETTINGS)
    assert str(caught.value) == (
        "a step must fit into the GPU's memory; got, in epoch 2 of 8, step 2: CUDA out of memory. Tried to allocate"
        " 2 GiB.; a smaller batch_size, precision bf16 or a smaller model needs less"
    )


def test_compiled_training_changes_the_weights_of_the_network_itself():
    settings = dataclasses.replace(SETTINGS, epochs=1)
    plain, compiled = with_dropout(), with_dropout()
    training.fit(plain, batches_of(*stripes()), objectives.labels_loss, settings)
    # Compiling takes a C++ compiler and a minute; that the network goes through it is seen without.
    with torch.compiler.set_stance("force_eager"):
        training.fit(
            compiled, batches_of(*stripes()), objectives.labels_loss, dataclasses.replace(settings, compile=True)
        )
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert_same_weights(compiled, plain)

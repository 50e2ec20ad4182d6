"""Generalist, confusion, subsets and specialists."""

import math

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact, Work
from specialists import dustbin
from specialists.subsets import soft_confusion
from stages import confusion, fitting, generalist, network, specialist, subsets
from stages.data import training_rows
from stages.learning.models import build
from stages.parameters import AugmentParameters, ModelParameters, TeacherParameters, TrainingParameters
from stages.shown import Pixels, replayed_view

SHORT = TeacherParameters(epochs=1, batch_size=64, learning_rate=1e-9, weight_decay=0.0, model=ModelParameters(width=2))

STILL = {"batch_size": 120, "learning_rate": 1e-30, "weight_decay": 0.0}
"""A training that moves no weight: of an epoch that shows all 240 once, the loss is that of the initial network."""


def same_weights(first, second):
    return all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)


def short_training(dataset, seed):
    work = Work(seed=seed, warn=print)  # one epoch need not do better than guessing
    return generalist.train(dataset=dataset, generalist=SHORT, augment=AugmentParameters(), work=work)


@pytest.fixture
def still_teachers(dataset):
    """Return the function that makes a generalist, and a specialist that sees all examples, without norms."""

    def train(*, shift=0, **changes):
        work, augment = Work(seed=1, warn=lambda _: None), AugmentParameters(shift=shift)
        asked = TeacherParameters(model=ModelParameters(name="mlp", width=8), **STILL, **changes)
        whole = generalist.train(dataset=dataset, generalist=asked, augment=augment, work=work)
        part = specialist.train(
            dataset=dataset,
            generalist=whole,
            specialists=TrainingParameters(**STILL, **changes),
            fraction=0.4,  # which is the share of its classes in the data: the epoch is everything
            regularize="none",
            augment=augment,
            subset=[0, 1],
            work=work,
        )
        return whole, part

    return train


@pytest.fixture(scope="module")
def measured(dataset, generalist_net):
    return confusion.measure(dataset=dataset, generalist=generalist_net, work=Work())


def test_generalist_learns(generalist_net):
    history = generalist_net.facts["history"]
    assert [facts["epoch"] for facts in history] == [1, 2]
    assert history[-1]["loss"] < history[0]["loss"]


def test_generalist_is_the_same_for_the_same_seed_alone(dataset):
    first, same, other = (short_training(dataset, seed) for seed in (1, 1, 2))
    assert same_weights(first, same)
    assert not same_weights(first, other)


def test_generalist_describes_what_rebuilds_it(generalist_net, dataset):
    assert generalist_net.facts["network"] == {
        "model": {"name": "cnn", "width": 8},
        "outputs": 5,
        "channels": 1,
        "image_size": [8, 8],
        "mean": dataset.facts["mean"],
        "std": dataset.facts["std"],
    }


def test_teachers_smooth_the_labels_as_asked(still_teachers, dataset):
    rows = training_rows(dataset)
    images, labels = (torch.from_numpy(dataset.arrays[name][rows]) for name in ("images", "labels"))
    of_subset = dustbin.subset_labels(labels, torch.tensor([0, 1]), 5)
    for net, known in zip(still_teachers(epochs=1, label_smoothing=0.3), (labels, of_subset), strict=True):
        log_probs = network.predict(net, images).log_softmax(dim=1)
        of_label = log_probs.gather(1, known[:, None]).mean()
        expected = -(0.7 * of_label + 0.3 * log_probs.mean())
        assert net.facts["history"][0]["loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("shift", "is_other"), [(0, False), (2, True)])
def test_teachers_see_another_augmentation_in_every_epoch(still_teachers, shift, is_other):
    for net in still_teachers(shift=shift, epochs=3):
        losses = [facts["loss"] for facts in net.facts["history"]]
        apart = min(abs(a - b) for a, b in zip(losses, losses[1:] + losses[:1], strict=True))
        assert (apart > 1e-5) == is_other


def test_confusion_is_measured_on_the_holdout(measured, dataset, generalist_net):
    held_out = dataset.arrays["holdout"]
    assert np.array_equal(measured.arrays["labels"], dataset.arrays["labels"][held_out])
    logits = network.predict(generalist_net, torch.from_numpy(dataset.arrays["images"][held_out]))
    assert measured.arrays["probs"] == pytest.approx(logits.softmax(dim=1).numpy(), abs=1e-6)
    expected = soft_confusion(measured.arrays["probs"], measured.arrays["labels"])
    assert np.array_equal(measured.arrays["confusion"], expected)
    assert measured.facts["accuracy"] == generalist_net.facts["history"][-1]["accuracy"]


def test_subsets_are_what_is_confused():
    table = np.full((5, 5), 0.01) + np.diag([0.6] * 5)
    for a, b in ((0, 3), (1, 4)):
        table[a, b] = table[b, a] = 0.36
    found = subsets.cluster(
        confusion=Artifact({"confusion": table}), count=2, size=2, method="confusion", work=Work(seed=2**62)
    )
    assert [subset["classes"] for subset in found.facts["subsets"]] == [[0, 3], [1, 4]]
    assert found.facts["cover"] == [1, 1, 0, 1, 1]
    assert sum(subset["mass"] for subset in found.facts["subsets"]) == pytest.approx(4 * 0.36 / (4 * 0.36 + 16 * 0.01))


@pytest.mark.parametrize("method", ["confusion", "covariance", "random"])
@pytest.mark.parametrize("size", [None, 3])
def test_subsets_say_what_they_hold_and_cover_for_every_method(measured, method, size):
    found = subsets.cluster(confusion=measured, count=2, size=size, method=method, work=Work(seed=2**62)).facts
    classes = [c for subset in found["subsets"] for c in subset["classes"]]
    assert found["method"] == method
    assert found["cover"] == np.bincount(classes, minlength=5).tolist()
    assert all(0 < subset["mass"] < 1 for subset in found["subsets"])


def test_random_subsets_have_the_sizes_that_confusion_finds(measured):
    found, control = (
        subsets.cluster(confusion=measured, count=2, size=None, method=method, work=Work(seed=1)).facts["subsets"]
        for method in ("confusion", "random")
    )
    assert sorted(len(subset["classes"]) for subset in found) == sorted(len(subset["classes"]) for subset in control)


def test_listed_subsets_are_taken_as_they_are(measured):
    found = subsets.cluster(confusion=measured, subsets=[[1, 4, 0], [2, 1]], method="manual", work=Work()).facts
    assert [subset["classes"] for subset in found["subsets"]] == [[0, 1, 4], [1, 2]]
    assert found["cover"] == [1, 2, 1, 0, 1]
    confusion_table = measured.arrays["confusion"]
    off = confusion_table.sum() - confusion_table.trace()
    assert found["subsets"][1]["mass"] == pytest.approx((confusion_table[1, 2] + confusion_table[2, 1]) / off)


def test_subsets_of_a_measured_confusion_have_two_classes_or_more(measured):
    found = subsets.cluster(confusion=measured, count=2, size=None, method="confusion", work=Work(seed=1))
    classes = [c for subset in found.facts["subsets"] for c in subset["classes"]]
    assert sorted(classes) == list(range(5))
    assert found.facts["method"] == "confusion"


def test_calibration_fits_the_holdout(calibrations, dataset, generalist_net, specialist_nets):
    held_out = dataset.arrays["holdout"]
    images = torch.from_numpy(dataset.arrays["images"][held_out])
    labels = torch.from_numpy(dataset.arrays["labels"][held_out])
    for fit, net in zip(calibrations, (generalist_net, *specialist_nets), strict=True):
        logits = network.predict(net, images).double()
        local = labels
        if net is not generalist_net:
            logits[:, -1] += net.facts["prior_correction"]
            local = dustbin.subset_labels(labels, torch.tensor(net.facts["subset"]), 5)
        before, best, beside = (
            torch.nn.functional.cross_entropy(logits / temperature, local).item()
            for temperature in (1.0, fit.facts["temperature"], 1.01 * fit.facts["temperature"])
        )
        assert best < min(before, beside)
        assert fit.facts["before"]["nll"] == pytest.approx(before)
        assert fit.facts["after"]["nll"] == pytest.approx(best)


def test_specialist_has_an_output_for_each_class_and_the_dustbin(specialist_nets):
    facts = specialist_nets[1].facts
    assert facts["network"]["outputs"] == 3
    assert (facts["name"], facts["subset"]) == ("2-3", [2, 3])


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.5, math.log(1.5)), (0.4, 0.0), (0.8, math.log(6.0)), (0.97, math.log(48.0))]
)
def test_specialist_keeps_the_prior_correction(train_specialist, fraction, expected):
    # 96 of the 240 examples are of the subset: pi = 0.4, and f / (1 - f) (1 - pi) / pi is 1.5 at f = 1/2. At 0.97 there
    # are 3 others, for an example is whole: f is 96 / 99.
    assert train_specialist([0, 1], fraction=fraction).facts["prior_correction"] == pytest.approx(expected)


def test_specialist_starts_from_the_generalist(generalist_net, dataset):
    model, description = specialist._from_generalist(generalist_net, torch.tensor([2, 3]), keep_all=False)
    assert description == generalist_net.facts["network"] | {"outputs": 3}
    state = model.state_dict()
    weight, bias = (generalist_net.arrays[f"head.{name}"] for name in ("weight", "bias"))
    assert np.array_equal(state["head.weight"][:2], weight[2:4])
    assert state["head.weight"][2].numpy() == pytest.approx(weight[[0, 1, 4]].mean(axis=0), abs=1e-6)
    assert float(state["head.bias"][2]) == pytest.approx(bias[[0, 1, 4]].mean() + math.log(3), abs=1e-6)
    trunk = [name for name in state if not name.startswith("head.")]
    assert all(np.array_equal(state[name], generalist_net.arrays[name]) for name in trunk)


def test_regularized_specialist_starts_as_the_generalist(generalist_net, dataset):
    model, description = specialist._from_generalist(generalist_net, torch.tensor([3, 1]), keep_all=True)
    assert description == generalist_net.facts["network"] | {"outputs": 5, "inside": 2}
    images = torch.from_numpy(dataset.arrays["images"][:20])
    expected = network.predict(generalist_net, images).double()
    found = network.predict(network.to_artifact(model, description, {}), images)
    outside = expected[:, [0, 2, 4]].logsumexp(dim=1, keepdim=True)
    assert found.numpy() == pytest.approx(torch.cat([expected[:, [3, 1]], outside], dim=1).numpy(), abs=1e-5)


def test_regularized_specialist_speaks_of_its_subset_and_the_dustbin(train_specialist, specialist_nets, dataset):
    net, plain = train_specialist([0, 1], regularize="soft_targets"), specialist_nets[0]
    assert net.facts["network"]["outputs"] == 5
    assert net.facts["prior_correction"] == plain.facts["prior_correction"]
    assert net.facts["name"] == plain.facts["name"]
    images = torch.from_numpy(dataset.arrays["images"])
    assert network.predict(net, images).shape == (300, 3)
    assert same_weights(net, train_specialist([0, 1], regularize="soft_targets"))


def test_regularized_specialist_learns_from_the_generalist_on_the_pixels_it_sees(dataset, generalist_net, two_views):
    pixels = Pixels.of(dataset)
    examples, view = replayed_view(two_views[0], np.arange(40))
    labels = dustbin.subset_labels(torch.from_numpy(dataset.arrays["labels"][examples]), torch.tensor([2, 3]), 5)
    epoch = fitting.Epoch(examples, labels.numpy(), view)
    teach = network.predictor(generalist_net, pixels.device)
    targets = specialist._Regularized(epoch, pixels, torch.tensor([2, 3]), teach)[slice(10, 40)].exp()
    inside = labels[10:] < 2
    assert 0 < inside.sum() < 30
    assert torch.equal(targets[inside].argmax(dim=1), labels[10:][inside])
    assert targets[inside].max(dim=1).values.tolist() == [1.0] * int(inside.sum())
    said = network.predict(generalist_net, pixels.seen(examples, view))[10:][~inside][:, [0, 1, 4]].softmax(dim=1)
    assert targets[~inside].numpy() == pytest.approx(torch.cat([torch.zeros(len(said), 2), said], 1).numpy(), abs=1e-5)


def test_regularized_specialist_divides_its_dustbin_as_the_generalist_does(train_specialist, generalist_net, dataset):
    net = train_specialist([0, 1], epochs=4, regularize="soft_targets")
    others = torch.from_numpy(dataset.arrays["images"][dataset.arrays["labels"] > 1])
    whole = Artifact(net.arrays, {"network": net.facts["network"] | {"inside": 4}})  # folds nothing: one class is left
    ours, theirs = (network.predict(model, others)[:, 2:].log_softmax(dim=1) for model in (whole, generalist_net))
    kl = (theirs.exp() * (theirs - ours)).sum(dim=1).mean()
    assert kl < 0.1 * np.log(3)
    assert net.facts["history"][-1]["loss"] < net.facts["history"][0]["loss"]


def test_specialist_is_the_same_for_the_same_seed_alone(train_specialist, specialist_nets):
    assert same_weights(train_specialist([0, 1]), specialist_nets[0])
    assert not same_weights(train_specialist([0, 1], seed=8), specialist_nets[0])


def test_specialist_is_judged_on_the_subset(dataset, specialist_nets):
    net = specialist_nets[1]
    labels = dataset.arrays["labels"]
    chosen = dataset.arrays["holdout"] & np.isin(labels, [2, 3])
    logits = network.predict(net, torch.from_numpy(dataset.arrays["images"][chosen]))
    right = logits[:, :2].argmax(dim=1).numpy() + 2 == labels[chosen]
    assert net.facts["history"][-1]["accuracy"] == right.mean()


def test_specialist_leaves_the_generalist_as_it_was(generalist_net, train_specialist):
    before = {name: array.copy() for name, array in generalist_net.arrays.items()}
    train_specialist([1, 4])
    assert all(np.array_equal(before[name], generalist_net.arrays[name]) for name in before)
    assert set(before) == set(build("cnn", classes=5, channels=1, image_size=(8, 8), width=8).state_dict())

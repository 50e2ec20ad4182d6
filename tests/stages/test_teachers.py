"""Generalist, confusion, subsets and specialists."""

import math

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact, Work
from specialists.subsets import soft_confusion
from stages import confusion, generalist, network, specialist, subsets
from stages.learning.models import build
from stages.parameters import AugmentParameters, ModelParameters, TeacherParameters

SHORT = TeacherParameters(epochs=1, batch_size=64, learning_rate=1e-9, weight_decay=0.0, model=ModelParameters(width=2))


def same_weights(first, second):
    return all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)


def short_training(dataset, seed):
    return generalist.train(dataset=dataset, generalist=SHORT, augment=AugmentParameters(), work=Work(seed=seed))


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


def test_subsets_of_a_measured_confusion_have_two_classes_or_more(measured):
    found = subsets.cluster(confusion=measured, count=2, size=None, method="confusion", work=Work(seed=1))
    classes = [c for subset in found.facts["subsets"] for c in subset["classes"]]
    assert sorted(classes) == list(range(5))
    assert found.facts["method"] == "confusion"


def test_specialist_has_an_output_for_each_class_and_the_dustbin(specialist_nets):
    facts = specialist_nets[1].facts
    assert facts["network"]["outputs"] == 3
    assert (facts["name"], facts["subset"]) == ("2-3", [2, 3])


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, math.log(1.5)), (0.4, 0.0), (0.8, math.log(6.0))])
def test_specialist_keeps_the_prior_correction(train_specialist, fraction, expected):
    # 96 of the 240 examples are of the subset: pi = 0.4, and f / (1 - f) (1 - pi) / pi is 1.5 at f = 1/2.
    assert train_specialist([0, 1], fraction=fraction).facts["prior_correction"] == pytest.approx(expected)


def test_specialist_starts_from_the_generalist(generalist_net, dataset):
    description = generalist_net.facts["network"] | {"outputs": 3}
    model = specialist._from_generalist(generalist_net, description, torch.tensor([2, 3]))
    state = model.state_dict()
    weight, bias = (generalist_net.arrays[f"head.{name}"] for name in ("weight", "bias"))
    assert np.array_equal(state["head.weight"][:2], weight[2:4])
    assert state["head.weight"][2].numpy() == pytest.approx(weight[[0, 1, 4]].mean(axis=0), abs=1e-6)
    assert float(state["head.bias"][2]) == pytest.approx(bias[[0, 1, 4]].mean() + math.log(3), abs=1e-6)
    trunk = [name for name in state if not name.startswith("head.")]
    assert all(np.array_equal(state[name], generalist_net.arrays[name]) for name in trunk)


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

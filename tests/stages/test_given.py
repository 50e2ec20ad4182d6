"""Trained networks from files and functions: the same network again, or refused by name."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from pipeline.stage import Artifact, Facts, Work
from stages import given, given_files, network, specialist
from stages.learning import model_files, models
from stages.learning.errors import LearningError
from stages.parameters import AugmentParameters, ModelParameters, TrainingParameters

CNN = ModelParameters(width=8)
SILENT = Work(warn=lambda _: None)
"""For networks that are no better than guessing."""
FACTORY = """
import torch
from torch import nn

def scaled(*, classes, channels, image_size):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    with torch.no_grad():
        net[1].weight.copy_(torch.arange(64.0 * classes).reshape(classes, 64) / 1000)
        net[1].bias.zero_()
    return net

def softened(*, classes, channels, image_size):
    return nn.Sequential(scaled(classes=classes, channels=channels, image_size=image_size), nn.Softmax(dim=1))

def headless(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes), nn.Tanh())
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "given_nets.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "python:given_nets"
    sys.modules.pop("given_nets", None)


@pytest.fixture
def load(dataset):
    def load(weights, *, work=SILENT, **options):
        content = model_files.digest(*model_files.split(str(weights)))
        return given.load(dataset=dataset, weights=str(weights), **{"content": content} | options, work=work)

    return load


@pytest.fixture
def write(tmp_path, dataset):
    """Write a network as a run exports it; return the file, and what is said of it."""

    def write(net):
        weights, said = given.described_weights(net, dataset)
        path = tmp_path / "net.safetensors"
        path.write_bytes(weights)
        path.with_suffix(".json").write_bytes(json.dumps(said).encode())
        return path, given_files.described(path, model_files.digest("", path))

    return write


def images(dataset, n=6):
    return torch.from_numpy(np.array(dataset.arrays["images"][:n]))


def test_generalist_that_was_written_is_the_same_again(load, write, dataset, generalist_net):
    path, said = write(generalist_net)
    found = load(path, description=said, is_start=True)
    assert torch.equal(network.predict(found, images(dataset)), network.predict(generalist_net, images(dataset)))
    assert found.facts["history"] == []
    assert found.facts["state"] == "given"
    assert given.use(given=found, work=Work()) is found


@pytest.mark.parametrize("regularize", ["none", "soft_targets"])
def test_specialist_that_was_written_is_the_same_again(load, write, dataset, train_specialist, regularize):
    net = train_specialist([2, 3], regularize=regularize)
    path, said = write(net)
    found = load(path, description=said, subset=[2, 3])
    assert torch.equal(network.predict(found, images(dataset)), network.predict(net, images(dataset)))
    names = ("name", "subset", "prior_correction")
    assert {name: found.facts[name] for name in names} == {name: net.facts[name] for name in names}
    assert load(path, description=said, subset=[2, 3], prior_correction=0.5).facts["prior_correction"] == 0.5


def test_file_without_a_description_is_of_the_network_that_the_config_names(load, tmp_path, dataset, generalist_net):
    path = tmp_path / "bare.safetensors"
    save_file({name: np.array(array) for name, array in generalist_net.arrays.items()}, path)
    assert given_files.described(path, model_files.digest("", path)) is None
    found = load(path, model=CNN)
    assert torch.equal(network.predict(found, images(dataset)), network.predict(generalist_net, images(dataset)))
    with pytest.raises(LearningError, match=r"head.weight must be of the shape \(3, 32\); got \(5, 32\)"):
        load(path, model=CNN, subset=[0, 1])
    with pytest.raises(LearningError, match=r"must hold weights of the network that generalist\.model names, cnn:\n"):
        load(path, model=ModelParameters(width=16))
    with pytest.raises(LearningError) as caught:
        load(path, model=ModelParameters(name="resnet8"))
    lacking = "none of features.3.0.body.0.weight, features.3.0.body.1.weight, features.3.0.body.1.bias and"
    whose = "the network that generalist.model names, resnet8"
    assert str(caught.value).startswith(f"{path} must hold weights of {whose}; got {lacking} ")
    hint = "name the file's network there, or give a function that returns it, python:MODULE:FACTORY"
    assert str(caught.value).endswith(f"; {hint}")


def test_function_is_shown_pixels_from_0_to_1(load, nets, dataset):
    found = load(f"{nets}:scaled", is_start=True)
    weight = torch.arange(320.0).reshape(5, 64) / 1000
    expected = images(dataset).flatten(1).float() / 255 @ weight.T
    assert network.predict(found, images(dataset)).numpy() == pytest.approx(expected.numpy(), rel=1e-5)
    assert load(f"{nets}:scaled", subset=[1, 4]).facts["network"]["outputs"] == 3


def test_specialist_of_a_given_generalist_is_trained_on_the_pixels_that_it_expects(load, nets, dataset):
    start = load(f"{nets}:scaled", is_start=True)
    still = TrainingParameters(epochs=1, learning_rate=1e-30, batch_size=32, weight_decay=0.0)
    shown = {"fraction": 0.5, "regularize": "none", "augment": AugmentParameters(), "subset": [2, 3]}
    net = specialist.train(dataset=dataset, generalist=start, specialists=still, **shown, work=Work(seed=1))
    assert net.facts["network"]["mean"] == [0.0]
    held_out = dataset.arrays["holdout"] & np.isin(dataset.arrays["labels"], [2, 3])
    logits = network.predict(net, torch.from_numpy(np.array(dataset.arrays["images"][held_out])))[:, :2]
    labels = torch.from_numpy(np.array(dataset.arrays["labels"][held_out])) - 2
    nll = torch.nn.functional.cross_entropy(logits, labels).item()
    assert net.facts["history"][0]["nll"] == pytest.approx(nll, rel=1e-4)


def test_network_that_is_another_by_now_is_refused(load, write, generalist_net):
    path, said = write(generalist_net)
    with pytest.raises(LearningError, match="must be what it was when the run was planned, with the digest 0000"):
        load(path, description=said, content="0" * 64)


def test_network_of_other_classes_is_refused(load, write, specialist_nets, nets):
    path, said = write(specialist_nets[0])
    with pytest.raises(LearningError, match=r"must have 5 outputs; got 3"):
        load(path, description=said)
    with pytest.raises(LearningError, match="last linear layer of a network must make its logits"):
        load(f"{nets}:headless", is_start=True)
    assert load(f"{nets}:headless").facts["state"] == "given"


def test_network_that_returns_probabilities_is_refused(load, nets):
    for subset in (None, [1, 4]):
        with pytest.raises(LearningError, match="network must return logits; got probabilities, rows that sum to 1"):
            load(f"{nets}:softened", subset=subset)


def test_accuracy_on_the_holdout_is_told(load, write, nets, generalist_net):
    path, said = write(generalist_net)
    progress: list[Facts] = []
    work = Work(progress=progress.append, warn=lambda _: None)
    load(path, description=said, work=work)
    load(f"{nets}:scaled", subset=[1, 4], work=work)
    assert [set(told) for told in progress] == [{"accuracy"}] * 2


def test_weights_that_do_not_fit_their_description_are_refused(load, write, generalist_net):
    path, said = write(generalist_net)
    with pytest.raises(LearningError, match=r"must hold weights of the network that net\.json names, cnn:\n"):
        load(path, description=said | {"model": {"name": "cnn", "width": 4}})


def test_written_weights_are_those_of_the_network(dataset, generalist_net):
    weights, said = given.described_weights(generalist_net, dataset)
    assert said["class_names"] == dataset.facts["class_names"]
    assert "subset" not in said
    assert len(weights) > sum(array.nbytes for array in generalist_net.arrays.values())
    assert (
        models.n_parameters(network.from_artifact(Artifact(generalist_net.arrays, generalist_net.facts)))
        == said["parameters"]
    )


def test_given_network_is_written_with_what_was_known_of_it(load, write, dataset, generalist_net):
    path, said = write(generalist_net)
    other = Artifact({**dataset.arrays, "holdout": np.roll(dataset.arrays["holdout"], 1)}, dataset.facts)
    again = given.described_weights(load(path, description=said), other)[1]
    assert again["trained_on"] == said["trained_on"]
    unknown = {name: value for name, value in said.items() if name != "trained_on"}
    assert "trained_on" not in given.described_weights(load(path, description=unknown), other)[1]


def test_what_learned_from_a_network_may_know_what_that_has_seen(load, write, dataset, generalist_net):
    path, said = write(generalist_net)
    other = Artifact({**dataset.arrays, "holdout": np.roll(dataset.arrays["holdout"], 1)}, dataset.facts)
    of_these, imported = load(path, description=said).facts, {"classes": [0]}

    def told(data: Artifact, *origins: Facts) -> bool:
        return "trained_on" in given.described_weights(generalist_net, data, origins)[1]

    assert told(dataset, of_these, generalist_net.facts)
    assert told(other, generalist_net.facts)
    assert not told(other, of_these)
    assert not told(dataset, imported)
    assert not told(dataset, {name: value for name, value in of_these.items() if name != "trained_on"})


@pytest.mark.parametrize("seen", ["x", [1], {"held_out": "a"}])
def test_what_is_said_of_the_examples_must_have_both_digests(write, generalist_net, seen):
    path, _ = write(generalist_net)
    said = json.loads(path.with_suffix(".json").read_bytes())
    path.with_suffix(".json").write_text(json.dumps(said | {"trained_on": seen}))
    with pytest.raises(LearningError, match=r"trained_on of .*net\.json must have the digests examples and held_out"):
        given_files.described(path, model_files.digest("", path))

"""How good given networks are on the holdout: told as it is, with a warning where something is wrong with them."""

import re

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact, Work
from stages import generalist, given_accuracy, network
from stages.parameters import AugmentParameters, ModelParameters, TeacherParameters


@pytest.fixture
def tell(dataset):
    """Return what is told of a network, progress and warnings."""

    def tell(net, *, data=dataset, is_bare=False):
        progress, warnings = [], []
        work = Work(progress=progress.append, warn=warnings.append)
        given_accuracy.tell(net, data, name="net.pt", is_bare=is_bare, work=work)
        return progress, warnings

    return tell


def with_facts(artifact, **facts):
    return Artifact(artifact.arrays, {**artifact.facts, **facts})


def test_accuracy_is_that_on_the_holdout_of_a_specialist_among_its_own_classes(
    tell, dataset, generalist_net, train_specialist
):
    labels = dataset.arrays["labels"]
    for net, classes in ((generalist_net, list(range(5))), (train_specialist([2, 3], epochs=4), [2, 3])):
        examples = np.flatnonzero(dataset.arrays["holdout"] & np.isin(labels, classes))
        logits = network.predict(net, torch.from_numpy(np.array(dataset.arrays["images"][examples]))).numpy()
        right = np.asarray(classes)[logits[:, : len(classes)].argmax(axis=1)] == labels[examples]
        for is_bare in (False, True):
            assert tell(net, is_bare=is_bare) == ([{"accuracy": pytest.approx(right.mean())}], [])


def test_specialist_whose_outputs_are_in_another_order_is_told_of(tell, train_specialist):
    net = train_specialist([2, 3], epochs=4)
    turned = {name: net.arrays[name][[1, 0, 2]] for name in ("head.weight", "head.bias")}
    (told,) = tell(Artifact({**net.arrays, **turned}, net.facts), is_bare=True)[1]
    got = r"got \d+\.\d% on the holdout among its own classes, where the commonest class is 50\.0%"
    hint = "see whether its outputs are in the order of the classes, and what pixels it expects"
    assert re.fullmatch(rf"net\.pt must do better than guessing; {got}; {hint}", told)


def test_network_that_expects_pixels_from_0_to_1_is_told_of_where_nothing_says_so(tell, dataset):
    wanted = TeacherParameters(epochs=6, batch_size=32, model=ModelParameters(width=8))
    as_they_are = with_facts(dataset, mean=[0.0], std=[1.0])
    net = generalist.train(dataset=as_they_are, generalist=wanted, augment=AugmentParameters(), work=Work(seed=5))
    assert tell(net)[1] == []
    own = {name: dataset.facts[name] for name in ("mean", "std")}
    mistaken = with_facts(net, network={**net.facts["network"], **own})
    (told,) = tell(mistaken, is_bare=True)[1]
    got = r"got \d+\.\d% right on the holdout with these and \d+\.\d% with pixels from 0 to 1"
    assert re.fullmatch(
        rf"net\.pt must expect normalised pixels, for nothing beside it says what it expects; {got}; "
        "give a function that returns the network, python:MODULE:FACTORY",
        told,
    )
    assert not [warning for warning in tell(mistaken)[1] if "normalised" in warning]


def test_nothing_is_told_where_nothing_is_held_out_or_none_of_its_classes(tell, dataset, generalist_net):
    nothing = np.zeros_like(dataset.arrays["holdout"])
    assert tell(generalist_net, data=Artifact({**dataset.arrays, "holdout": nothing}, dataset.facts)) == ([], [])


def test_holdout_of_one_class_tells_nothing_of_guessing(tell, dataset, generalist_net):
    one = dataset.arrays["holdout"] & (dataset.arrays["labels"] == 1)
    progress, warnings = tell(generalist_net, data=Artifact({**dataset.arrays, "holdout": one}, dataset.facts))
    assert (len(progress), warnings) == (1, [])

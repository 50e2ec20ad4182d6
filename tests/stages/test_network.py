"""Networks of any origin: tried before the first training, started from weights, made into specialists."""

import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from pipeline.stage import Artifact, Work
from stages import fitting, generalist, network, specialist
from stages.learning import model_files, models
from stages.learning.errors import LearningError
from stages.parameters import AugmentParameters, ModelParameters, TeacherParameters

FACTORY = """
from torch import nn

def make(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))

def bare(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes, bias=False))
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "stage_nets.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "python:stage_nets"
    sys.modules.pop("stage_nets", None)


def teach(dataset, name):
    wanted = TeacherParameters(epochs=1, batch_size=32, model=ModelParameters(name=name))
    work = Work(seed=5, warn=print)  # one epoch need not do better than guessing
    return generalist.train(dataset=dataset, generalist=wanted, augment=AugmentParameters(), work=work)


@pytest.mark.parametrize(
    ("name", "head"),
    [("resnet8", "head"), ("wrn-16-1", "head"), ("torchvision:shufflenet_v2_x0_5", "fc"), ("python", "3")],
)
@pytest.mark.parametrize("keep_all", [False, True])
def test_specialist_starts_from_a_generalist_of_any_origin(dataset, nets, name, head, keep_all):
    taught = teach(dataset, f"{nets}:make" if name == "python" else name)
    subset = torch.tensor([2, 3])
    model, description = specialist._from_generalist(taught, subset, keep_all=keep_all)
    state = models.state_to_arrays(model)
    assert state[f"{head}.weight"].shape[0] == description["outputs"] == (5 if keep_all else 3)
    assert np.array_equal(state[f"{head}.weight"][:2], taught.arrays[f"{head}.weight"][2:4])
    others = [key for key in state if not key.startswith(f"{head}.")]
    assert all(np.array_equal(state[key], taught.arrays[key]) for key in others)
    images = torch.from_numpy(dataset.arrays["images"][:4])
    made = network.predict(network.to_artifact(model, description, {}), images)
    before = network.predict(taught, images)
    assert made[:, :2].numpy() == pytest.approx(before[:, 2:4].numpy(), abs=1e-5)


def test_initial_weights_come_from_a_file_of_the_planned_content(dataset, generalist_net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(dict(generalist_net.arrays), path)
    wanted = ModelParameters(width=8)
    content = model_files.digest("cnn", path)
    model, description = network.initial(wanted, dataset=dataset, seed=1, weights=str(path), content=content)
    assert description == generalist_net.facts["network"]
    assert all(np.array_equal(generalist_net.arrays[key], a) for key, a in models.state_to_arrays(model).items())
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(
        LearningError, match=rf"model cnn must be what it was .* digest {content[:12]}; got [0-9a-f]{{12}}"
    ):
        network.initial(wanted, dataset=dataset, seed=1, weights=str(path), content=content)


def test_description_holds_no_path_and_rebuilds_what_was_kept_before_there_were_options(dataset, generalist_net):
    wanted = ModelParameters(width=8, weights="somewhere.safetensors")
    description = network.describe(wanted, outputs=5, dataset=dataset)
    assert "weights" not in description["model"]
    old = description | {"model": {"name": "cnn", "width": 8}}
    rebuilt = network.from_artifact(Artifact(generalist_net.arrays, {"network": old}))
    assert models.n_parameters(rebuilt) == generalist_net.facts["parameters"]


def try_out(dataset, name, *, needs_head=True, **options):
    model = ModelParameters(name=name)
    return network.check(dataset=dataset, model=model, needs_head=needs_head, work=Work(seed=1), **options)


def test_check_tries_what_a_factory_makes(dataset, nets):
    content = model_files.digest(f"{nets}:make", None)
    assert try_out(dataset, f"{nets}:make", content=content).facts == {"parameters": 64 * 12 + 12 + 12 * 5 + 5}


def test_check_refuses_a_teacher_without_a_last_layer_to_replace_and_takes_it_as_a_student(dataset, nets):
    with pytest.raises(LearningError, match="must have a bias; got none in 1"):
        try_out(dataset, f"{nets}:bare")
    assert try_out(dataset, f"{nets}:bare", needs_head=False).facts["parameters"] == 320


def test_check_refuses_images_that_are_too_small(dataset):
    with pytest.raises(LearningError, match="network must take two images of 8 x 8 pixels and 1 channels; got"):
        try_out(dataset, "torchvision:inception_v3", needs_head=False)


def test_balanced_generalist_speaks_of_the_data_as_they_are(dataset):
    labels = dataset.arrays["labels"]
    held_out = dataset.arrays["holdout"].copy()
    for label in (0, 2):  # no longer trained on but for a tenth
        members = np.flatnonzero((labels == label) & ~held_out)
        held_out[members[len(members) // 10 :]] = True
    rare = Artifact(dict(dataset.arrays) | {"holdout": held_out}, dataset.facts)
    wanted = TeacherParameters(epochs=6, batch_size=16, model=ModelParameters(width=8), sampling="balanced")
    net = generalist.train(dataset=rare, generalist=wanted, augment=AugmentParameters(), work=Work(seed=5))
    images = torch.from_numpy(dataset.arrays["images"])
    judged = fitting.Holdout.of(rare).judge(network.predict(net, images[held_out]))
    assert judged == pytest.approx({name: net.facts["history"][-1][name] for name in judged}, rel=1e-4)
    seen = ~held_out
    probs = network.predict(net, images[seen]).softmax(dim=1)
    shares = np.bincount(labels[seen], minlength=5) / seen.sum()
    assert shares.min() < 0.04
    assert probs.mean(dim=0).numpy() == pytest.approx(shares, abs=0.08)
    model = network.from_artifact(net)
    models.shift_logits(model, -np.log(shares))
    logits = network.predict(network.to_artifact(model, net.facts["network"], {}), images)
    assert np.bincount(logits.argmax(dim=1), minlength=5).min() > 15  # of 60: equal shares tell the rare ones


@pytest.mark.parametrize(("rate", "n_warnings"), [(1e-9, 1), (0.1, 0)])
def test_generalist_that_has_learnt_nothing_is_told(dataset, rate, n_warnings):
    warned = []
    wanted = TeacherParameters(epochs=3, batch_size=32, learning_rate=rate, model=ModelParameters(width=8))
    work = Work(seed=5, warn=warned.append)
    generalist.train(dataset=dataset, generalist=wanted, augment=AugmentParameters(), work=work)
    assert [message.split(";")[0] for message in warned] == [
        "a trained network must do better than guessing"
    ] * n_warnings

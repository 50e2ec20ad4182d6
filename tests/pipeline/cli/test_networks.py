"""Runs with networks of the user's and weights from files: tried first, reused while their files are the same."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from pipeline import load_student
from pipeline.cli import main
from pipeline.cli.compose import compose
from pipeline.errors import StageError
from tests.pipeline.cli.conftest import Command, Done, make_project, newest

NETS = """
from torch import nn

def make(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, classes))

def softened(**sizes):
    return nn.Sequential(make(**sizes), nn.Softmax(dim=1))

def wrong(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
"""


@pytest.fixture
def nets(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = project / "project_nets.py"
    path.write_text(NETS)
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.delitem(sys.modules, "project_nets", raising=False)
    return path


OWN = [f"--set={section}.model={{name: 'python:project_nets:make'}}" for section in ("generalist", "student")]
REBUILDING = (
    ("predict", "tiny", "a.png"),
    ("predict", "tiny", "a.png", "--ensemble"),
    ("evaluate", "tiny"),
    ("export", "tiny", "--format", "torch-export"),
)


@pytest.fixture(scope="session")
def own_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("own"))
    (folder / "project_nets.py").write_text(NETS)
    Image.new("L", (8, 8)).save(folder / "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, "project_nets", raising=False)
        assert main(["run", "tiny.yaml", *OWN]) == 0
    return folder


@pytest.fixture
def own(own_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of a run with networks of the user's, in the working folder where the run is done."""
    folder = tmp_path / "own"
    shutil.copytree(own_once, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "project_nets", raising=False)
    return folder / "project_nets.py"


def told(done: Done) -> str:
    """Return the one line in which a command said what is wrong."""
    assert done.code == 1
    (line,) = done.err.splitlines()
    return line


@pytest.mark.parametrize("words", REBUILDING, ids=" ".join)
def test_networks_of_a_module_that_has_changed_are_refused(own: Path, command: Command, words: tuple[str, ...]) -> None:
    run = newest(Path("runs"))
    own.write_text(NETS.replace("ReLU", "Sigmoid"))
    refused = told(command(*words))
    whose = "generalist" if words[-1] in {"--ensemble", "tiny"} else "student"
    code = json.loads((run / "student.json").read_text())["code"]
    assert json.loads((run / "plan.json").read_text())["modules"] == {"project_nets": code}
    rule = f"must have the text with which the network was trained, with the digest {code[:12]}"
    assert refused.startswith(f"{whose} of {run.name}: module project_nets {rule}; got ")
    assert refused.endswith(f": restore {own}, or do the run again")
    own.write_text(NETS)
    assert command(*words).code == 0


def test_student_of_a_module_that_has_changed_is_refused_by_name(own: Path, command: Command) -> None:
    own.write_text(NETS.replace("ReLU", "Sigmoid"))
    assert command("report", "tiny").code == 0  # makes no network again, and writes no other digest
    with pytest.raises(StageError, match=r"^student of tiny-.*: module project_nets must have the text .*"):
        load_student("tiny")


@pytest.mark.parametrize("words", REBUILDING, ids=" ".join)
def test_networks_without_their_module_are_refused(own: Path, command: Command, words: tuple[str, ...]) -> None:
    own.unlink()
    assert re.match(
        r"\w+ of tiny-\S+: module project_nets must be one that Python can import; got none in ", told(command(*words))
    )


@pytest.mark.parametrize("words", REBUILDING, ids=" ".join)
def test_networks_of_which_no_digest_is_kept_must_fit_their_weights(
    own: Path, command: Command, words: tuple[str, ...]
) -> None:
    run = newest(Path("runs"))
    for name, key in (("student.json", "code"), ("plan.json", "modules")):  # as earlier versions left them
        values = json.loads((run / name).read_text())
        del values[key]
        (run / name).write_text(json.dumps(values))
    assert command(*words).code == 0
    own.write_text(NETS.replace("64, 6", "64, 7").replace("(6, ", "(7, "))
    del sys.modules["project_nets"]
    shapes = (
        r"weights must be those of the network: 1.weight must be float32 \(7, 64\); got float32 \(6, 64\), and 2 more"
    )
    hint = "python:project_nets:make makes another network than was trained: restore what it was, or do the run again"
    assert re.match(rf"\w+ of tiny-\S+: {shapes}; {hint}$", told(command(*words)))


def test_exported_network_of_a_module_that_has_changed_is_refused(own: Path, command: Command) -> None:
    exported = command("export", "tiny", "--format", "safetensors", "--network", "generalist", "--to", "g.safetensors")
    assert exported.code == 0
    given = ["--set", "generalist={from: g.safetensors}"]
    assert command("run", "tiny.yaml", *given).code == 0
    own.write_text(NETS.replace("ReLU", "Sigmoid"))
    done = command("validate", "tiny.yaml", *given)
    assert done.code == 2
    assert "generalist.from: module project_nets must have the text with which the network was trained" in done.err


def test_weights_of_a_module_that_has_changed_are_loaded_again(own: Path, command: Command) -> None:
    command("export", "tiny", "--format", "safetensors", "--network", "generalist", "--to", "g.safetensors")
    Path("g.json").unlink()
    given = ["--set", "generalist={from: g.safetensors, model: {name: 'python:project_nets:make'}}"]
    assert command("run", "tiny.yaml", *given, "--until", "given").code == 0
    own.write_text(NETS.replace("ReLU", "Sigmoid"))
    steps = json.loads(command("plan", "tiny.yaml", *given, "--json").out)["steps"]
    assert {step["id"]: step["action"] for step in steps}["given[generalist]"] == "run"


def test_functions_of_one_module_are_different_networks(own: Path, command: Command) -> None:
    own.write_text(NETS + "\nother = make\n")

    def action(function: str) -> str:
        given = ["--set", f"generalist={{from: 'python:project_nets:{function}'}}"]
        steps = json.loads(command("plan", "tiny.yaml", *given, "--json").out)["steps"]
        return str({step["id"]: step["action"] for step in steps}["given[generalist]"])

    given = ["--set", "generalist={from: 'python:project_nets:make'}"]
    assert command("run", "tiny.yaml", *given, "--until", "given").code == 0
    assert (action("make"), action("other")) == ("reuse", "run")


def test_a_run_with_networks_of_the_users(project: Path, command: Command, nets: Path) -> None:
    settings = [f"--set={section}.model={{name: 'python:project_nets:make'}}" for section in ("generalist", "student")]
    assert command("run", "tiny.yaml", *settings).code == 0
    weights = newest(project / "runs") / "student.safetensors"
    again = command("run", "tiny.yaml", *settings)
    assert "models (2)" in again.out
    nets.write_text(NETS + "# another text\n")
    assert "generalist.model: another file" in command("plan", "tiny.yaml", *settings).out
    started = [settings[0], f"--set=student.model={{name: 'python:project_nets:make', weights: {weights}}}"]
    assert command("run", "tiny.yaml", *started).code == 0


def test_a_network_that_does_not_work_stops_the_run_before_the_first_training(
    command: Command, project: Path, nets: Path
) -> None:
    done = command("run", "tiny.yaml", "--set", "student.model={name: 'python:project_nets:wrong'}")
    assert done.code == 1
    assert "models[student]" in done.err
    assert "network must return logits, torch.float32 (2, 4); got torch.float32 (2, 2)" in done.err
    assert "generalist: running" not in done.out + done.err


FAULTY = (
    NETS
    + """
def narrow(): return nn.Linear(64, 4)
def nothing(*, classes, channels, image_size): return 3
def lacking(*, classes, channels, image_size): return {}["depth"]
"""
)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("missing", "module project_nets must have a function missing; got none"),
        ("narrow", "must be made for 4 classes and images of 8 x 8 x 1; got: narrow() got an unexpected keyword"),
        ("nothing", "project_nets:nothing must return a torch module; got int"),
        ("lacking", "must be made for 4 classes and images of 8 x 8 x 1; got: KeyError: 'depth'"),
        ("wrong", "network must return logits, torch.float32 (2, 4); got torch.float32 (2, 2)"),
        ("softened", "network must return logits; got probabilities, rows that sum to 1; leave the softmax at its end"),
    ],
)
def test_validate_makes_networks_of_the_users(
    project: Path, command: Command, nets: Path, function: str, told: str
) -> None:
    nets.write_text(FAULTY)
    name = f"python:project_nets:{function}"
    own = [f"--set=student.model={{name: '{name}'}}", f"--set=generalist.model={{name: '{name}'}}"]
    done = command("validate", "tiny.yaml", *own, "--set=data.views=0")
    assert done.code == 2
    places = ("student.model.name", "generalist.model.name", "data.views")
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert all(any(place in line for line in lines) for place in places)
    assert sum(told in line for line in lines) == 2
    assert command("validate", "tiny.yaml", *(one.replace(function, "make") for one in own)).code == 0


def test_validate_makes_networks_that_are_there(project: Path, command: Command, nets: Path) -> None:
    nets.write_text(FAULTY)
    specialists = "{from: [{subset: [0, 1], weights: 'python:project_nets:lacking'}]}"
    given = ["--set=generalist={from: 'python:project_nets:wrong'}", f"--set=specialists={specialists}"]
    done = command("validate", "tiny.yaml", *given)
    assert done.code == 2
    first, second = done.err.splitlines()
    assert "generalist.from: network must return logits, torch.float32 (2, 4); got torch.float32 (2, 2)" in first
    assert "specialists.from[0].weights: model python:project_nets:lacking must be made for 3 classes" in second


def test_validate_reads_weights_from_files(project: Path, command: Command) -> None:
    save_file({"head.weight": np.zeros((4, 5), dtype=np.float32)}, "other.safetensors")
    model = "{name: cnn, width: 4, weights: other.safetensors}"
    done = command("validate", "tiny.yaml", f"--set=generalist.model={model}", f"--set=student.model={model}")
    assert done.code == 2
    lines = done.err.splitlines()
    assert [line.split("=")[0] for line in lines] == ["--set generalist.model", "--set student.model"]
    told = "other.safetensors must hold weights of the network; got none of features.0.weight, "
    assert all(told in line for line in lines)


def test_validate_reads_weights_of_teachers_that_are_there(own: Path, command: Command) -> None:
    done = command("export", "tiny", "--format", "safetensors", "--network", "generalist", "--to", "mine.safetensors")
    assert done.code == 0
    assert command("validate", "tiny.yaml", "--set=generalist={from: mine.safetensors}").code == 0
    said = json.loads(Path("mine.json").read_text())
    del said["code"]
    Path("mine.json").write_text(json.dumps(said | {"model": {"name": "cnn", "width": 4}}))
    done = command("validate", "tiny.yaml", "--set=generalist={from: mine.safetensors}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "generalist.from: " in done.err
    assert "mine.safetensors must hold weights of the network that mine.json names, cnn; got none of" in done.err


def test_validate_tells_of_a_module_that_cannot_be_imported(project: Path, command: Command, nets: Path) -> None:
    nets.write_text("import torch\nfrom torch import nnn\n")
    done = command("validate", "tiny.yaml", OWN[1])
    told = "student.model.name: module project_nets must be one that Python can import; got ImportError: cannot import"
    assert done.code == 2
    assert told in done.err
    assert "generalist" not in done.err


def test_module_of_a_given_network_is_sent_along(own: Path, command: Command) -> None:
    done = command("export", "tiny", "--format", "safetensors", "--network", "generalist", "--to", "mine.safetensors")
    assert done.code == 0
    needs = compose(Path("tiny.yaml"), ["generalist.from=mine.safetensors"]).needs(["specialist"])
    assert "project_nets" in needs.modules
    assert "project_nets" not in compose(Path("tiny.yaml"), []).needs(["specialist"]).modules


def test_library_of_a_given_network_is_needed(own: Path, command: Command) -> None:
    done = command("export", "tiny", "--format", "safetensors", "--network", "generalist", "--to", "mine.safetensors")
    assert done.code == 0
    said = json.loads(Path("mine.json").read_text())
    del said["code"]
    Path("mine.json").write_text(json.dumps(said | {"model": {"name": "torchvision:resnet18"}}))
    needs = compose(Path("tiny.yaml"), ["generalist.from=mine.safetensors"]).needs(["specialist"])
    assert needs.packages == ("torchvision",)

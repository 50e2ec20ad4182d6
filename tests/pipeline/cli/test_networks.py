"""Runs with networks of the user's and weights from files: tried first, reused while their files are the same."""

import sys
from pathlib import Path

import pytest

from tests.pipeline.cli.conftest import Command, newest

NETS = """
from torch import nn

def make(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, classes))

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


def test_a_run_with_networks_of_the_users(project: Path, command: Command, nets: Path) -> None:
    settings = [f"--set={section}.model={{name: 'python:project_nets:make'}}" for section in ("generalist", "student")]
    assert command("run", "tiny.yaml", *settings).code == 0
    weights = newest(project / "runs") / "student.safetensors"
    again = command("run", "tiny.yaml", *settings)
    assert "models (2)" in again.out
    nets.write_text(NETS + "# another text\n")
    assert "generalist.model.content" in command("plan", "tiny.yaml", *settings).out
    for asked in (("predict", "tiny", "-"), ("export", "tiny", "--format", "torch-export"), ("evaluate", "tiny")):
        done = command(*asked)
        assert done.code == 1
        assert done.err.startswith("module project_nets must be what the network was trained with, with the digest ")
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

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from tests.waiting import PATIENCE

CONFIG = """\
name: tiny
store: store
runs: runs
data: {source: "npz:tiny.npz", root: ., views: 1}
ray: {address: inline}
generalist: {model: {name: mlp, width: 16}, epochs: 1}
specialists: {count: 2, epochs: 1}
student: {model: {name: mlp, width: 8}, epochs: 1}
controls: [hard]
"""

DIVERGING = "{learning_rate: 1000, weight_decay: 100, batch_size: 16, epochs: 3, model: {name: mlp, width: 8}}"
"""Of a teacher or student, a training in which the weights grow a hundred thousand times in a step."""

PAUSING = """\
import os
import time
from pathlib import Path

from torch import nn


class Pausing(nn.Sequential):
    steps = 0

    def forward(self, images):
        self.steps += self.training
        if self.training and self.steps == {step}:
            Path({folder!r}, f"paused-{{os.getpid()}}").touch()
            until = time.monotonic() + {seconds}
            while not Path({folder!r}, "go").exists():
                assert time.monotonic() < until, "a file `go` must come"
                time.sleep(0.02)
        return super().forward(images)


def make(*, classes, channels, image_size):
    return Pausing(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes))
"""

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def make_arrays() -> Arrays:
    """Return images of 4 classes, of which 0 and 1 look alike, and 2 and 3."""
    numbers = np.random.default_rng(0)
    shapes = np.zeros((4, 8, 8))
    shapes[:2, :, :4] = 150
    shapes[2:, :4, :] = 150
    shapes[1, 3, 6] = shapes[3, 6, 3] = 250
    arrays: Arrays = {}
    for part, n in (("train", 40), ("test", 15)):
        labels = np.repeat(np.arange(4), n)
        images = shapes[labels] + numbers.normal(0, 40, (4 * n, 8, 8))
        arrays[f"x_{part}"] = np.clip(images, 0, 255).astype(np.uint8)
        arrays[f"y_{part}"] = labels
    return arrays


def make_project(folder: Path) -> Path:
    np.savez(folder / "tiny.npz", **make_arrays())
    (folder / "tiny.yaml").write_text(CONFIG)
    return folder


def factory_of(archive: str, folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a module with a function that returns what an archive in the working folder holds, and return its source.

    Args:
        archive: The file's name.
        folder: Where the module is written.
        module: Its name, of one test alone: what has been imported stays so.
        monkeypatch: Makes it importable.
    """
    (folder / f"{module}.py").write_text(f"import numpy\n\ndef load():\n    return dict(numpy.load({archive!r}))\n")
    monkeypatch.syspath_prepend(str(folder))
    return f"python:{module}:load"


def pause_at(project: Path, step: int) -> str:
    """Give a project a network that waits in a step of its training, and return its name.

    The process that waits says so by a file `paused-PID` in the project, until a file `go` is there.
    """
    text = PAUSING.format(step=step, folder=str(project), seconds=2 * PATIENCE)
    (project / "pausing.py").write_text(text)
    return "python:pausing:make"


def paused(project: Path) -> list[Path]:
    """Return the files of the processes that have come to wait."""
    return list(project.glob("paused-*"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a data set and a config; nothing is done yet."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "tiny.yaml"]) == 0
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which the run of `tiny.yaml` is done."""
    folder = tmp_path / "finished"
    shutil.copytree(finished_once, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(list(arguments))
        return Done(code, *capsys.readouterr())

    return run


def newest(runs: Path) -> Path:
    return max((path for path in runs.iterdir()), key=lambda path: path.name)


def without_times(results: Any) -> Any:
    """Return results without what may differ between equal runs, at any depth."""
    if isinstance(results, list):
        return [without_times(item) for item in results]
    if not isinstance(results, dict):
        return results
    differing = {"seconds", "prepared", "reused", "milliseconds_per_image", "milliseconds_alone"}
    return {name: without_times(value) for name, value in results.items() if name not in differing}

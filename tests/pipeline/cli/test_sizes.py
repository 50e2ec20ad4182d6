"""What a plan says that results will take, beside what they take."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.cli.compose import compose
from pipeline.stage import Task
from stages import estimates
from stages.parameters import resolved
from tests.pipeline.cli.conftest import Command

SIZED = """\
name: sized
store: store
runs: runs
data:
  source: "npz:sized.npz"
  root: .
  views: 1
  augment: {shift: 1, padding: reflect, rotate: 5, cutout: 2}
  transfer: {fraction: 0.9}
ray: {address: inline}
generalist: {model: {name: mlp, width: 8}, epochs: 1, batch_size: 512}
specialists: {method: manual, subsets: [[0, 1, 2, 3], [1, 2, 3, 4], [0, 2, 3, 4]], epochs: 1, batch_size: 512}
combine: {active_classes: 5, calibrate: true}
student: {model: {name: mlp, width: 8}, epochs: 1, batch_size: 512}
controls: []
sweep: {alpha: [0.5, 0.9]}
"""
"""A run each of whose arrays is a share of its result that is seen: of an evaluation, 2 % are `active` and the images.

All specialists are active on all rows, so that their tables are as large as they may be.
"""

NETWORKS = {"generalist", "specialist", "student"}
"""What sizes do not tell."""


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the run of `SIZED` is done."""
    folder, numbers = tmp_path_factory.mktemp("sized"), np.random.default_rng(0)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for part, n in (("train", 3000), ("test", 5000)):
        arrays[f"y_{part}"] = np.arange(n) % 5
        arrays[f"x_{part}"] = numbers.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "sized.npz", **arrays)
    (folder / "sized.yaml").write_text(SIZED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "sized.yaml"]) == 0
    return folder


def stages_told(config: str, *settings: str) -> set[str]:
    """Return the stages of a run of whose results sizes tell the bytes, each of which is checked.

    Args:
        config: The config file. All specialists are active on all rows.
        settings: Put in place of what it says.
    """
    composition = compose(Path(config), settings)
    graph = composition.graph()
    graph.advance()
    facts, told = graph.deciding_facts(), set()
    for name, manifest in graph.results.items():
        task = graph.tasks[name]
        effort = estimates.effort(task, resolved(composition.config), facts)
        if effort.most_bytes is None:
            assert task.stage.removeprefix("refit-") in NETWORKS
            continue
        told.add(task.stage)
        kept = sum(item.bytes for item in manifest.objects)
        assert effort.least_bytes <= kept <= effort.most_bytes, name
        # Facts and headers take less than is allowed for: 1 kB of every result, some hundred bytes for a list of the
        # classes, settings or epochs, and in an evaluation under 1 % of it for what is said of its models.
        assert effort.most_bytes <= 1.01 * kept + 1500, name
        # Certain is all but that, and the images that are shown.
        assert effort.least_bytes >= 0.98 * kept - 1000 or (effort.least_bytes == 0 and has_open_rows(task)), name
    return told


def has_open_rows(task: Task) -> bool:
    """Return whether it is seen only when a table is made which rows it has."""
    return task.stage == "imported" or (task.stage.endswith("targets") and "generalist" in task.inputs)


def test_results_take_as_many_bytes_as_was_expected(sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sized)
    tables, others = {"targets", "combined"}, {"confusion", "subsets", "calibration", "sweep", "evaluate"}
    assert stages_told("sized.yaml") == {"data", "transfer", "views"} | tables | others


@pytest.mark.parametrize(
    ("setting", "until", "stages"),
    [
        ("refit=true", "refit-combined", {"refit-data", "refit-views", "refit-targets", "refit-combined"}),
        ("targets.imported=[clip]", "imported", {"import", "imported"}),
        ("data={source: 'npz:tiny.npz', root: ., views: 1, folds: 3}", "confusion", {"fold", "confusion"}),
    ],
)
def test_stages_of_other_settings_take_as_many_bytes_as_was_expected(
    finished: Path, command: Command, setting: str, until: str, stages: set[str]
) -> None:
    np.save("clip.npy", np.random.default_rng(0).normal(size=(160, 4)).astype(np.float32))
    assert command("targets", "import", "clip.npy", "--run", "tiny", "--store", "store").code == 0
    settings = ("combine.active_classes=4", setting)
    done = command("run", "tiny.yaml", *(word for one in settings for word in ("--set", one)), "--until", until)
    assert (done.code, done.err) == (0, "")
    assert stages_told("tiny.yaml", *settings) >= stages

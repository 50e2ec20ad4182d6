import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import load_student
from pipeline.errors import ConfigError
from tests.pipeline.cli.conftest import Command, make_arrays, newest


def test_load_student_takes_a_run_as_commands_do(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--until", "data").code == 0  # newer, and without a student
    folder = min((finished / "runs").iterdir())
    image = make_arrays()["x_test"][:1, :, :, np.newaxis]
    expected = load_student(folder).probs(image).tolist()
    for run in ("tiny", folder.name, str(folder), f"runs/{folder.name}"):
        assert load_student(run).probs(image).tolist() == expected, run
    (finished / "runs").rename(finished / "elsewhere")
    assert load_student("tiny", runs=finished / "elsewhere").probs(image).tolist() == expected
    assert load_student(folder.name, "student", runs="elsewhere").probs(image).tolist() == expected


def test_load_student_takes_any_folder_with_its_files(finished: Path) -> None:
    run, copy = newest(finished / "runs"), finished / "copy"
    copy.mkdir()
    for name in ("student.json", "student.safetensors"):
        shutil.copy(run / name, copy)
    assert load_student("copy").class_names == load_student(copy).class_names == load_student(run).class_names


def test_load_student_says_what_is_wrong_with_a_run(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--until", "data", "--set", "name=half").code == 0
    (finished / "copy").mkdir()
    with pytest.raises(
        ConfigError, match=r"^the run must be .* \(half, tiny\), or a folder .*; did you mean 'tiny'\?$"
    ):
        load_student("tinny")
    with pytest.raises(
        ConfigError, match=r"^half-.* must have reached its end; got one that was asked for no more than data: run its"
    ):
        load_student("half")
    with pytest.raises(
        ConfigError, match=r"refit\.json must be there; got No such file or directory: a run with refit"
    ):
        load_student("tiny", "refit")
    with pytest.raises(ConfigError, match=r"; got 'copy', a folder without events\.jsonl or student\.json$"):
        load_student("copy")
    with pytest.raises(ConfigError, match=r"; got 'copy', and no run there: name another folder of runs \(runs=\)$"):
        load_student("copy", runs="copy")

"""`export`: writes a run's student as a file for other programs, checked against PyTorch; or any network's weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.cli.kept import KeptRun
from pipeline.cli.tables import print_json, say
from pipeline.errors import ConfigError, StoreError, did_you_mean
from pipeline.runs import write_whole
from pipeline.stage import stage_of
from stages.tasks.refit import PREFIX

STUDENT = "student-distilled"
"""The network that is written unless another is asked for."""

STUDENTS = {STUDENT: "student", "student-refit": "refit"}
"""Those that can be written as one file with their preprocessing, and the names of their own files."""

N_EXAMPLES = 256
"""Examples that the file is checked on, at most."""


def export(run: KeptRun, form: str, to: Path | None, *, network: str | None = None, as_json: bool) -> None:
    """Write a student as one file, and print how far it is from PyTorch.

    Args:
        run: The run.
        form: `onnx` or `torch-export`.
        to: The file; None for one in the run's folder.
        network: A key of `STUDENTS`, by default the first: other networks can be had as weights alone.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: There is no such format, packages that it needs are missing, the run has not reached its end, or
            another network is asked for than it has.
        StageError: The student is damaged or cannot be made again, or what was written differs from it: nothing is
            left then.
        StoreError: The examples are not in the store, or the file cannot be written.
    """
    from stages import portable  # noqa: PLC0415  # brings torch
    from stages.inference import read_student  # noqa: PLC0415
    from stages.rebuilding import rebuilding  # noqa: PLC0415

    forms = (*portable.SUFFIXES, "safetensors")
    if form not in forms:
        known = f"{', '.join(forms[:-1])} or {forms[-1]}"
        raise ConfigError(f"--format: must be {known}; got '{form}'{did_you_mean(form, forms)}")
    portable.check_packages(form)
    folder = run.ended_folder()
    name = _student(folder, network or STUDENT, form)
    description, student = read_student(folder, name)
    images, part = _examples(run)
    file = to or run.folder.path / f"{name}{portable.SUFFIXES[form]}"
    with rebuilding(f"{name} of {run.name}"):
        content = portable.written(student, description, form)
    difference = portable.largest_difference(portable.opened(form, content), student, images)
    _write(file, content)
    if as_json:
        told = {"file": str(file), "bytes": len(content), "largest_difference": difference, "examples": len(images)}
        print_json(told)
        return
    say(f"{file}: {len(content):,} bytes")
    say(
        f"largest difference from PyTorch in logits and probabilities: {difference:.1e}, over {len(images)} examples of"
        f" the {part} (must be less than {portable.TOLERANCE:g})"
    )


def _student(folder: Path, network: str, form: str) -> str:
    """Return the name of the files of a student.

    Raises:
        ConfigError: The run has no such student, or it is another network.
    """
    there = [name for name, file in STUDENTS.items() if name == STUDENT or (folder / f"{file}.json").is_file()]
    if network in there:
        return STUDENTS[network]
    known = " or ".join(there)
    hint = (
        "set `refit: true` and run its config again" if network in STUDENTS else "other networks: --format safetensors"
    )
    raise ConfigError(f"--network: must be {known} with --format {form}; got '{network}': {hint}")


def export_weights(run: KeptRun, name: str, to: Path | None, *, as_json: bool) -> None:
    """Write the weights of a network of a run, and beside them what it is, as a config can name them; print where.

    Args:
        run: The run.
        name: `generalist`, the name of a specialist, such as `3-5-8`, or a student, such as `student-distilled`.
        to: The file, which ends in `.safetensors`; None for one in the run's folder.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: There is no such network, or the file has another ending.
        StoreError: The network is not in the store, or the file cannot be written.
    """
    from stages.given import described_weights  # noqa: PLC0415  # brings torch

    tasks = [task for stage in _NETWORKS for task in run.keys if stage_of(task) == stage]
    networks = {_network_name(task): task for task in tasks}
    if name not in networks:
        if not networks:
            raise ConfigError(f"{run.name} must have trained a network; got a run that ended before its generalist")
        known = ", ".join(networks)
        raise ConfigError(f"--network: must be one of {known}; got '{name}'{did_you_mean(name, networks)}")
    file = to or run.folder.path / f"{name}.safetensors".replace("/", "-")
    if file.suffix != ".safetensors":
        raise ConfigError(f"--to: must end in .safetensors; got {file}")
    task = networks[name]
    weights, description = described_weights(
        run.artifact(task), run.artifact(_dataset_of(task)), [run.facts(one) for one in _origins(run, task)]
    )
    beside = file.with_suffix(".json")
    _write(file, weights)
    _write(beside, (json.dumps({"weights": file.name, **description}, indent=2, ensure_ascii=False) + "\n").encode())
    if as_json:
        print_json({"file": str(file), "description": str(beside), "bytes": len(weights)})
        return
    say(f"{file}: {len(weights):,} bytes, described in {beside.name}")


def _origins(run: KeptRun, task: str) -> list[str]:
    """Return the tasks of what a network began as or learned from: teachers, and imported soft targets."""
    stage, _, identity = task.rstrip("]").partition("[")
    teachers = _TEACHERS.get(identity.partition("/")[0], _ALL) if stage in _STUDENTS else _TEACHERS.get(stage, ())
    return [one for one in run.keys if stage_of(one) in teachers]


def _dataset_of(task: str) -> str:
    """Return the training half that a network's task reads: that of a refit holds nothing out."""
    return f"{PREFIX if task.startswith(PREFIX) else ''}data[train]"


_STUDENTS = ("student", "refit-student")
_NETWORKS = ("generalist", "specialist", *_STUDENTS)
_ALL = ("generalist", "specialist", "import")
_TEACHERS: dict[str, Sequence[str]] = {"specialist": ("generalist",), "generalist": ("generalist",), "hard": ()}
"""The stages whose results a specialist begins as, and those that a student learns from, by its variant."""


def _network_name(task: str) -> str:
    """Return what a network is called here, given the task that made it; a control may be called as a teacher is."""
    stage, _, identity = task.rstrip("]").partition("[")
    if stage == "refit-student":
        return identity.replace("distilled", "student-refit", 1)
    return f"student-{identity}" if stage == "student" else identity or stage


def _write(file: Path, content: bytes) -> None:
    if file.is_dir():
        raise ConfigError(f"--to: must be a file; got the folder {file}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
    except OSError as error:
        raise StoreError(f"{file}: must be writable; got {error.strerror}: name another file by --to") from error


def _examples(run: KeptRun) -> tuple[Any, str]:
    """Return images, uint8 (images, height, width, channels), and what they are of.

    They are of the holdout, or of the training set where there is none: no network is judged by them.
    """
    import numpy as np  # noqa: PLC0415

    arrays = run.artifact("data[train]").arrays
    rows, part = np.flatnonzero(arrays["holdout"]), "holdout"
    if not len(rows):
        rows, part = np.arange(len(arrays["labels"])), "training set"
    return np.asarray(arrays["images"])[rows[:N_EXAMPLES]], part

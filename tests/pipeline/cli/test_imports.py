"""Somebody's logits on the command line: brought, listed, used by a run, refused by name."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.store import Store
from pipeline.store.manifest import object_path
from pipeline.store.records import run_path
from tests.pipeline.cli.conftest import Command, newest

LOGITS = 3 * np.random.default_rng(0).normal(size=(160, 4)).astype(np.float32)
USE = ("--set", "targets.imported=[clip]")


@pytest.fixture
def brought(finished: Path, command: Command) -> Path:
    """The working folder of a finished run, with an imported table named clip."""
    np.save(finished / "clip.npy", LOGITS)
    assert command("targets", "import", "clip.npy", "--run", "tiny", "--store", "store").code == 0
    return finished


def results(folder: Path) -> dict[str, object]:
    return dict(json.loads((newest(folder / "runs") / "results.json").read_text()))


def test_import_says_what_it_brought_and_how_it_is_used(finished: Path, command: Command) -> None:
    np.save(finished / "clip.npy", LOGITS)
    command_line = ("targets", "import", "clip.npy", "--run", "tiny", "--store", "store")
    done = command(*command_line)
    first, second = done.out.splitlines()
    assert first.endswith(":clip: 160 rows of 160 examples, 4 outputs")
    assert "`targets: {imported: [clip]}`" in second
    assert command(*command_line).out.splitlines()[0] == f"{first}; the same content was there already"
    told = json.loads(command(*command_line, "--json").out)
    assert (told["new"], told["rows"], told["any_view"]) == (False, 160, True)
    shown = command("targets", "show", "imported:clip", "--store", "store")
    assert re.search(r"^rows +160, one an example, which hold for it in any view *$", shown.out, re.MULTILINE)
    assert re.search(r"^data digest +[0-9a-f]{64}$", shown.out, re.MULTILINE)


def test_run_learns_from_an_import_and_says_so(brought: Path, command: Command) -> None:
    done = command("run", "tiny.yaml", *USE)
    assert done.code == 0, done.err
    assert "learned from imported soft targets: clip" in " ".join(done.out.split())
    assert [table["name"] for table in results(brought)["imported"]] == ["clip"]  # type: ignore[attr-defined]
    assert "imported soft targets: clip" in (newest(brought / "runs") / "report.html").read_text()
    listed = command("targets", "list", "--store", "store", "--json").out
    assert {table["teacher"] for table in json.loads(listed)} >= {"clip", "combined", "generalist"}
    again = json.loads(command("plan", "tiny.yaml", *USE, "--json").out)
    assert [step["id"] for step in again["steps"] if step["action"] == "run"] == ["report"]


def test_plan_says_that_an_import_is_new_and_another(brought: Path, command: Command) -> None:
    def reasons(stage: str) -> list[str]:
        steps = json.loads(command("plan", "tiny.yaml", *USE, "--json").out)["steps"]
        return [reason for step in steps if step["stage"] == stage for reason in step["reasons"]]

    assert reasons("import") == ["never done before"]
    assert command("run", "tiny.yaml", *USE).code == 0
    np.save(brought / "clip.npy", LOGITS[::-1])
    bring = ("targets", "import", "clip.npy", "--run", "tiny", "--store", "store")
    refused = command(*bring)
    assert (refused.code, refused.out) == (2, "")
    assert "--name: must be one that no other content has; got 'clip', which is imported-" in refused.err
    assert reasons("import") == []
    assert "; it takes the place of imported-" in command(*bring, "--replace").out
    (reason,) = reasons("import")
    assert reason.startswith("targets.imported")


def test_import_from_elsewhere_changes_nothing(brought: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", *USE).code == 0
    (brought / "clip.npy").rename(brought / "moved.npy")
    arguments = ("targets", "import", "moved.npy", "--name", "clip", "--run", "tiny", "--store", "store")
    assert "the same content was there already" in command(*arguments).out
    steps = json.loads(command("plan", "tiny.yaml", *USE, "--json").out)["steps"]
    assert [step["id"] for step in steps if step["action"] == "run"] == ["report"]


def test_unknown_import_is_told_with_its_line(brought: Path, command: Command) -> None:
    text = (brought / "tiny.yaml").read_text() + "targets: {imported: [clop, vit]}\n"
    (brought / "tiny.yaml").write_text(text)
    done = command("validate", "tiny.yaml")
    assert done.code == 2
    there = f"tiny.yaml:{len(text.splitlines())}: targets.imported"
    assert done.err.splitlines() == [
        f"{there}[0]: must be an imported table of this store (clip); got 'clop'; did you mean 'clip'?",
        f"{there}[1]: must be an imported table of this store (clip); got 'vit'; `targets import` brings one",
    ]


def test_import_of_other_data_is_refused(brought: Path, command: Command) -> None:
    arrays = dict(np.load(brought / "tiny.npz"))
    np.savez(brought / "other.npz", **arrays | {"x_train": arrays["x_train"][::-1]})
    done = command("plan", "tiny.yaml", *USE, "--set", "data.source=npz:other.npz")
    assert done.code == 2
    assert "targets.imported[0]: must be of this run's data (data.kind npz, data.digest" in done.err


@pytest.mark.parametrize("setting", ["data.holdout=0.3", "data.transfer={fraction: 0.5}"])
def test_import_serves_a_run_on_other_examples_of_the_data(brought: Path, command: Command, setting: str) -> None:
    done = command("run", "tiny.yaml", *USE, "--set", setting, "--until", "combined")
    assert done.code == 0, done.err


def test_run_that_uses_an_import_keeps_it_young(brought: Path, command: Command) -> None:
    store = Store.open("store")
    (record,) = (run for run in store.runs() if run.name.startswith("imported-"))
    path = Path(store.location) / run_path(record.name)
    old = time.time() - 40 * 24 * 3600
    os.utime(path, (old, old))
    assert command("run", "tiny.yaml", *USE, "--until", "imported").code == 0
    assert path.stat().st_mtime > old + 1
    command("store", "prune", "store", "--yes")
    assert command("targets", "show", "imported:clip", "--store", "store").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--classes", '["x", 1, null]'), "--classes[0] must be the name of a class; got 'x'"),
        (
            ("--classes", "[true]"),
            "--classes: must be a list of class ids, class names, and null for the dustbin; got true",
        ),
        (("--classes", '{"a": 1}'), "--classes: must be a JSON list, or a file that holds one; got"),
        (("--classes", "none.json"), "--classes: must be a JSON list, or a file that holds one; got 'none.json'"),
        (("--values", "prob"), "--values: must be logits, log-probs or probs; got 'prob'; did you mean 'probs'?"),
        (("--values", "probs"), "clip.npy: probs must be finite numbers of 0 or more; got otherwise in"),
        (("--run", "tyni"), "the run must be one of the 1 finished runs in"),
        (("--examples", "none.npy"), "none.npy: must be an .npy file; got: No such file"),
    ],
)
def test_wrong_import_ends_with_2_and_says_what_is_wrong(
    finished: Path, command: Command, options: tuple[str, ...], told: str
) -> None:
    np.save(finished / "clip.npy", LOGITS)
    done = command("targets", "import", "clip.npy", "--run", "tiny", "--store", "store", *options)
    assert done.code == 2
    assert told in done.err


def test_classes_may_be_in_a_file(finished: Path, command: Command) -> None:
    np.save(finished / "two.npy", LOGITS[:, :3])
    (finished / "classes.json").write_text("[3, null, 1]")
    arguments = ("targets", "import", "two.npy", "--run", "tiny", "--store", "store", "--classes", "classes.json")
    assert json.loads(command(*arguments, "--json").out)["subset"] == [1, 3]


def test_verify_says_that_an_import_is_made_again_by_hand(brought: Path, command: Command) -> None:
    store = Store.open("store")
    record = next(run for run in store.runs() if run.name.startswith("imported-"))
    manifest = store.find(record.keys["imported[clip/0.0]"])
    assert manifest is not None
    path = brought / "store" / object_path(manifest.objects[0].sha256)
    path.chmod(0o644)
    path.write_bytes(b"\0")
    told = "makes it again; what was imported has to be imported again\n"
    assert command("store", "verify", "store").out.endswith(told)

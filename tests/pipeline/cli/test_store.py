import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import store as commands
from pipeline.errors import ConfigError
from pipeline.stage import Artifact
from pipeline.store import Store, verify
from pipeline.store.manifest import object_path
from stages import STAGES
from tests.pipeline.cli.conftest import Command, newest, without_times

DAY = 24 * 3600.0


def results(folder: Path) -> Any:
    return json.loads((newest(folder / "runs") / "results.json").read_text())


def make_older(store: Store, days: float) -> None:
    for path in Path(store.location).rglob("*.*"):
        os.utime(path, (time.time() - days * DAY,) * 2)
    for path in Path(store.location, "objects").rglob("*"):
        os.utime(path, (time.time() - days * DAY,) * 2)


def test_prune_shows_what_it_would_do_and_does_it_when_asked(
    finished: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open("store")
    make_older(store, 10)
    assert command("run", "tiny.yaml", "--set", "student.epochs=2").code == 0
    files = store.files.listing("")
    commands.prune("store", days=5, grace=1, delete=False, as_json=False)
    out = capsys.readouterr().out
    assert "3 results that no run of the last 5 days names" in out
    assert "student" in out
    how = "`python -m pipeline store prune store --days 5 --yes` deletes what is listed here"
    assert out.endswith(f"\nnothing was deleted: {how}\n")
    assert store.files.listing("") == files

    commands.prune("store", days=5, grace=1, delete=True, as_json=False)
    assert ": deleted 10 files\n" in capsys.readouterr().out
    assert len(store.files.names("")) == len(files) - 10
    assert verify(store) == []
    assert command("run", "tiny.yaml", "--set", "student.epochs=2").code == 0
    assert len(results(finished)["reused"]) == 15


def test_prune_of_a_store_that_is_all_in_use_says_so(finished: Path, command: Command) -> None:
    assert command("store", "prune", "store").out.endswith("\nthere is nothing to delete\n")


def test_prune_speaks_json(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.prune("store", days=5, grace=1, delete=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"bytes": 0, "stages": {}, "doomed": [], "deleted": []}
    make_older(Store.open("store"), 10)
    commands.prune("store", days=5, grace=1, delete=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["doomed"] == told["deleted"]
    assert told["stages"]["student"]["results"] == 2
    assert Store.open("store").files.names("objects") == []


def test_prune_tells_what_came_into_use(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.prune("store", days=0, grace=0, delete=True, as_json=False)
    assert "kept" not in capsys.readouterr().out
    assert verify(Store.open("store")) == []


def test_prune_refuses_what_makes_no_sense(finished: Path) -> None:
    with pytest.raises(ConfigError, match="--days: must be 0 or more; got -1\n--grace: must be 0 or more; got -2"):
        commands.prune("store", days=-1, grace=-2, delete=False, as_json=False)
    with pytest.raises(ConfigError, match="elsewhere: must be the folder or URL of a store; looked there for"):
        commands.prune("elsewhere", days=1, grace=1, delete=False, as_json=False)
    assert not (finished / "elsewhere").exists()


def test_a_table_takes_as_many_bytes_wherever_its_rows_are_counted(finished: Path, command: Command) -> None:
    counted = json.loads((newest(finished / "runs") / "results.json").read_text())["targets"]
    combined, *teachers = json.loads(command("targets", "list", "--store", "store", "--json").out)
    assert combined["bytes"] == counted["combined"]["bytes"]
    assert sum(table["bytes"] for table in teachers) == counted["bytes"]
    shown = json.loads(command("targets", "show", "tiny", "--store", "store", "--json").out)
    used = json.loads(command("store", "du", "store", "--json").out)["stages"]["combined"]["bytes"]
    files = sum(shard["bytes"] for shard in shown["shards"])
    assert shown["bytes"] == combined["bytes"] < files < used
    assert f" ({files:,} as files)" in command("targets", "show", "tiny", "--store", "store").out
    assert "\nall files of a result are counted: " in command("store", "du", "store").out


def test_du_tells_stages_and_runs(finished: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("run", "tiny.yaml", "--set", "student.epochs=2").code == 0
    commands.du("store", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["stages"]["student"]["results"] == 4
    assert {name[:5] for name in told["runs"]} == {"tiny-"}
    assert [run["results"] for run in told["runs"].values()] == [15, 15]
    assert all(0 < run["only"] < run["bytes"] for run in told["runs"].values())
    assert told["prunable"] == 0
    commands.du("store", as_json=False)
    out = capsys.readouterr().out
    assert f"store: {told['bytes']:,} bytes, {told['objects']:,} of them objects" in out
    assert "`store prune` would free 0 bytes (--days 30 --grace 1)\n" in out
    shown = [line.split()[0] for line in out.partition("\nrun ")[0].splitlines()[1:] if line.strip()]
    assert shown == sorted(told["stages"], key=lambda stage: (-told["stages"][stage]["bytes"], stage))


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 4
        path.write_bytes(bytes(len(data)) if how == "zero" else data)


@pytest.mark.parametrize("how", ["flip", "truncate", "zero", "delete"])
def test_verify_names_every_damaged_file_of_a_finished_run(finished: Path, command: Command, how: str) -> None:
    store = Store.open("store")
    unknown = 0
    for path in store.files.names(""):
        data = (finished / "store" / path).read_bytes()
        damage(finished / "store" / path, how)
        named = {fault.path for fault in verify(store)}
        if how == "delete" and path.startswith(("runs/", "memory/")):
            # Nothing says that there should be one; a run finds out again, or is recorded anew.
            unknown += 1
            assert named == set()
        else:
            assert named == {path}
        (finished / "store" / path).write_bytes(data)
    assert unknown == (2 if how == "delete" else 0)


def test_verify_says_what_needs_the_damaged(finished: Path, command: Command) -> None:
    run = newest(finished / "runs").name
    store = Store.open("store")
    manifest = store.find(store.runs()[0].keys["student[distilled]"])
    assert manifest is not None
    damage(finished / "store" / object_path(manifest.objects[0].sha256), "flip")
    done = command("store", "verify", "store")
    assert done.code == 1
    needed_by = f"arrays.safetensors of student[distilled] of {run}"
    assert (
        f"does not match the digest it is named by; needed by {needed_by}\nstore: 1 fault: the next run that "
        in done.out
    )
    (fault,) = json.loads(command("store", "verify", "store", "--json").out)
    assert fault["needed_by"] == [needed_by]


def test_verify_names_some_of_many_who_need_the_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(str(tmp_path))
    manifest = store.save({"stage": "numbers"}, Artifact(), seconds=1.0)
    for number in range(5):
        store.record_run(f"a-{number}", {"numbers": manifest.key})
    store.discard(manifest, "a test")
    assert commands.check(store.location, as_json=False) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(": is missing; needed by numbers of a-0; numbers of a-1; numbers of a-2 and 2 more")


def test_a_run_that_needs_what_is_damaged_makes_it_again(finished: Path, command: Command) -> None:
    names = [stage.name for stage in STAGES if stage.kept]
    store = Store.open("store")
    before = without_times(results(finished))
    # One file of each result, and one way for each, in turn.
    hows = itertools.cycle(["flip", "truncate", "zero", "delete", "flip"])
    for number, path in enumerate(store.files.names("manifests")):
        manifest = store.find(Path(path).stem)
        assert manifest is not None
        stage, how = str(manifest.recipe["stage"]), next(hows)
        damaged = [path, object_path(manifest.objects[-1].sha256)][number % 2]
        damage(finished / "store" / damaged, how)
        # What reads it is done again, so that it is needed.
        later = [option for name in names[names.index(stage) + 1 :] for option in ("--force", name)]
        done = command("run", "tiny.yaml", *later)
        assert done.code == 0
        assert without_times(results(finished)) == before
        assert verify(store) == []
        # Of a missing object its manifest is told; of a missing manifest there is nothing to tell.
        assert damaged in done.out or path in done.out or (damaged, how) == (path, "delete")
        assert any(task.split("[")[0] == stage for task in made_again(finished))


def made_again(folder: Path) -> set[str]:
    tasks = {step["id"] for step in json.loads((newest(folder / "runs") / "plan.json").read_text())["steps"]}
    return tasks - set(results(folder)["reused"])

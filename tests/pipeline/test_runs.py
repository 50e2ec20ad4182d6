import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, StoreError
from pipeline.events import EventLog, Events
from pipeline.runs import EVENTS, OTHER_RUNS, RunFolder, find, newest_first
from pipeline.store.processes import STALE_SECONDS, temporary_name


def make_run(base: Path, name: str, *, process: str = "", ended: str = "") -> RunFolder:
    folder = RunFolder.create(base, name)
    log = EventLog(folder.path / EVENTS)
    events = Events(log)
    events.tell("run_started", process=process or temporary_name(), host=socket.gethostname(), folder=str(folder.path))
    if ended:
        events.tell("run_ended", status=ended)
    log.close()
    time.sleep(0.002)  # the next folder is a later one
    return folder


def test_folders_of_one_millisecond_are_told_apart(tmp_path: Path) -> None:
    names = {RunFolder.create(tmp_path, "digits").path.name for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r"digits-\d{8}-\d{6}-\d{3}", name) for name in names)


@pytest.mark.parametrize(("text", "seed"), [("name: a\nseed: 12\n", 12), ("data:\n  seed: 1\n", None), (None, None)])
def test_seed_is_that_of_the_config(tmp_path: Path, text: str | None, seed: int | None) -> None:
    folder = RunFolder.create(tmp_path, "digits")
    if text is not None:
        folder.write("config.yaml", text)
    assert folder.seed() == seed


def test_write_leaves_no_unfinished_file(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "digits")
    folder.write("results.json", "{}")
    folder.write("results.json", "[]")
    assert [(path.name, path.read_text()) for path in folder.path.iterdir()] == [("results.json", "[]")]


def test_write_says_where_it_could_not(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "gone")
    with pytest.raises(StoreError, match=r"gone/results.json: must be writable; got No such file"):
        folder.write("results.json", "{}")


def test_create_says_that_the_base_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^must be a folder .*; got File exists at .*/file: " + OTHER_RUNS + "$"):
        RunFolder.create(tmp_path / "file", "digits")


def test_newest_first_goes_by_time_whatever_the_name(tmp_path: Path) -> None:
    made = [make_run(tmp_path, name).path for name in ("b", "a", "a-b", "b")]
    assert [folder.path for folder in newest_first(tmp_path)] == made[::-1]
    assert [folder.path for folder in newest_first(tmp_path, "a")] == [made[1]]


def test_find_takes_a_path_a_folder_a_name_or_nothing(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, "a"), make_run(tmp_path, "b")
    assert find(tmp_path, None).path == second.path
    assert find(tmp_path, "a").path == first.path
    assert find(tmp_path, first.path.name).path == first.path
    assert find(tmp_path, str(first.path)).path == first.path


def test_find_prefers_the_newest_run_that_has_what_is_wanted(tmp_path: Path) -> None:
    first, second, third = (make_run(tmp_path, "a") for _ in range(3))
    assert find(tmp_path, "a", having="results.json").path == third.path
    for folder in (first, second):
        folder.write("results.json", "{}")
    assert find(tmp_path, "a", having="results.json").path == second.path
    assert find(tmp_path, "a").path == third.path
    assert find(tmp_path, third.path.name, having="results.json").path == third.path


def test_find_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must hold a run; got none"):
        find(tmp_path, None)
    folder = make_run(tmp_path, "digits")
    with pytest.raises(ConfigError, match=f"did you mean '{folder.path.name}'"):
        find(tmp_path, folder.path.name[:-1])
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        ConfigError, match=r"\(digits\), or a folder of one; got '.*/folder', a folder without events.jsonl$"
    ):
        find(tmp_path, str(tmp_path / "folder"))
    with pytest.raises(ConfigError, match=r"got 'digits', and no run there: name another folder of runs \(--runs\)$"):
        find(tmp_path / "folder", "digits")


def test_state_tells_a_killed_run_from_one_that_goes_on(tmp_path: Path) -> None:
    script = "from pipeline.store.processes import temporary_name; print(temporary_name())"
    dead = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert make_run(tmp_path, "a", process=dead).state().status == "interrupted"
    assert make_run(tmp_path, "b").state().status == "running"
    assert make_run(tmp_path, "c", ended="failed").state().status == "failed"


def test_state_is_not_taken_in_by_a_process_that_has_the_number_of_a_dead_one(tmp_path: Path) -> None:
    host, space, pid, start, chance = temporary_name().split("_")
    former = "_".join([host, space, pid, str(int(start) - 1), chance])
    assert make_run(tmp_path, "a", process=former).state().status == "interrupted"


def test_state_of_a_run_elsewhere_goes_by_its_last_event(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "a", process="elsewhere_0_1_1_0")
    assert folder.state().status == "running"
    os.utime(folder.path / EVENTS, (time.time() - STALE_SECONDS - 60,) * 2)
    assert folder.state().status == "interrupted"


def test_state_of_a_run_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "old")
    told = {"time": 1.0, "event": "run_started", "process": os.getpid(), "host": socket.gethostname()}
    (folder.path / EVENTS).write_text(json.dumps(told) + "\n")
    assert folder.state().status == "running"


def test_only_a_run_that_has_begun_nothing_is_discarded(tmp_path: Path) -> None:
    unbegun, begun, unread, unmade = (RunFolder.create(tmp_path, name) for name in ("a", "b", "c", "d"))
    (unbegun.path / EVENTS).write_text('{"event": "run_started", "time": 1}\n')
    (begun.path / EVENTS).write_text('{"event": "task_finished", "time": 1, "task": "data[train]", "key": "0"}\n')
    (unread.path / EVENTS).write_text("no JSON\n" * 2)
    assert [one.discard_unbegun() for one in (unbegun, begun, unread, unmade)] == [True, False, False, True]
    assert [one.path.exists() for one in (unbegun, begun, unread, unmade)] == [False, True, True, False]


def test_discard_says_what_it_could_not_delete(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "a")
    shutil.rmtree(run.path)
    with pytest.raises(FileNotFoundError):
        run.discard_unbegun()

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.display import display, render
from pipeline.errors import StoreError
from pipeline.events import EventLog, Events, RunState, read_events
from pipeline.lines import Lines

STORY: list[tuple[str, Mapping[str, Any]]] = [
    ("run_started", {"process": 7, "host": "here", "folder": "runs/x"}),
    ("tasks_known", {"tasks": ["data", "student[a]", "student[b]", "evaluate"]}),
    ("task_reused", {"task": "data", "seconds": 1.5, "key": "k"}),
    ("executor_starting", {"reused": 1}),
    ("task_progress", {"task": "student[a]", "state": "running"}),
    ("task_progress", {"task": "student[a]", "epoch": 3, "epochs": 12, "loss": 0.5, "accuracy": 0.875}),
    ("task_failed", {"task": "student[b]", "fault": "the loss must be finite", "details": "..."}),
    ("warning", {"message": "objects/ab is damaged"}),
]


def told(n: int = len(STORY)) -> RunState:
    state = RunState()
    for time, (event, facts) in enumerate(STORY[:n]):
        state.apply({"time": 100.0 + time, "event": event, **facts})
    return state


def text_of(state: RunState, now: float, *, width: int = 120, everything: bool = False) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(render(state, now, width=width, everything=everything))
    return captured.get()


def test_state_adds_up_what_happened() -> None:
    state = told()
    assert {name: task.state for name, task in state.tasks.items()} == {
        "data": "reused",
        "student[a]": "running",
        "student[b]": "failed",
        "evaluate": "waiting",
    }
    assert state.warnings == ["objects/ab is damaged"]
    assert (state.status, state.process, state.latest) == ("running", "7", 107.0)


def test_late_progress_does_not_bring_back_a_finished_task() -> None:
    state = told()
    state.apply({"time": 110.0, "event": "task_finished", "task": "student[a]", "seconds": 9.0, "key": "k"})
    state.apply({"time": 111.0, "event": "task_progress", "task": "student[a]", "epoch": 12, "epochs": 12})
    assert state.tasks["student[a]"].state == "done"


def test_lost_task_waits_again() -> None:
    state = told()
    state.apply({"time": 110.0, "event": "task_lost", "task": "data"})
    assert state.tasks["data"].state == "waiting"


def test_unknown_event_changes_nothing_but_the_time() -> None:
    state = told()
    state.apply({"time": 110.0, "event": "from_a_later_version"})
    assert state.tasks == told().tasks


def test_log_is_read_back_without_its_unfinished_line(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    Events(log).tell("warning", message="ä")
    log.close()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "event": "war')
    assert [event["message"] for event in read_events(tmp_path / "events.jsonl")] == ["ä"]


def test_render_shows_stages_progress_time_left_and_faults() -> None:
    text = text_of(told(), 107.0)
    assert "data" in text
    assert "reused" in text
    assert "the loss must be finite" in text
    assert "warning: objects/ab is damaged" in text
    state = told(6)
    assert "epoch 3/12, accuracy 0.875" in text_of(state, 107.0)
    assert " left" not in text_of(state, 107.0)  # the first report has the start in it
    state.apply({"time": 108.0, "event": "task_progress", "task": "student[a]", "epoch": 6, "epochs": 12})
    assert "6 s left" in text_of(state, 108.0)


def test_lines_print_what_matters_and_throttle_progress(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        lines = Lines(Console(file=file, width=200))
        for time, (event, facts) in enumerate(STORY):
            lines({"time": 100.0 + time, "event": event, **facts})
    printed = (tmp_path / "out").read_text()
    assert "1 result is in the store; starting" in printed
    assert "student[b]: FAILED: the loss must be finite" in printed
    assert "epoch 3/12" not in printed  # five seconds in: too early for a line


def test_display_is_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file, display(Console(file=file)) as shown:
        assert isinstance(shown, Lines)


def test_display_is_a_table_in_a_terminal(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file, display(Console(file=file, force_terminal=True, width=100)) as shown:
        for time, (event, facts) in enumerate(STORY[:3]):
            shown({"time": 100.0 + time, "event": event, **facts})
    assert "waiting" in (tmp_path / "out").read_text()


@pytest.mark.parametrize("line", [b'{"time": 1, "ev', b"[1]", b'{"time": 1}', b"\xff"])
def test_log_that_was_damaged_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"time": 1.0, "event": "warning", "message": "hot"}\n' + line + b"\n")
    with pytest.raises(StoreError, match=r"events.jsonl:2: must be an event, a JSON object, .*: delete the line, or"):
        list(read_events(tmp_path / "events.jsonl"))


def test_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"events.jsonl: must be readable; got No such file"):
        list(read_events(tmp_path / "events.jsonl"))


def test_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone/events.jsonl: must be writable; got No such file"):
        EventLog(tmp_path / "gone/events.jsonl")


def test_log_on_a_full_disk_says_so_once_and_keeps_what_it_has() -> None:
    log = EventLog(Path("/dev/full"))
    with pytest.raises(StoreError, match="/dev/full: must be writable; got No space left on device"):
        Events(log).tell("warning", message="lost")
    Events(log).tell("run_ended", status="failed")
    log.close()


def test_ended_run_has_no_running_task() -> None:
    state = told(6)
    state.apply({"time": 110.0, "event": "run_ended", "status": "interrupted"})
    assert state.tasks["student[a]"].state == "stopped"
    shown = text_of(state, 200.0)
    assert "stopped" in shown
    assert "s left" not in shown


def test_fault_of_several_lines_is_one_line_in_a_log(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        Lines(Console(file=file, width=200))(
            {"time": 1.0, "event": "task_failed", "task": "data[train]", "fault": "two faults:\n  one\n  two"}
        )
    assert (tmp_path / "out").read_text().endswith("data[train]: FAILED: two faults: ...\n")


NAMED: list[tuple[str, Mapping[str, Any]]] = [
    (
        "run_started",
        {"process": "7", "host": "here", "folder": "x", "stages": ["a", "b", "c"], "undecided": ["b", "c"]},
    ),
    ("tasks_known", {"tasks": ["c", "b[0-1]", "b[2-3]"], "titles": {"b[0-1]": "cat, dog", "b[2-3]": "2, 3"}}),
    ("task_progress", {"task": "b[0-1]", "epoch": 8, "epochs": 20, "accuracy": 0.75}),
    ("task_progress", {"task": "b[0-1]", "epoch": 10, "epochs": 20, "accuracy": 0.875}),
]


def state_of(story: list[tuple[str, Mapping[str, Any]]]) -> RunState:
    state = RunState()
    for time, (event, facts) in enumerate(story):
        state.apply({"time": 100.0 + time, "event": event, **facts})
    return state


def test_render_goes_by_the_order_of_the_stages_and_names_classes() -> None:
    lines = text_of(state_of(NAMED), 104.0, width=80).splitlines()
    assert [line.split()[0] for line in lines] == ["b", "0-1", "c"]
    assert "0-1 cat, dog" in lines[1]
    assert "epoch 10/20, accuracy 0.875" in lines[1]
    assert "10 s left" in lines[1]
    everything = text_of(state_of(NAMED), 104.0, width=80, everything=True)
    assert "  2-3  " in everything  # its classes' names are their ids


def test_task_that_an_ended_run_has_left_does_not_wait() -> None:
    ended = state_of([*NAMED, ("run_ended", {"status": "interrupted"})])
    rows = [line.split() for line in text_of(ended, 104.0, everything=True).splitlines()]
    assert [row[1:] for row in rows if row[0] == "2-3"] == [["not", "done"]]


def test_task_that_goes_on_from_a_checkpoint_says_so_while_it_runs(tmp_path: Path) -> None:
    resumed = ("task_progress", {"task": "b[0-1]", "resumed": 75.0})
    told = "b[0-1]: goes on from a checkpoint, after 1 min 15 s of work before"
    assert told in text_of(state_of([*NAMED, resumed]), 104.0)
    done = ("task_finished", {"task": "b[0-1]", "seconds": 90.0})
    assert "checkpoint" not in text_of(state_of([*NAMED, resumed, done]), 104.0)
    with (tmp_path / "out").open("w") as file:
        lines = Lines(Console(file=file, width=200))
        for event, facts in [*NAMED[:2], resumed]:
            lines({"time": 100.0, "event": event, **facts})
    assert (tmp_path / "out").read_text().endswith(f"{told}\n")


def test_stage_that_is_only_read_is_not_shown() -> None:
    story: list[tuple[str, Mapping[str, Any]]] = [
        NAMED[0],
        ("tasks_known", {"tasks": ["a[1]", "a[2]", "c"], "titles": {}, "undecided": ["b"]}),
        ("task_reused", {"task": "a[1]", "seconds": 2.0}),
    ]
    assert text_of(state_of(story), 104.0).split() == ["b", "waiting", "c", "waiting"]


def test_stage_that_is_wanted_is_shown_before_its_tasks_are_known() -> None:
    assert text_of(state_of(NAMED[:1]), 100.0).split() == ["b", "waiting", "c", "waiting"]
    ended = state_of([*NAMED[:1], ("run_ended", {"status": "failed", "fault": "the store must be writable"})])
    assert " ".join(text_of(ended, 100.0).split()) == "b not done c not done the store must be writable"


def test_fault_of_the_run_is_told_in_place_of_those_of_its_tasks() -> None:
    failed = ("task_failed", {"task": "b[0-1]", "fault": "no", "details": ""})
    assert "b[0-1]: no" in text_of(state_of([*NAMED, failed]), 104.0)
    ended = ("run_ended", {"status": "failed", "fault": "b[0-1]: no\nlook there"})
    text = text_of(state_of([*NAMED, failed, ended]), 104.0)
    assert text.count("b[0-1]: no") == 1
    assert text.endswith("look there\n")


def test_tasks_that_are_named_no_more_are_forgotten() -> None:
    again = ("tasks_known", {"tasks": ["c", "b[0-1]"], "titles": {}})
    state = state_of([*NAMED, again])
    assert list(state.tasks) == ["c", "b[0-1]"]
    assert state.tasks["b[0-1]"].title == "cat, dog"


@pytest.mark.parametrize("length", [1, 30, 300])
def test_render_fits_a_terminal_of_80_columns(length: int) -> None:
    name = f"b[{'-'.join(['10'] * length)[:40]}]"
    titles = {name: ", ".join(["cat"] * length), "b[x]": ""}
    progress = ("task_progress", {"task": name, "epoch": 100, "epochs": 100, "accuracy": 0.875})
    story = [NAMED[0], ("tasks_known", {"tasks": [name, "b[x]"], "titles": titles}), progress]
    text = text_of(state_of(story), 104.0, width=80)
    assert "accuracy 0.875" in text
    assert "cat" in text


@pytest.mark.parametrize(
    ("identity", "shown"),
    [
        ("0.0", "view 0, part 0"),
        ("generalist/1.2", "generalist, view 1, part 2"),
        ("active=2/0.0", "active=2, view 0, part 0"),
        ("distilled/temperature=2.0", "distilled/temperature=2.0"),
        ("hard/0", "hard/0"),
    ],
)
def test_shards_are_spelled_out(identity: str, shown: str) -> None:
    tasks = [f"b[{identity}]", "b[other]"]
    running = ("task_progress", {"task": tasks[0], "state": "running"})
    text = text_of(state_of([NAMED[0], ("tasks_known", {"tasks": tasks}), running]), 104.0)
    assert f"\n  {shown}  " in text


def sweeping(width: int) -> list[str]:
    """Return the rows of a sweep's tasks, which begin alike."""
    names = [f"b[distilled/temperature={t:g},alpha=0.7,learning_rate=0.05]" for t in (2, 4)]
    names += [f"b[distilled/temperature=2,alpha=0.7,learning_rate={rate:g}]" for rate in (0.1, 0.2)]
    told = [("task_progress", {"task": name, "epoch": 100, "epochs": 100, "accuracy": 0.875}) for name in names]
    text = text_of(state_of([NAMED[0], ("tasks_known", {"tasks": names}), *told]), 104.0, width=width)
    return [line for line in text.splitlines() if line.startswith("  ")]


def test_names_get_the_columns_of_a_wide_terminal() -> None:
    rows = sweeping(120)
    assert max(map(len, rows)) <= 120
    assert rows[1].startswith("  distilled/temperature=4,alpha=0.7,learning_rate=0.05 ")
    assert "..." not in "".join(rows)


@pytest.mark.parametrize("width", [60, 80])
def test_names_that_are_shortened_keep_what_differs(width: int) -> None:
    rows = sweeping(width)
    assert max(map(len, rows)) <= width
    assert len({row.split()[0] for row in rows}) == 4
    assert [row.split()[0].split("=")[1][0] for row in rows] == ["2", "4", "2", "2"]
    assert [row.split()[0].rpartition("=")[2] for row in rows] == ["0.05", "0.05", "0.1", "0.2"]


def test_long_note_is_cut_before_names_and_times() -> None:
    noted = ("task_progress", {"task": "combined", "doing": "preparing kernels, which are compiled once on a machine"})
    story = [("run_started", {"process": "7", "host": "here", "stages": ["generalist", "combined"]}),
             ("tasks_known", {"tasks": ["generalist", "combined"]}),
             ("task_finished", {"task": "generalist", "seconds": 10.04, "key": "k"}), noted]  # fmt: skip
    text = text_of(state_of(story), 133.0, width=60)
    assert "generalist  done" in text
    assert "10.0 s" in text
    assert re.search(r"combined    running  preparing kernels, \S.*…  for 30 s", text)


def test_task_that_another_run_does_is_shown_with_that_run(tmp_path: Path) -> None:
    awaited = ("task_awaited", {"task": "c", "run": "digits-1"})
    assert "waits" in text_of(state_of([*NAMED, awaited]), 104.0)
    assert "for digits-1" in text_of(state_of([*NAMED, awaited]), 104.0)
    ended = state_of([*NAMED, awaited, ("run_ended", {"status": "interrupted"})])
    assert ended.tasks["c"].state == "stopped"
    with (tmp_path / "out").open("w") as file:
        lines = Lines(Console(file=file, width=200))
        for event, facts in [*NAMED, awaited, awaited]:
            lines({"time": 100.0, "event": event, **facts})
    assert (tmp_path / "out").read_text().count("c: waiting for run digits-1, which does it") == 1


def test_dropped_task_is_shown_and_told_as_a_warning(tmp_path: Path) -> None:
    dropped = ("task_dropped", {"task": "b[2-3]", "fault": "no memory", "details": ""})
    again = ("tasks_known", {"tasks": ["c", "b[0-1]"], "titles": {}})
    done = ("task_finished", {"task": "b[0-1]", "seconds": 2.0, "key": "k"})
    state = state_of([*NAMED, dropped, again, done])
    assert state.tasks["b[2-3]"].state == "dropped"
    text = text_of(state, 104.0)
    assert "done, 1 dropped" in text
    assert "warning: b[2-3] failed, and the run goes on without it: no memory" in text
    with (tmp_path / "out").open("w") as file:
        lines = Lines(Console(file=file, width=200))
        for event, facts in [*NAMED, dropped]:
            lines({"time": 100.0, "event": event, **facts})
    assert "warning: b[2-3] failed, and the run goes on without it: no memory" in (tmp_path / "out").read_text()


def test_start_and_the_time_left_are_shown(tmp_path: Path) -> None:
    foreseen = ("foreseen", {"tasks": {"c": 90.0}, "seconds": 90.0, "n_tasks": 3, "least_bytes": 1000,
                             "most_bytes": 2000, "is_complete": True, "start_seconds": 12.0, "timed_seconds": 90.0,
                             "untimed": [], "cpus": 2})  # fmt: skip
    starting = ("executor_starting", {"reused": 0})
    state = state_of([*NAMED[:2], foreseen, starting])
    assert "starting what computes: 4 s of about 12 s" in text_of(state, 107.0)
    assert "about 1 min 38 s left in all" in text_of(state, 107.0)
    unknown_start = ("foreseen", {**foreseen[1], "start_seconds": None})
    assert "about 1 min 30 s of work left" in text_of(state_of([*NAMED[:2], unknown_start, starting]), 107.0)
    begun = ("task_progress", {"task": "c", "state": "running"})
    text = text_of(state_of([*NAMED[:2], foreseen, starting, begun]), 114.0)
    assert "starting" not in text
    assert "1 min 20 s left" in text
    ready = ("executor_ready", {"nodes": 1, "cpus": 2, "gpus": 0})
    assert "starting" not in text_of(state_of([*NAMED[:2], starting, ready]), 107.0)
    with (tmp_path / "out").open("w") as file:
        lines = Lines(Console(file=file, width=200))
        for event, facts in [*NAMED[:1], ("foreseen", foreseen[1] | {"is_complete": False}), foreseen, foreseen]:
            lines({"time": 100.0, "event": event, **facts})
    told = "3 tasks to do, up to 2.0 kB to write; time: about 1 min 30 s of work on 2 CPUs, and about 12 s to start Ray"
    assert (tmp_path / "out").read_text().count(f"{told}\n") == 1


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"timed_seconds": 4.0, "untimed": ["given"]}, "at least 4 s on 1 CPU; how long given takes is not known yet"),
        (
            {"timed_seconds": 4.0, "untimed": ["fold", "student"], "cpus": None, "start_seconds": None},
            (
                "at least 4 s of work, shared by the cluster, and some seconds to start Ray; "
                "how long fold and student take is not known yet"
            ),
        ),
        ({"timed_seconds": None, "untimed": ["given"]}, "unknown, for no run has done the like"),
    ],
)
def test_first_line_of_a_run_tells_the_time_as_far_as_it_is_known(facts: Mapping[str, Any], told: str) -> None:
    out = io.StringIO()
    event = {
        "time": 100.0,
        "event": "foreseen",
        "n_tasks": 12,
        "least_bytes": 1000,
        "most_bytes": None,
        "seconds": None,
    }
    known = {"tasks": {}, "is_complete": True, "start_seconds": 0, "cpus": 1}
    Lines(Console(file=out, width=200))(event | known | facts)
    assert out.getvalue().endswith(f" s  12 tasks to do, 1.0 kB or more to write; time: {told}\n")


def test_task_that_tells_nothing_shows_how_long_it_has_run() -> None:
    story = [NAMED[0], ("tasks_known", {"tasks": ["c"], "titles": {}}), ("task_progress", {"task": "c"})]
    assert text_of(state_of(story), 125.0).split() == ["c", "running", "for", "23", "s"]


def test_lines_say_once_what_is_prepared(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        lines = Lines(Console(file=file, width=200))
        for time, (task, doing) in enumerate([("a", "preparing"), ("b", "preparing"), ("a", "")]):
            lines({"time": float(time), "event": "task_progress", "task": task, "doing": doing})
    assert [line.split("s  ")[1] for line in (tmp_path / "out").read_text().splitlines()] == ["a: preparing"]

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.events import Events
from pipeline.tracking import Tracking
from pipeline.tracking.contract import Ending
from tests.pipeline.tracking.fakes import Remembering

HISTORY = [{"epoch": n, "loss": 1 / n, "accuracy": 0.5, "nll": 1.0} for n in (1, 2, 3)]


def kept(task: str, key: str) -> Iterable[Mapping[str, Any]]:
    return HISTORY if task.startswith("student") else ()


def tracked() -> tuple[Events, Remembering, Tracking, list[str]]:
    warnings: list[str] = []
    log, tracking = Remembering(), Tracking(kept, warnings.append)
    tracking.add(log)
    return Events(tracking), log, tracking, warnings


def progress(events: Events, epoch: int, task: str = "student[hard]") -> None:
    events.tell("task_progress", task=task, epochs=3, **HISTORY[epoch - 1])


def ended(events: Events, event: str, task: str = "student[hard]") -> None:
    events.tell(event, task=task, key="a1", seconds=2.0, bytes=10, kind="", units=0.0)


def test_epochs_are_told_as_they_are_done() -> None:
    events, log, _, _ = tracked()
    events.tell("tasks_known", tasks=["student[hard]"], titles={"student[hard]": "labels alone"}, undecided=[])
    events.tell("task_progress", task="student[hard]", state="running", node="n")
    progress(events, 1)
    (point,) = log.points
    assert (point.task, point.title, point.epoch) == ("student[hard]", "labels alone", 1)
    assert point.measures == {"loss": 1.0, "accuracy": 0.5, "nll": 1.0}
    assert log.endings == []


def test_epochs_that_no_event_told_of_are_told_from_what_was_kept() -> None:
    events, log, _, _ = tracked()
    progress(events, 2)
    progress(events, 3)
    ended(events, "task_finished")
    assert [point.epoch for point in log.points] == [2, 3, 1]
    assert log.endings == [Ending("student[hard]", "done", "a1", 2.0)]


def test_a_reused_training_is_told_whole() -> None:
    events, log, _, _ = tracked()
    ended(events, "task_reused")
    assert [point.epoch for point in log.points] == [1, 2, 3]
    assert [ending.state for ending in log.endings] == ["reused"]


def test_what_is_no_training_is_not_told() -> None:
    events, log, _, _ = tracked()
    ended(events, "task_finished", "views[0]")
    events.tell("task_failed", task="targets[0-1/0.0]", fault="no", details="")
    assert (log.points, log.endings) == ([], [])


def test_epochs_repeated_after_a_crash_are_told_once() -> None:
    events, log, _, _ = tracked()
    for epoch in (1, 2, 1, 2, 3):
        progress(events, epoch)
    assert [point.epoch for point in log.points] == [1, 2, 3]


def test_a_lost_result_is_told_again() -> None:
    events, log, _, _ = tracked()
    ended(events, "task_reused")
    events.tell("task_lost", task="student[hard]")
    progress(events, 1)
    assert [point.epoch for point in log.points] == [1, 2, 3, 1]


def test_a_failed_training_ends() -> None:
    events, log, _, _ = tracked()
    progress(events, 1)
    events.tell("task_dropped", task="student[hard]", fault="no", details="")
    assert log.endings == [Ending("student[hard]", "dropped")]


def test_what_a_log_could_not_take_is_a_warning_once() -> None:
    events, log, tracking, warnings = tracked()
    log.to_tell = ["the disk is full"]
    progress(events, 1)
    progress(events, 2)
    assert warnings == ["the disk is full"]
    log.to_tell = ["the end is missing"]
    tracking.close("failed")
    assert warnings == ["the disk is full", "the end is missing"]
    assert log.status == "failed"

from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking.contract import Ending, Point, Results
from pipeline.tracking.tensorboard_files import TensorBoard, folder_name
from tests.conftest import Disk

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra `tensorboard`"
)


def read(folder: Path) -> Any:
    return event_accumulator.EventAccumulator(str(folder)).Reload()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in read(folder).Scalars(tag)]


def text(folder: Path, tag: str) -> str:
    (event,) = read(folder).Tensors(tag)
    return str(event.tensor_proto.string_val[0].decode())


def point(epoch: int, task: str = "student[hard]") -> Point:
    return Point(task, "", epoch, {"loss": 1 / epoch, "accuracy": 0.5}, 1e9 + epoch)


def test_curves_results_and_config_are_read_back(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path / "tb", "name: tiny\nseed: 0\n")
    for epoch in (1, 2):
        log.point(point(epoch))
        log.point(point(epoch, "specialist[0-1]"))
    assert scalars(tmp_path / "tb" / "student-hard", "loss") == [(1, 1.0), (2, 0.5)]  # while it goes on
    log.ended(Ending("student[hard]", "done", "a1", 2.0))
    log.results(Results({"student-hard": {"accuracy": 0.9}, "ensemble": {"accuracy": 0.95}}, {}, {}, 2e9))
    log.close("done")
    assert log.news() == []
    assert {path.name for path in (tmp_path / "tb").iterdir() if path.is_dir()} == {
        "student-hard", "specialist-0-1", "ensemble",
    }  # fmt: skip
    assert scalars(tmp_path / "tb" / "specialist-0-1", "accuracy") == [(1, 0.5), (2, 0.5)]
    student = read(tmp_path / "tb" / "student-hard")
    assert student.Scalars("loss")[1].wall_time == 1e9 + 2
    assert [event.value for event in student.Scalars("test/accuracy")] == [pytest.approx(0.9)]
    assert text(tmp_path / "tb", "config") == "    name: tiny\n    seed: 0\n"
    assert text(tmp_path / "tb", "status") == "    done\n"


def test_an_epoch_that_is_told_late_is_not_lost(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path, "")
    for epoch in (2, 3, 1):
        log.point(point(epoch))
    log.close("done")
    assert sorted(step for step, _ in scalars(tmp_path / "student-hard", "loss")) == [1, 2, 3]


def n_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_trainings_leave_no_file_open(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path, "")
    before = n_open()
    for number in range(50):
        log.point(point(1, f"specialist[{number}]"))
        log.ended(Ending(f"specialist[{number}]", "reused"))
    assert n_open() == before
    log.close("done")
    assert n_open() == before - 1


def test_a_place_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        TensorBoard(tmp_path / "file" / "tb", "")


def test_a_full_disk_is_told_once_and_stops_nothing(make_disk: Disk) -> None:
    disk = make_disk("size=64k")
    log = TensorBoard(disk / "tb", "")
    log.point(point(1))
    (disk / "other").write_bytes(bytes(2**16 - len(list(disk.rglob("*"))) * 4096))
    for epoch in range(2, 2000):
        log.point(point(epoch))
    log.ended(Ending("student[hard]", "done"))
    log.close("done")
    (told,) = log.news()
    assert told.startswith(f"{disk}/tb: TensorBoard's event files cannot be written any more: No space left on device")
    assert scalars(disk / "tb" / "student-hard", "loss")[0] == (1, 1.0)


@pytest.mark.parametrize(
    ("task", "name"),
    [("generalist", "generalist"), ("specialist[3-5-8]", "specialist-3-5-8"), ("student[hard/1]", "student-hard-1")],
)
def test_folders_are_named_by_their_training(task: str, name: str) -> None:
    assert folder_name(task) == name

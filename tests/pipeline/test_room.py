from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.forecast import Estimate, Forecast
from pipeline.room import check_disk, free_disk, free_memory, warnings
from pipeline.stage import Task


def forecast(least: int = 3000, most: int | None = 5000, memory: int | None = 1000) -> Forecast:
    tasks = {task.id: task for task in (Task("small"), Task("tables", "0", threads=2), Task("tables", "1", threads=2))}
    of_table = Estimate(1, None, least, most, memory)
    return Forecast(
        tasks, {"small": Estimate(1, 1.0, 0, 0, 10)} | dict.fromkeys(("tables[0]", "tables[1]"), of_table), None, True
    )


def test_disk_that_holds_the_least_is_enough() -> None:
    check_disk(forecast(), "store", 6000)
    check_disk(forecast(), "s3://bucket", None)


def test_disk_that_certainly_cannot_hold_the_results_is_refused() -> None:
    told = r"^store must have room for 6.0 kB, .* at least \(6.0 kB for tables\); got 6.0 kB: free space on"
    with pytest.raises(StoreError, match=told):
        check_disk(forecast(), "store", 5999)


def told(of: Forecast, **room: int | None) -> list[str]:
    return list(warnings(of, "store", **({"disk": None, "memory": None, "cpus": None} | room)))


def test_disk_that_may_not_hold_the_results_is_told() -> None:
    (message,) = told(forecast(), disk=9999)
    assert message.startswith("store has 10 kB free, and the results of this run may take up to 10 kB: ")
    assert told(forecast(), disk=10000) == []
    assert told(forecast(most=None), disk=9999) == []


def test_memory_for_the_tasks_at_once_is_told() -> None:
    (message,) = told(forecast(), memory=1999, cpus=4)
    assert (
        message == "2 tasks of tables at once take about 2.0 kB of memory, and 2.0 kB are free: set ray.cpus to fewer"
    )
    (message,) = told(forecast(), memory=999, cpus=2)
    assert message.startswith("tables takes about 1.0 kB of memory")
    assert told(forecast(), memory=2000, cpus=4) == []
    (message,) = told(forecast(memory=None), memory=1, cpus=4)
    assert message == "small takes about 10 bytes of memory, and 1 bytes are free: other programs may have to end"


def test_free_disk_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    assert (free_disk(str(tmp_path / "not/there")) or 0) > 0
    assert free_disk("s3://bucket/prefix") is None


def test_free_memory_is_the_least_of_the_machine_and_the_control_group(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 100 kB\nMemAvailable:  50 kB\n")
    assert free_memory(tmp_path) == 51200
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) == 51200
    (group / "memory.max").write_text("40000\n")
    (group / "memory.current").write_text("30000\n")
    (group / "memory.stat").write_text("anon 10\ninactive_file 5000\n")
    assert free_memory(tmp_path) == 15000

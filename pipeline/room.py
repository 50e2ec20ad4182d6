"""Whether there is room for what a run will take: on the store's disk, and in this machine's memory."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.amounts import size
from pipeline.errors import RoomError
from pipeline.forecast import Forecast


def free_disk(location: str) -> int | None:
    """Return the bytes that are free where a store is; None for an object store, which tells nobody.

    Args:
        location: A folder, which need not be there yet, or an address.
    """
    if "://" in location:
        return None
    folder = Path(location).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that new processes here can have; None where the system does not tell.

    Args:
        root: Where the kernel's `proc` and `sys` are.
    """
    free = [*_available(root / "proc/meminfo"), *_left_to_group(root / "sys/fs/cgroup")]
    return min(free, default=None)


def _available(meminfo: Path) -> Iterator[int]:
    with suppress(OSError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])


def _left_to_group(folder: Path) -> Iterator[int]:
    # Of version 2 of control groups; in a container this folder is its own group's. What files take is given back.
    with suppress(OSError, ValueError):
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield max(0, limit - used + int(stat.get("inactive_file", 0)))


def check_disk(forecast: Forecast, location: str, free: int | None) -> None:
    """Refuse a run whose results cannot be kept.

    Args:
        forecast: What the run will take.
        location: Where the store is.
        free: Bytes that are free there; None where that is not known.

    Raises:
        RoomError: They certainly cannot; says how much is lacking, and which stage takes most.
    """
    least = forecast.total.least_bytes
    if free is None or least <= free:
        return
    stages = dict.fromkeys(task.stage for task in forecast.tasks.values())
    largest = max(stages, key=lambda stage: forecast.of_stage(stage).least_bytes)
    share = size(forecast.of_stage(largest).least_bytes)
    raise RoomError(
        f"{location} must have room for {size(least)}, which the results of this run take at least"
        f" ({share} for {largest}); got {size(free)}: free space on that filesystem, or name a store elsewhere"
    )


def warnings(
    forecast: Forecast, location: str, *, disk: int | None, memory: int | None, cpus: int | None
) -> Iterator[str]:
    """Yield what may not go well.

    Args:
        forecast: What the run will take.
        location: Where the store is.
        disk: Bytes that are free there.
        memory: Bytes of memory that are free where the tasks run.
        cpus: CPUs that the tasks share. All these are None where not known.
    """
    total = forecast.total
    if disk is not None and total.most_bytes is not None and total.least_bytes <= disk < total.most_bytes:
        yield (
            f"{location} has {size(disk)} free, and the results of this run may take up to {size(total.most_bytes)}:"
            " free space on that filesystem, or name a store elsewhere"
        )
    if memory is None or cpus is None:
        return
    for stage in dict.fromkeys(task.stage for task in forecast.tasks.values()):
        tasks = [task for task in forecast.tasks.values() if task.stage == stage]
        each, at_once = forecast.of_stage(stage).memory, min(len(tasks), max(1, cpus // tasks[0].cpus))
        if each is not None and each * at_once > memory:
            what = f"{at_once} tasks of {stage} at once take" if at_once > 1 else f"{stage} takes"
            yield (
                f"{what} about {size(each * at_once)} of memory, and {size(memory)} are free:"
                + (" set ray.cpus to fewer" if at_once > 1 else " other programs may have to end")
            )

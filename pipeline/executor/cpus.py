"""How many CPUs this process may use: containers and batch systems restrict that in two ways."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of whole CPUs this process may use, one at least.

    Args:
        root: Where the kernel's `proc` and `sys` are.

    Returns:
        The CPUs of its affinity, or those that its control groups pay for where these are fewer.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs that each control group of this process may take, those above it included."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _along(root / "sys/fs/cgroup", path, _version_2)
        elif "cpu" in controllers.split(","):
            yield from _along(root / "sys/fs/cgroup/cpu", path, _version_1)


def _along(mounted: Path, path: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    group = PurePosixPath(path.lstrip("/"))
    for part in (group, *group.parents):
        # Within a container the path may be the host's: then only the group that is mounted at the top is there.
        with suppress(OSError, ValueError):
            quota = read(mounted / part)
            if quota is not None:
                yield quota


def _version_2(group: Path) -> float | None:
    quota, period = (group / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _version_1(group: Path) -> float | None:
    quota = int((group / "cpu.cfs_quota_us").read_text())
    return None if quota < 0 else quota / int((group / "cpu.cfs_period_us").read_text())

"""Names of temporary files that tell who writes them, so that what a killed process left can be deleted."""

import hashlib
import os
import re
import secrets
from pathlib import Path

PROC = Path("/proc")
STALE_SECONDS = 24 * 3600.0
"""After this long without a write, a temporary whose writer cannot be looked up is taken for abandoned."""


def temporary_name(proc: Path = PROC) -> str:
    """Return a file name nobody else uses: host, pid namespace, pid, start time of the process, chance."""
    pid = os.getpid()
    return f"{_host()}_{_pid_space(proc)}_{pid}_{_start(pid, proc) or 0}_{secrets.token_hex(6)}"


def is_abandoned(name: str, idle_seconds: float, proc: Path = PROC) -> bool:
    """Return whether the process that made a temporary is dead, as far as can be known from here.

    Args:
        name: What `temporary_name` returned to that process.
        idle_seconds: Time since the last write to the file.
        proc: Where the kernel tells of processes.
    """
    match name.split("_"):
        case [host, space, pid, start, _] if (host, space) == (_host(), _pid_space(proc)) and start != "0":
            # A pid is used again, a pid together with its start time is not.
            return _start(int(pid), proc) != start
        case _:
            return idle_seconds > STALE_SECONDS


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", os.uname().nodename)


def _pid_space(proc: Path) -> str:
    """Name the boot and the pid namespace: containers share host names, and each counts its own pids."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text()
        space = (proc / "self/ns/pid").readlink()
    except OSError:
        return "unknown"
    return hashlib.sha256(f"{boot}{space}".encode()).hexdigest()[:12]


def _start(pid: int, proc: Path) -> str | None:
    """Return when a process started, in clock ticks since boot; None if it is dead, a zombie, or not told."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]

"""The faults that `benchmarks.chaos` strikes runs with."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

RECOVER = 180.0
"""Seconds in which a run that was disturbed must come to an end by itself, well or not."""


@dataclass(frozen=True)
class Target:
    """A run that goes on, and what it writes to."""

    process: "subprocess.Popen[bytes]"
    disk: Path
    draw: random.Random

    def is_alive(self) -> bool:
        """Return whether it still goes on."""
        return self.process.poll() is None

    def descendants(self, *names: str) -> list[psutil.Process]:
        """Return its processes whose command line begins with one of these names."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    command = process.cmdline() or [""]
                    if Path(command[0]).name.startswith(names) or command[0].startswith(names):
                        found.append(process)
        return found

    def kill_one(self, *names: str) -> str | None:
        """Kill one of the processes of these names, as soon as there is one, and return its name."""
        while self.is_alive():
            found = self.descendants(*names)
            with suppress(psutil.NoSuchProcess):  # it has just ended
                if found:
                    chosen = self.draw.choice(found)
                    name = Path((chosen.cmdline() or [chosen.name()])[0]).name
                    chosen.kill()
                    return name
            time.sleep(0.05)
        return None


def kill_driver(target: Target) -> str | None:
    target.process.kill()
    return "driver" if target.process.wait() == -signal.SIGKILL else None


def kill_worker(target: Target) -> str | None:
    stages = ("data", "views", "generalist", "confusion", "subsets", "specialist", "targets", "combined", "student")
    return target.kill_one(*(f"ray::{stage}" for stage in stages), "ray::IDLE")


def kill_raylet(target: Target) -> str | None:
    return target.kill_one("raylet")


def terminate(target: Target) -> str | None:
    was_alive = target.is_alive()
    target.process.terminate()
    return "driver" if was_alive else None


def interrupt(target: Target) -> str | None:
    was_alive = target.is_alive()
    # As a terminal does it: to everything that the run has started.
    with suppress(ProcessLookupError):
        os.killpg(target.process.pid, signal.SIGINT)
    return "driver and all that it has started" if was_alive else None


def fill_disk(target: Target) -> str | None:
    """Leave no byte on the store's disk until the run has ended."""
    if not target.is_alive():
        return None
    filler = target.disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    was_alive = target.is_alive()
    ended(target.process, RECOVER)
    filler.unlink()
    return "disk" if was_alive else None


def stop_writing(target: Target) -> str | None:
    """Make the store's disk read-only for ten seconds."""
    if not target.is_alive():
        return None
    remount = ["mount", "-o", "remount,ro", str(target.disk)]
    # Refused while a file on it is open for writing.
    while subprocess.run(remount, capture_output=True, check=False).returncode:
        if not target.is_alive():
            return None
    was_alive = target.is_alive()
    ended(target.process, 10)
    subprocess.run(["mount", "-o", "remount,rw", str(target.disk)], check=True)
    return "disk" if was_alive else None


FAULTS: dict[str, Callable[[Target], str | None]] = {
    "driver killed": kill_driver,
    "worker killed": kill_worker,
    "raylet killed": kill_raylet,
    "SIGTERM": terminate,
    "Ctrl-C": interrupt,
    "full disk": fill_disk,
    "read-only disk": stop_writing,
}
"""Each strikes a run, and returns what it struck; None where the run was over, or had nothing of the kind any more."""


def ended(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Return the exit code of a process; None if it goes on after so many seconds."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None

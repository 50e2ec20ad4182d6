"""What a fault leaves: one at a random moment of each run, then a plain run, compared with one that nobody disturbed.

    python -m benchmarks.chaos [--times 50] [--seed 0] [--only FAULT]

Each time a new store, on a small disk of its own, a fault drawn from FAULTS at a moment drawn over the whole of a run,
and after that the same command again. That one must end well, and equal the undisturbed run in every accuracy and NLL
and in the content of every result, weights and tables included. What it must not leave is a damaged file in the store,
a temporary older than itself, or a process: those of both runs are known by a word in their environment.

Only runs that were struck count: one that was over by that moment, or had no worker left to kill, is done once more
with another moment, and told as missed.

Needs root, to mount the disk: file modes do not stop root from writing.
"""

import argparse
import os
import random
import secrets
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness
from pipeline.store import Store, verify

CONFIG = harness.ROOT / "pipeline.yaml"
SMALL = ("--set=generalist.epochs=6", "--set=specialists.epochs=6", "--set=student.epochs=12", "--set=data.views=2")
DISK_BYTES = 256 * 2**20
MARK = "PIPELINE_CHAOS"
"""Name of the variable by which the processes of a trial are known."""

LINGER = 30.0
"""Seconds in which all processes must be gone."""

RECOVER = 180.0
"""Seconds in which a run that was disturbed must come to an end by itself, well or not."""

MOST_MISSES = 20
"""Runs in a row that may be over before a fault strikes; of more, the moments cannot be right."""


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
    _ended(target.process, RECOVER)
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
    _ended(target.process, 10)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FAULTS)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    faults = _dealt([options.only] if options.only else list(FAULTS), options.times, draw)
    command = [str(CONFIG), *SMALL]
    with disk() as folder:
        started = time.monotonic()
        undisturbed(command, folder)
        whole = time.monotonic() - started
        expected = outcome(folder)
    print(f"undisturbed: {whole:.1f} s, {len(expected['contents'])} results")
    trials = []
    for name in faults:
        trials.append(trial(command, name, whole, expected, draw))
        print(f"{len(trials):3}  {trials[-1]}", flush=True)
    harness.write(
        "chaos", {"seed": options.seed, "undisturbed_seconds": round(whole, 1), **summary(trials), "trials": trials}
    )


def trial(
    command: Sequence[str], name: str, whole: float, expected: dict[str, Any], draw: random.Random
) -> dict[str, Any]:
    """Disturb a run, do a plain one, and return what was found; other moments are drawn until one strikes a run.

    Args:
        command: The config, and options of `run`.
        name: The fault.
        whole: How long a run takes, in seconds: its moment is drawn from that.
        expected: The outcome of an undisturbed run.
        draw: What chooses moments, and among processes.
    """
    for n_missed in range(MOST_MISSES):
        found = attempt(command, name, draw.uniform(0.0, whole), expected, draw)
        if found:
            return found | {"missed": n_missed}
    raise SystemExit(
        f"{name} must strike one of {MOST_MISSES} runs; got none: runs take less than {whole:.1f} s by far"
    )


def attempt(
    command: Sequence[str], name: str, moment: float, expected: dict[str, Any], draw: random.Random
) -> dict[str, Any] | None:
    """Disturb a run at a moment, do a plain one, and return what was found; None where it struck nothing."""
    mark = secrets.token_hex(8)
    with disk() as folder:
        process = start(command, folder, mark)
        is_over = _ended(process, moment) is not None
        struck = None if is_over else FAULTS[name](Target(process, folder / "store", draw))
        if struck is None:
            process.wait()
            return None
        code = _ended(process, RECOVER)
        if code is None:
            process.kill()
        faults = verify(Store.open(str(folder / "store")))
        started = time.time()
        again = start(command, folder, mark)
        code_again = again.wait()
        ended = time.monotonic()
        equal = code_again == 0 and outcome(folder) == expected
        older = left_over(folder, {process.pid, again.pid}, started)
        lingered = _gone_after(mark, ended)
    return {
        "fault": name,
        "struck": struck,
        "after_seconds": round(moment, 1),
        "exit_code": code,
        "exit_code_again": code_again,
        "damaged": [fault.path for fault in faults],
        "equal": equal,
        "temporaries": older,
        "processes_gone_after": lingered,
    }


def is_well(found: dict[str, Any]) -> bool:
    """Return whether a trial found all as it should be."""
    whole = found["equal"] and found["exit_code"] is not None
    return whole and not found["damaged"] and not found["temporaries"] and found["processes_gone_after"] is not None


def summary(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return, and print, how many trials of each fault went well, and how many runs ended well in spite of it.

    All of them struck a run; those that were missed before are told, and count for nothing.
    """
    rows = [["fault", "trials", "well in the end", "the disturbed run itself ended well"]]
    for name, n in Counter(found["fault"] for found in trials).items():
        of_kind = [found for found in trials if found["fault"] == name]
        endured = sum(found["exit_code"] == 0 for found in of_kind)
        rows.append([name, str(n), str(sum(map(is_well, of_kind))), str(endured)])
    harness.print_table(rows)
    n_well, n_missed = sum(map(is_well, trials)), sum(found["missed"] for found in trials)
    print(f"{n_well} of {len(trials)} trials went well in the end; {n_missed} more runs were over before the fault")
    return {"well": n_well, "of": len(trials), "missed": n_missed}


@contextmanager
def disk() -> Iterator[Path]:
    """Yield a folder whose `store` is a small disk of its own."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        store = Path(folder, "store")
        store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(store)], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(store)], check=True)


def start(command: Sequence[str], folder: Path, mark: str) -> "subprocess.Popen[bytes]":
    """Start a run in a session of its own, marked."""
    config, *options = command
    return subprocess.Popen(
        harness.command(Path(config), folder, *options),
        cwd=harness.ROOT, env=os.environ | {MARK: mark}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def undisturbed(command: Sequence[str], folder: Path) -> None:
    """Do a run to its end."""
    if start(command, folder, secrets.token_hex(8)).wait() != 0:
        raise SystemExit("the undisturbed run must end well; got a fault: run its command to see which")


def outcome(folder: Path) -> dict[str, Any]:
    """Return what must be equal to that of an undisturbed run."""
    return harness.outcome(harness.newest_results(folder), folder)


def left_over(folder: Path, drivers: Collection[int], since: float) -> list[str]:
    """Return the temporaries older than a moment, of the store, the runs and Ray."""
    paths = [
        *(folder / "store/temporary").glob("*"),
        *(folder / "runs").rglob(".*"),
        *(path for pid in drivers for path in Path(tempfile.gettempdir()).glob(f"pipeline-{pid}-*")),
    ]
    return [str(path) for path in paths if path.lstat().st_mtime < since]


def marked(mark: str) -> list[str]:
    """Return the names of the processes that a trial has started and that are alive."""
    names = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it ended meanwhile, or is a zombie, which has no environment
            if process.environ().get(MARK) == mark:
                names.append(process.name())
    return names


def _gone_after(mark: str, ended: float) -> float | None:
    """Return how many seconds after the end of a trial all its processes are gone; None if they linger."""
    while marked(mark):
        if time.monotonic() - ended > LINGER:
            print(f"still there: {marked(mark)}")
            return None
        time.sleep(0.5)
    return round(time.monotonic() - ended, 1)


def _ended(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Return the exit code of a process; None if it goes on after so many seconds."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _dealt(names: Sequence[str], times: int, draw: random.Random) -> list[str]:
    """Return so many faults in random order, of each about equally many."""
    faults = [names[i % len(names)] for i in range(times)]
    draw.shuffle(faults)
    return faults


if __name__ == "__main__":
    main()

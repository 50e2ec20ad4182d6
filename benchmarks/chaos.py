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
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness
from benchmarks.faults import FAULTS, RECOVER, Target, ended
from pipeline.store import Store, verify

CONFIG = harness.ROOT / "pipeline.yaml"
SMALL = ("--set=generalist.epochs=6", "--set=specialists.epochs=6", "--set=student.epochs=12", "--set=data.views=2")
DISK_BYTES = 256 * 2**20
MARK = "PIPELINE_CHAOS"
"""Name of the variable by which the processes of a trial are known."""

LINGER = 30.0
"""Seconds in which all processes must be gone."""

MOST_MISSES = 20
"""Runs in a row that may be over before a fault strikes; of more, the moments cannot be right."""


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
        is_over = ended(process, moment) is not None
        struck = None if is_over else FAULTS[name](Target(process, folder / "store", draw))
        if struck is None:
            process.wait()
            return None
        code = ended(process, RECOVER)
        if code is None:
            process.kill()
        faults = verify(Store.open(str(folder / "store")))
        started = time.time()
        again = start(command, folder, mark)
        code_again = again.wait()
        end = time.monotonic()
        equal = code_again == 0 and outcome(folder) == expected
        older = left_over(folder, {process.pid, again.pid}, started)
        lingered = _gone_after(mark, end)
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


def _dealt(names: Sequence[str], times: int, draw: random.Random) -> list[str]:
    """Return so many faults in random order, of each about equally many."""
    faults = [names[i % len(names)] for i in range(times)]
    draw.shuffle(faults)
    return faults


if __name__ == "__main__":
    main()

"""Stages without learning: `base` makes numbers, `parts` adds to each, `total` sums, `page` tells.

And `ORDERED`, whose tasks do what a test orders, wherever they run.
"""

import errno
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from pipeline.stage import Artifact, Facts, RunSummary, Stage, Task, Work
from tests.waiting import PATIENCE, wait_until

STAGES = (
    Stage("base", "tests.pipeline.fakes:make_base", "tests.pipeline.fakes:base"),
    Stage("parts", "tests.pipeline.fakes:make_part", "tests.pipeline.fakes:parts", decided_by=("base",)),
    Stage("total", "tests.pipeline.fakes:make_total", "tests.pipeline.fakes:total", decided_by=("base",)),
    Stage("page", "tests.pipeline.fakes:write_page", "tests.pipeline.fakes:page", kept=False),
)


class Parameters(BaseModel):
    numbers: tuple[int, ...] = (1, 2, 3)
    add: int = 10
    fail_on: int | None = None
    fail_page: bool = False


@dataclass
class Calls:
    """What was really computed in this process."""

    made: list[str]


CALLS = Calls([])


def base(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [Task("base", parameters={"numbers": parameters.numbers})]


def parts(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [
        Task(
            "parts",
            str(number),
            inputs={"base": "base"},
            parameters={"number": number, "parts.add": parameters.add, "fail": number == parameters.fail_on},
        )
        for number in known["base"]["numbers"]
    ]


def total(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    dropped = known.get("dropped", {}).get("tasks", ())
    parts = [f"parts[{number}]" for number in known["base"]["numbers"]]
    return [Task("total", inputs={"parts": [name for name in parts if name not in dropped]})]


def page(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [Task("page", inputs={"total": "total"}, settings={"fail": parameters.fail_page})]


def make_base(*, numbers: Sequence[int], work: Work) -> Artifact:
    CALLS.made.append("base")
    return Artifact({"numbers": np.array(numbers)}, {"numbers": list(numbers)})


def make_part(*, base: Artifact, number: int, add: int, fail: bool, work: Work) -> Artifact:
    CALLS.made.append(f"parts[{number}]")
    if fail:
        msg = f"the number must not be {number}"
        raise ValueError(msg)
    work.progress({"epoch": 1, "epochs": 1})
    return Artifact({"sum": base.arrays["numbers"].sum(keepdims=True) * number + add}, {"seed": work.seed})


def make_total(*, parts: Sequence[Artifact], work: Work) -> Artifact:
    CALLS.made.append("total")
    return Artifact(facts={"total": int(sum(part.arrays["sum"].item() for part in parts))})


def write_page(*, total: Artifact, fail: bool, run: RunSummary) -> dict[str, bytes]:
    if fail:
        raise KeyError("colour")
    return {"page.txt": f"{total.facts['total']} reused {len(run.reused)}".encode()}


ORDERED = Stage("ordered", "tests.pipeline.fakes:obey", "tests.pipeline.fakes:no_tasks")


def obey(*, order: str, argument: str, work: Work) -> Artifact:
    return ORDERS[order](argument, work)


def meet(folder: str, work: Work) -> Artifact:
    """Wait until two tasks have come to a folder."""
    Path(folder, str(os.getpid())).touch()
    wait_until(lambda: len(list(Path(folder).iterdir())) >= 2, "a second task must come")
    return Artifact(facts={"process": os.getpid()})


def tell(message: str, work: Work) -> Artifact:
    work.progress({"message": message, "threads": work.threads})
    return Artifact(facts={"message": message})


def fail(message: str, work: Work) -> Artifact:
    raise ValueError(message)


def die(often: str, work: Work) -> Artifact:
    """Kill the process, as often as `N in FILE` says."""
    times, _, path = often.partition(" in ")
    lives = Path(path)
    lived = int(lives.read_text()) if lives.exists() else 0
    lives.write_text(str(lived + 1))
    if lived < int(times):
        os.kill(os.getpid(), signal.SIGKILL)
    return Artifact(facts={"lives": lived + 1})


def prepare(seconds: str, work: Work) -> Artifact:
    with work.preparing(f"waiting {seconds} s"):
        time.sleep(float(seconds))
    return Artifact()


def warn(message: str, work: Work) -> Artifact:
    work.warn(message)
    return Artifact()


def go_on(until: str, work: Work) -> Artifact:
    """Count up to what is ordered from what was counted before, keeping every number; fail at multiples of 3."""
    kept = work.checkpoint.load()
    first = kept.facts["counted"] if kept else 0
    for number in range(first + 1, int(until) + 1):
        work.checkpoint.save({"number": np.array(number)}, {"counted": number}, position=number)
        if number % 3 == 0:
            msg = f"the count must not be {number}"
            raise ValueError(msg)
    return Artifact(facts={"first": first})


def falter(often: str, work: Work) -> Artifact:
    """Fail as a disk does, as often as `N in FILE` says."""
    times, _, path = often.partition(" in ")
    with Path(path).open("a") as tries:
        tries.write("x")
    if Path(path).stat().st_size <= int(times):
        raise OSError(errno.EIO, "Input/output error")
    return Artifact(facts={"tries": Path(path).stat().st_size})


def gather(folder: str, work: Work) -> Artifact:
    """Have every worker of a team leave what it knows of the others; the first waits for that, and may be told when."""
    team, files = work.team, Path(folder)
    place = team.meet("somewhere" if team.rank == 0 else "")
    work.progress({"rank": team.rank})
    work.warn(f"{team.rank}" if team.rank else "again")
    work.warn("again")
    left = files / f"{team.rank}.new"
    left.write_text(f"{place} {team.host} {os.getpid()}")
    left.rename(files / str(team.rank))
    wait_until(
        lambda: team.rank or all((files / str(rank)).exists() for rank in range(team.size)), "all must leave their file"
    )
    return Artifact(facts={"size": team.size, "rank": team.rank})


def fail_second(message: str, work: Work) -> Artifact:
    """Fail in the second worker, and wait in the first for as long as anybody waits for the outcome."""
    if work.team.rank == 1:
        raise ValueError(message)
    time.sleep(5 * PATIENCE)  # longer than whoever sees to it that this is ended
    return Artifact()


def kill_second(often: str, work: Work) -> Artifact:
    """Kill the second worker, as often as `N in FILE` says; the first fails when it misses it, and checkpoints."""
    times, _, path = often.partition(" in ")
    deaths = Path(path)
    died = len(deaths.read_text()) if deaths.exists() else 0
    kept = work.checkpoint.load()
    if work.team.rank == 0:
        work.checkpoint.save({"number": np.array(died)}, {"died": died}, position=died + 1)
    work.team.meet("here" if work.team.rank == 0 else "")
    if died == int(times):
        return Artifact(facts={"died": died, "kept": kept.facts["died"] if kept else None})
    if work.team.rank == 1:
        with deaths.open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    wait_until(lambda: deaths.exists() and len(deaths.read_text()) > died, "the second must die")
    rule = "the other must stay in touch"
    raise ConnectionError(rule)


def train_together(folder: str, work: Work) -> Artifact:
    """Be together as trainings are, until a file `go` is there."""
    from stages.learning.meeting import joined  # noqa: PLC0415

    with joined(work.team) as ranks:
        Path(folder, f"{ranks.rank} of {ranks.size}").touch()
        wait_until(Path(folder, "go").exists, "a file `go` must come")
        return Artifact(facts={"told": ranks.of_first(lambda: ranks.size)})


ORDERS = {
    "meet": meet,
    "tell": tell,
    "fail": fail,
    "die": die,
    "warn": warn,
    "prepare": prepare,
    "go on": go_on,
    "falter": falter,
    "gather": gather,
    "fail second": fail_second,
    "kill second": kill_second,
    "train together": train_together,
}

"""What runs in Ray's workers."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipeline.executor.connecting import got, this_address, this_node
from pipeline.stage import Json, Team
from pipeline.worker import ALONE, Job, Outcome, assist, perform

Letter = tuple[str, int, Mapping[str, Json]]
"""A task's id, the number of its start, and what it reports."""


MEETING_SECONDS = 600.0
"""How long the workers of a task wait to be told where the first one is; importing and reading inputs come before."""


class Mailbox:
    """A Ray actor in which tasks leave what the driver shows, or one another; losing it loses no result."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._places: dict[str, str] = {}

    def post(self, letter: Letter) -> None:
        """Leave a letter."""
        self._letters.append(letter)

    def take(self) -> list[Letter]:
        """Return the letters, and forget them."""
        letters, self._letters = self._letters, []
        return letters

    def leave(self, name: str, place: str) -> None:
        """Say where something is."""
        self._places[name] = place

    def find(self, name: str) -> str:
        """Return where it is, or nothing as long as that has not been said."""
        return self._places.get(name, "")


def perform_and_post(job: Job, number: int, mailbox: Any, rank: int = 0) -> Outcome:
    """Do a job in a Ray worker, reporting to a mailbox, by the handle of its actor.

    Args:
        job: The job.
        number: Of its start; no other has it.
        mailbox: The handle.
        rank: Which of the job's workers this is.
    """
    end_with_parent()
    team = ALONE
    if job.task.workers > 1:
        meet = partial(meet_in, mailbox, f"{job.task.id}/{number}")
        team = Team(rank, job.task.workers, this_address(), meet)
    if rank == 0:
        return perform_with_letters(job, number, mailbox.post.remote, this_node(), team)
    mailbox.post.remote((job.task.id, number, {"worker": rank, "node": this_node()}))
    return assist(job, team)


def meet_in(mailbox: Any, name: str, place: str) -> str:
    """Leave a place in a mailbox under a name; without one, wait for it and return it.

    Raises:
        TimeoutError: Nobody has left any.
    """
    if place:
        got(mailbox.leave.remote(name, place))
        return place
    until = time.monotonic() + MEETING_SECONDS
    while not (found := str(got(mailbox.find.remote(name)))):
        if time.monotonic() > until:
            rule = f"the first worker of {name} must say where it is within {MEETING_SECONDS:.0f} s"
            raise TimeoutError(f"{rule}; got nothing")
        time.sleep(0.05)
    return found


def perform_with_letters(
    job: Job, number: int, post: Callable[[Letter], object], node: str, team: Team = ALONE
) -> Outcome:
    """Do a job, and report how far it is.

    Args:
        job: The job.
        number: Of its start; no other has it.
        post: Takes the letters; the first says on which node it is done.
        node: Ray's id of that node.
        team: The job's workers, of which this is the first.
    """

    def progress(facts: Mapping[str, Json]) -> None:
        post((job.task.id, number, {**facts, "node": node} if "state" in facts else facts))

    return perform(job, progress, team)


def end_with_parent() -> None:
    """End this process when the raylet that started it dies: Ray lets the task run to its end, for nobody."""
    name = "end with parent"
    if not any(thread.name == name for thread in threading.enumerate()):
        threading.Thread(target=_watch, args=(os.getppid(),), name=name, daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

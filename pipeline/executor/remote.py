"""What runs in Ray's workers."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.executor.connecting import this_node
from pipeline.stage import Json
from pipeline.worker import Job, Outcome, perform

Letter = tuple[str, int, Mapping[str, Json]]
"""A task's id, how often it was started, and what it reports."""


class Mailbox:
    """A Ray actor in which tasks leave what the driver shows; losing it loses no result."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []

    def post(self, letter: Letter) -> None:
        """Leave a letter."""
        self._letters.append(letter)

    def take(self) -> list[Letter]:
        """Return the letters, and forget them."""
        letters, self._letters = self._letters, []
        return letters


def perform_and_post(job: Job, number: int, mailbox: Any) -> Outcome:
    """Do a job in a Ray worker, reporting to a mailbox, by the handle of its actor."""
    end_with_parent()
    return perform_with_letters(job, number, mailbox.post.remote, this_node())


def perform_with_letters(job: Job, number: int, post: Callable[[Letter], object], node: str) -> Outcome:
    """Do a job, and report how far it is.

    Args:
        job: The job.
        number: How often it was started.
        post: Takes the letters; the first says on which node it is done.
        node: Ray's id of that node.
    """

    def progress(facts: Mapping[str, Json]) -> None:
        post((job.task.id, number, {**facts, "node": node} if "state" in facts else facts))

    return perform(job, progress)


def end_with_parent() -> None:
    """End this process when the raylet that started it dies: Ray lets the task run to its end, for nobody."""
    name = "end with parent"
    if not any(thread.name == name for thread in threading.enumerate()):
        threading.Thread(target=_watch, args=(os.getppid(),), name=name, daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

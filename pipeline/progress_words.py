"""What is said of a task in every table."""

import re
from collections.abc import Sequence

from pipeline.amounts import rough_duration
from pipeline.counted import counted, in_words
from pipeline.events import RunState, TaskState
from pipeline.remaining import task_seconds_left


def reported(task: TaskState) -> list[str]:
    """Return what a task reported of itself, such as `epoch 3/20` and `accuracy 0.875` on the holdout."""
    told = task.reported
    words = [str(told["doing"])] if told.get("doing") else []
    words += [f"epoch {told['epoch']}/{told['epochs']}"] if "epochs" in told else []
    # Not the loss: it is on another scale for every temperature.
    return words + ([f"accuracy {told['accuracy']:.3f}"] if "accuracy" in told else [])


def resumed(name: str, task: TaskState) -> str:
    """Return that a task goes on from what an earlier run, or try, has left of it; nothing of one that began anew."""
    if not task.reported.get("resumed"):
        return ""
    return f"{name}: goes on from a checkpoint, after {rough_duration(task.reported['resumed'])} of work before"


def time_left(state: RunState, name: str, now: float) -> str:
    """Return how long a task that runs will go on; of one of which that is not known, how long it has."""
    left = task_seconds_left(state, name, now)
    if left is None:
        return f"for {rough_duration(now - state.tasks[name].started)}"
    return f"{rough_duration(left)} left" if left >= 1 else ""


def takes(
    seconds: float | None, start: float | None, *, cpus: int | None, untimed: Sequence[str], is_complete: bool
) -> str:
    """Return how long a run will take, as far as that is known, and of which stages it is not.

    Args:
        seconds: For the work of which it is known; None where it is of none.
        start: Until it can be begun; 0 where nothing has to be started, None where that is not known.
        cpus: That do it; None for those of a cluster.
        untimed: The stages of which it is not known.
        is_complete: Whether all tasks are decided.
    """
    if seconds is None:
        return "unknown, for no run has done the like"
    missing = []
    if untimed:
        missing.append(f"how long {in_words(untimed)} {'takes' if len(untimed) == 1 else 'take'} is not known yet")
    if not is_complete:
        missing.append("tasks that are not decided yet are not in it")
    work = f"{'at least' if missing else 'about'} {rough_duration(seconds)}"
    where = ", shared by the cluster" if cpus is None else f" on {counted(cpus, 'CPU')}"
    until = "some seconds" if start is None else f"about {rough_duration(start)}"
    whole = f"{work}{where}" if start == 0 else f"{work} of work{where}, and {until} to start Ray"
    return "; ".join([whole, *filter(None, [", and ".join(missing)])])


def says_more(title: str, name: str) -> bool:
    """Return whether a task's title says more than its name: classes may be named by their ids."""
    return title not in {"", name.partition("[")[2].removesuffix("]").replace("-", ", ")}


_SHARD = re.compile(r"(?:^|(?<=/))(\d+)\.(\d+)$")
"""Ends the identity of what is done shard by shard: the view, and which part of its rows."""


def spelled(identity: str) -> str:
    """Return what sets a task apart as people read it: `0-1, view 0, part 2` for `0-1/0.2`: both counted from 0."""
    shard = _SHARD.search(identity)
    if shard is None:
        return identity
    teacher = identity[: shard.start()].removesuffix("/")
    return ", ".join(filter(None, (teacher, f"view {shard[1]}", f"part {shard[2]}")))

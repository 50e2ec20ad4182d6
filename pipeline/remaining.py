"""How long what runs will go on: by the epochs that tasks report, and by what was foreseen for the others."""

from pipeline.events import RunState, TaskState

_OVER = {"done", "reused", "dropped", "failed"}

_STARTING = 30.0
"""Seconds that a task may have taken to start, before its first epoch: one that ends within them tells nothing."""


def seconds_left(state: RunState, now: float) -> float | None:
    """Return how long a run will go on; None where not all of its tasks could be timed.

    The work that is left is done as side by side as all of it was foreseen to be, and lasts no less than the longest
    task that runs. Before it, what is left of the start.

    Args:
        state: What is known of the run.
        now: The time, in seconds since the epoch.
    """
    if state.foreseen_seconds is None or state.status != "running":
        return None
    left = {name: _left(state.tasks.get(name), seconds, now) or 0.0 for name, seconds in state.foreseen.items()}
    work = sum(state.foreseen.values())
    running = [left[name] for name, task in state.tasks.items() if task.state == "running" and name in left]
    side_by_side = state.foreseen_seconds / work if work else 0.0
    return _start_left(state, now) + max([sum(left.values()) * side_by_side, *running])


def _start_left(state: RunState, now: float) -> float:
    """Return how long it will take until tasks are worked on: nothing where one is done, or nothing is known."""
    if state.foreseen_start is None or any(task.state == "done" for task in state.tasks.values()):
        return 0.0
    return max(0.0, state.foreseen_start - (now - state.start_began if state.start_began else 0.0))


def task_seconds_left(state: RunState, name: str, now: float) -> float | None:
    """Return how long a task that runs will go on; None where nothing tells."""
    return _left(state.tasks[name], state.foreseen.get(name), now)


def _left(task: TaskState | None, foreseen: float | None, now: float) -> float | None:
    if task is not None and task.state in _OVER:
        return 0.0
    if task is None or task.state != "running":
        return foreseen
    before = float(task.reported.get("resumed", 0.0))
    elapsed = now - task.started + before
    done, since = float(task.reported.get("epoch", 0)), task.first_epoch
    if since is not None:
        wanted = float(task.reported["epochs"]) - done
        if done > since.epoch:
            return (now - since.time) * wanted / (done - since.epoch)
        if done and (before or elapsed > _STARTING or not wanted):
            return elapsed * wanted / done
    return None if foreseen is None else max(0.0, foreseen - elapsed)

"""How long what runs will go on: by the epochs that tasks report, and by what was foreseen for the others."""

from pipeline.events import RunState, TaskState

_OVER = {"done", "reused", "dropped", "failed"}


def seconds_left(state: RunState, now: float) -> float | None:
    """Return how long a run will go on; None where not all of its tasks could be timed.

    The work that is left is done as side by side as all of it was foreseen to be, and lasts no less than the longest
    task that runs.

    Args:
        state: What is known of the run.
        now: The time, in seconds since the epoch.
    """
    if state.foreseen_seconds is None or state.status != "running":
        return None
    left = {name: _left(state.tasks.get(name), seconds, now) for name, seconds in state.foreseen.items()}
    work = sum(state.foreseen.values())
    running = [left[name] for name, task in state.tasks.items() if task.state == "running" and name in left]
    side_by_side = state.foreseen_seconds / work if work else 0.0
    return max([sum(left.values()) * side_by_side, *running])


def task_seconds_left(state: RunState, name: str, now: float) -> float | None:
    """Return how long a task that runs will go on; None where nothing tells."""
    task = state.tasks[name]
    if "epochs" not in task.reported and name not in state.foreseen:
        return None
    return _left(task, state.foreseen.get(name), now)


def _left(task: TaskState | None, foreseen: float | None, now: float) -> float:
    if task is not None and task.state in _OVER:
        return 0.0
    if task is None or task.state != "running":
        return foreseen or 0.0
    elapsed = now - task.started + float(task.reported.get("resumed", 0.0))
    done = float(task.reported.get("epoch", 0))
    if done:
        return elapsed * (float(task.reported["epochs"]) - done) / done
    return max(0.0, (foreseen or 0.0) - elapsed)

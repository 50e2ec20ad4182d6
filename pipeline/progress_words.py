"""What is said of a task in every table."""

from pipeline.amounts import rough_duration
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


def takes(seconds: float, start: float | None, where: str = "", *, bound: str = "about") -> str:
    """Return how long a run will take.

    Args:
        seconds: For the work.
        start: Until it can be begun; 0 where nothing has to be started, None where that is not known.
        where: What is said of where it is done.
        bound: What is said of the time: `about`, or `at least` where more is to be done than that.
    """
    if start == 0:
        return f"{bound} {rough_duration(seconds)}{where}"
    until = "some seconds" if start is None else f"about {rough_duration(start)}"
    return f"{bound} {rough_duration(seconds)} of work{where}, and {until} to start Ray"


def says_more(title: str, name: str) -> bool:
    """Return whether a task's title says more than its name: classes may be named by their ids."""
    return title not in {"", name.partition("[")[2].removesuffix("]").replace("-", ", ")}

"""`load_student`: the student of a finished run, for use from Python; the run is named as commands name it."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.cli import kept
from pipeline.runs import EVENTS

if TYPE_CHECKING:
    from stages.inference import Classifier


def load_student(
    run: str | Path, name: Literal["student", "refit"] = "student", *, runs: str | Path = "runs"
) -> "Classifier":
    """Load the distilled student of a run.

    Args:
        run: As the commands take it: the run's folder, the folder's name, or the run's name, of which the newest that
            reached its end is meant; or any folder that holds `student.json` and `student.safetensors`.
        name: With `refit` the one that was trained once more, of `refit.json` and `refit.safetensors`.
        runs: The folder that holds the runs, for where one is given by name.

    Returns:
        The student, on a GPU where there is one.

    Raises:
        ConfigError: There is no such run or student, or the run has not reached its end.
        StageError: The student's weights are not there, or what is there is not of a student; or its network cannot be
            made again, such as one of a function whose module has changed or is not there.
    """
    folder = _folder(Path(run), f"{name}.json", Path(runs))
    from stages.inference import student_in  # noqa: PLC0415  # brings torch: not before there is something to load

    return student_in(folder, name)


def _folder(run: Path, description: str, runs: Path) -> Path:
    """Return the folder with a student that is meant."""
    if (run / description).is_file():
        return run
    return kept.find(runs, str(run), lacking=f"{EVENTS} or {description}", option="runs=").ended_folder()

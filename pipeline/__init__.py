"""Orchestration: what runs, where, and what is kept. No maths, no model, no data set.

For use from Python there are `load_student`, which loads the student of a finished run, `SoftTargets`, which opens a
soft-target table of one, and `combine`, which combines teachers' probabilities.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.cli.student import load_student
    from specialists.combine import combine
    from stages.soft_targets import SoftTargets

__all__ = ["SoftTargets", "combine", "load_student"]

_PUBLIC = {
    "SoftTargets": "stages.soft_targets:SoftTargets",
    "combine": "specialists.combine:combine",
    "load_student": "pipeline.cli.student:load_student",
}


def __getattr__(name: str) -> Any:
    # Late: importing a part of this package must import neither torch nor the packages above it.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.stage import imported  # noqa: PLC0415

    return imported(_PUBLIC[name])

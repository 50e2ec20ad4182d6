"""Which stages the command line asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.cli.compose import STAGE_NAMES, stages_named
from pipeline.errors import ConfigError
from pipeline.runner import Scope
from stages.tasks import refit

DATA = "data"
"""The stage that reads the source."""


@dataclass(frozen=True)
class Selection:
    """Which stages the command line asks for.

    Attributes:
        until: The last stage; all where it is None.
        only: Whether that stage alone is done.
        force: Stages that are done again.
        keep_going: Whether a fault stops only what depends on it.
    """

    until: str | None = None
    only: bool = False
    force: frozenset[str] = frozenset()
    keep_going: bool = False

    def scope(self, names: Sequence[str]) -> Scope:
        """Return the scope in a graph of these stages."""
        stages = frozenset(names[-1:] if self.only else names)
        return Scope(stages, self.force, self.keep_going)


def select(*, only: str | None, until: str | None, force: Sequence[str], keep_going: bool) -> Selection:
    """Return the selection that options ask for.

    Raises:
        ConfigError: Both `only` and `until` are given, or a stage is not known.
    """
    if only and until:
        raise ConfigError("--only and --until: only one of them must be given; got both")
    stages_named("--only", [only] if only else [])
    stages_named("--until", [until] if until else [])
    last = only or until
    done = (only,) if only else STAGE_NAMES[: STAGE_NAMES.index(until) + 1] if until else STAGE_NAMES
    outside = [name for name in stages_named("--force", force) if name not in done]
    if outside:
        raise ConfigError(f"--force: must be a stage that this command does; got {', '.join(outside)}")
    # The refit has the data from the same source: read anew, they are so for both.
    of_refit = {refit.PREFIX + DATA} if DATA in force else set()
    return Selection(last, bool(only), frozenset({*force, *of_refit}), keep_going)

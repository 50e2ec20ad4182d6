"""What the shell offers when a person presses Tab."""

from pathlib import Path


def runs(incomplete: str) -> list[str]:
    """Return the names of runs under `runs/`: those in configs first, then each run's own, the newest first."""
    from pipeline.runs import newest_first  # noqa: PLC0415  # pressing Tab must be quick
    from pipeline.store.records import config_name  # noqa: PLC0415

    folders = [folder.path.name for folder in newest_first(Path("runs"))]
    names = dict.fromkeys([*(config_name(name) for name in folders), *folders])
    return [name for name in names if name.startswith(incomplete)]


def stages(incomplete: str) -> list[str]:
    """Return the names of stages, in order."""
    from stages import STAGES  # noqa: PLC0415

    return [stage.name for stage in STAGES if stage.name.startswith(incomplete)]

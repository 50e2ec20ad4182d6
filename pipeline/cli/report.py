"""`report`: writes a run's files again from what is kept, such as after an update of the program."""

from pipeline.cli.kept import KeptRun
from pipeline.cli.tables import say
from pipeline.config import dump
from pipeline.stage import RunSummary, imported
from pipeline.summary import summarise
from stages import STAGES


def report(run: KeptRun) -> None:
    """Write results.json, report.html and the student's files of a finished run again, in its folder.

    Raises:
        ConfigError: The run has not reached its end.
        StoreError: Its results are no longer in the store, or its folder cannot be written to.
    """
    task = run.task("report")
    stage = next(stage for stage in STAGES if stage.name == task.stage)
    files = imported(stage.function)(**run.inputs(task), **task.arguments, run=summary(run))
    for name, content in files.items():
        run.folder.write(name, content, otherwise=_OTHERWISE)
    say(f"report: {run.folder.path / 'report.html'}")


_OTHERWISE = "let the run's folder be written to, or name a writable copy of it"
"""What to do about a run whose files cannot be written again: `runs` of a config has no say in it."""


def summary(run: KeptRun) -> RunSummary:
    """Return what a run knew of itself at its end."""
    return summarise(
        run.config.name,
        run.config.seed,
        dump(run.config),
        stages=[stage.name for stage in STAGES],
        results={task_id: run.manifest(task_id) for task_id in run.keys},
        made=run.folder.made(),
    )

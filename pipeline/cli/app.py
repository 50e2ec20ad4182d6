"""The commands. Each only says what it takes; what it does lies in the module that it imports when called."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import completion, store_commands, targets_commands
from pipeline.cli.options import (
    AsJson,
    ConfigPath,
    DryRun,
    Force,
    KeepGoing,
    Only,
    Overrides,
    RunName,
    RunsFolder,
    RunStore,
    StorePath,
    Until,
)
from pipeline.errors import ConfigError, PipelineError

_INSTALLED = "specialist-distillation"
"""The command that installing the package leaves beside Python."""
_MODULE = "__main__.py"
"""The file that runs where it is `python -m pipeline`."""
_COMPLETION = ("--install-completion", "--show-completion")

app = typer.Typer(
    name="python -m pipeline",
    no_args_is_help=True,
    add_completion=Path(sys.argv[0]).name != _MODULE,  # which shells cannot complete: help is not to offer it
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(store_commands.app, name="store")
app.add_typer(targets_commands.app, name="targets")


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 1 a stage failed or something is damaged, 2 the config or the command is wrong, 130
        interrupted.
    """
    _print_what_can_be_printed()
    try:
        _check_completion(sys.argv[1:] if arguments is None else arguments, Path(sys.argv[0]).name)
        app(arguments)
    except PipelineError as error:
        from pipeline.cli.tables import warn  # noqa: PLC0415

        warn(str(error))
        return error.exit_code
    except SystemExit as end:  # typer has told what is wrong with the command line, if anything is
        return int(end.code or 0)
    return 0


def _print_what_can_be_printed() -> None:
    """Have what a terminal cannot show, such as a minus sign in ASCII, become a question mark in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _check_completion(arguments: Sequence[str], program: str) -> None:
    """Check that completion is asked of a command that a shell can complete.

    Args:
        arguments: Of the command line.
        program: The file that runs.

    Raises:
        ConfigError: It is asked of `python -m pipeline`: a shell completes by the first word, and that is Python's.
    """
    asked = [option for option in _COMPLETION if option in arguments[:1]]
    if asked and program == _MODULE:
        rule = f"be given to `{_INSTALLED}`, the same program as a command of its own"
        raise ConfigError(f"{asked[0]}: must {rule}; got `python -m pipeline`: run `{_INSTALLED} {asked[0]}`")


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it with the option's value
    if wanted:
        from pipeline.cli.env import DISTRIBUTION, version  # noqa: PLC0415

        typer.echo(f"{DISTRIBUTION} {version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool | None, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = None,
) -> None:
    """Train a generalist and specialists on Ray, combine their soft targets, and distil one small student.

    Exit codes:
      0  done
      1  a stage failed, or something is damaged
      2  the config or the command is wrong
    130  interrupted

    `specialist-distillation` is the same program; for Tab to complete it: specialist-distillation --install-completion

    Example: python -m pipeline run pipeline.yaml
    """


@app.command()
def run(
    config: ConfigPath,
    *,
    overrides: Overrides = None,
    only: Only = None,
    until: Until = None,
    force: Force = None,
    keep_going: KeepGoing = None,
    dry_run: DryRun = None,
) -> None:
    """Do a run: what is not in the store yet is computed, everything else is reused.

    Example: python -m pipeline run pipeline.yaml --set student.epochs=80
    """
    from pipeline.cli import plan as planning  # noqa: PLC0415
    from pipeline.cli import run as command  # noqa: PLC0415
    from pipeline.cli import selection  # noqa: PLC0415

    selected = selection.select(only=only, until=until, force=force or [], keep_going=bool(keep_going))
    if dry_run:
        planning.show(config, overrides or [], selected, as_json=False)
    else:
        command.execute(config, overrides or [], selected)


@app.command()
def plan(config: ConfigPath, overrides: Overrides = None, force: Force = None, as_json: AsJson = None) -> None:
    """Show what a run would do: reuse or run every task, why, and what it will take.

    What has changed in the config since the last run with results is told once; JSON calls it `since_last_run`.

    Of a part of it, `run --dry-run` does the same with --only or --until.

    Example: python -m pipeline plan pipeline.yaml --set specialists.count=4
    """
    from pipeline.cli import plan as command  # noqa: PLC0415
    from pipeline.cli import selection  # noqa: PLC0415

    selected = selection.select(only=None, until=None, force=force or [], keep_going=False)
    command.show(config, overrides or [], selected, as_json=bool(as_json))


@app.command()
def validate(config: ConfigPath, overrides: Overrides = None) -> None:
    """Check a config, its data set, networks of your own and files of weights, and list all faults at once.

    Example: python -m pipeline validate pipeline.yaml
    """
    from pipeline.cli import inspect  # noqa: PLC0415

    inspect.validate(config, overrides or [])


@app.command()
def status(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run's folder or name; the newest if none.", autocompletion=completion.runs
        ),
    ] = None,
    runs: RunsFolder = Path("runs"),
    as_json: AsJson = None,
) -> None:
    """Show what is done, running and failed in a run, also while it goes on.

    Example: python -m pipeline status digits
    """
    from pipeline.cli import inspect  # noqa: PLC0415

    inspect.show_status(runs, run, as_json=bool(as_json))


@app.command()
def predict(
    run: RunName,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Files, folders, or - for stdin.")],
    *,
    top: Annotated[int, typer.Option(metavar="K", help="How many classes to tell of each image.")] = 3,
    ensemble: Annotated[bool | None, typer.Option("--ensemble", help="Ask the teachers, not the student.")] = None,
    runs: RunsFolder = Path("runs"),
    store: RunStore = None,
    as_json: AsJson = None,
) -> None:
    """Tell what a run's student sees in images: those of another size than it takes are scaled, and that is told.

    Example: python -m pipeline predict digits seven.png more/
    """
    from pipeline.cli import kept  # noqa: PLC0415
    from pipeline.cli import predict as command  # noqa: PLC0415

    command.predict(kept.find(runs, run, store), images, top=top, ensemble=bool(ensemble), as_json=bool(as_json))


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Folders or names of two or more; of a name the newest that is done.",
            autocompletion=completion.runs,
        ),
    ],
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page, too.")] = None,
    *,
    runs: RunsFolder = Path("runs"),
    store: RunStore = None,
    as_json: AsJson = None,
) -> None:
    """Show which settings of runs differ, and by how much their models do, with the uncertainty of that.

    Of several, those that have not reached their end are named and left out.

    Example: python -m pipeline compare runs/digits-* --html compared.html
    """
    from pipeline.cli import compare as command  # noqa: PLC0415
    from pipeline.cli import kept  # noqa: PLC0415

    command.compare([kept.find(runs, name, store) for name in names], page=page, as_json=bool(as_json))


@app.command()
def evaluate(
    run: RunName,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Another labelled set with the run's classes, named as in a config: folder:PATH, npz:PATH.",
        ),
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder that a relative path of --data starts from.")] = Path(),
    split: Annotated[
        str | None,
        typer.Option(
            help="Which part of --data: train, test or all. By default test, or all of a folder without train and test."
        ),
    ] = None,
    *,
    runs: RunsFolder = Path("runs"),
    store: RunStore = None,
    as_json: AsJson = None,
) -> None:
    """Measure all models of a run again, on its test split or on another labelled set.

    Example: python -m pipeline evaluate digits --data folder:photos
    """
    from pipeline.cli import evaluate as command  # noqa: PLC0415
    from pipeline.cli import kept  # noqa: PLC0415

    command.evaluate(kept.find(runs, run, store), data, root=root, part=split, as_json=bool(as_json))


@app.command()
def export(
    run: RunName,
    form: Annotated[
        str,
        typer.Option("--format", help="onnx (which needs the extra `onnx`), torch-export, or safetensors: weights."),
    ],
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of one in the run's folder.")] = None,
    *,
    network: Annotated[
        str | None,
        typer.Option(help="student-distilled or student-refit; with safetensors also generalist, a specialist's name."),
    ] = None,
    runs: RunsFolder = Path("runs"),
    store: RunStore = None,
    as_json: AsJson = None,
) -> None:
    """Write a run's student as one file for other programs: pixels in, probabilities out, checked against PyTorch.

    With safetensors any network of the run, as another run takes it by `generalist.from` or `specialists.from`.

    Example: python -m pipeline export digits --format onnx
    """
    from pipeline.cli import export as command  # noqa: PLC0415
    from pipeline.cli import kept  # noqa: PLC0415

    found = kept.find(runs, run, store)
    if form == "safetensors":
        command.export_weights(found, network or command.STUDENT, to, as_json=bool(as_json))
    else:
        command.export(found, form, to, network=network, as_json=bool(as_json))


@app.command()
def report(run: RunName, runs: RunsFolder = Path("runs"), store: RunStore = None) -> None:
    """Write a run's report again from what is kept.

    Example: python -m pipeline report digits
    """
    from pipeline.cli import kept  # noqa: PLC0415
    from pipeline.cli import report as command  # noqa: PLC0415

    command.report(kept.find(runs, run, store))


@app.command()
def env(store: StorePath = ".pipeline", as_json: AsJson = None) -> None:
    """Show versions, devices, the store and what Ray is told: to be sent along with a question.

    Example: python -m pipeline env --json
    """
    from pipeline.cli import env as command  # noqa: PLC0415

    command.env(store, as_json=bool(as_json))

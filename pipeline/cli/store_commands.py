"""The commands about the store: what each takes, as in `app`."""

from typing import Annotated

import typer

from pipeline.cli.options import AsJson, StoreArgument

app = typer.Typer(
    help="Look after the store of results: verify it, show what takes the room (du), prune it.", no_args_is_help=True
)


@app.command()
def verify(store: StoreArgument = ".pipeline", as_json: AsJson = None) -> None:
    """Check every object and manifest, and that everything a finished run names is there. Exit code 1 if not.

    Example: python -m pipeline store verify .pipeline
    """
    from pipeline.cli import store as command  # noqa: PLC0415

    raise typer.Exit(command.check(store, as_json=bool(as_json)))


@app.command()
def prune(
    store: StoreArgument = ".pipeline",
    days: Annotated[float, typer.Option(help="Keep what runs of this many days name.")] = 30.0,
    grace: Annotated[float, typer.Option(help="Keep what was written within this many days.")] = 1.0,
    delete: Annotated[bool | None, typer.Option("--yes", help="Delete it; otherwise it is only shown.")] = None,
    as_json: AsJson = None,
) -> None:
    """Show what no run of the last days names, and delete it with --yes.

    Example: python -m pipeline store prune --days 30 --yes
    """
    from pipeline.cli import store as command  # noqa: PLC0415

    command.prune(store, days=days, grace=grace, delete=bool(delete), as_json=bool(as_json))


@app.command()
def du(store: StoreArgument = ".pipeline", as_json: AsJson = None) -> None:
    """Show what takes the room: by stage, by run, what only one run uses, and what `prune` would free.

    Of a result each file counts: arrays with their headers, and the facts beside them. Of a table of soft targets, a
    run and `targets list` count the rows alone. What all takes in the end has the manifests, too.

    Example: python -m pipeline store du
    """
    from pipeline.cli import store as command  # noqa: PLC0415

    command.du(store, as_json=bool(as_json))

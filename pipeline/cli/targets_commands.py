"""The commands about soft-target tables: what each takes, as in `app`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, StorePath, TableKey

app = typer.Typer(
    help="List and show soft-target tables, export them as files, and import those of other teachers.",
    no_args_is_help=True,
)


@app.command("list")
def list_targets(store: StorePath = ".pipeline", as_json: AsJson = None) -> None:
    """List the soft-target tables of all finished runs.

    Example: python -m pipeline targets list
    """
    from pipeline.cli import targets  # noqa: PLC0415

    targets.list_tables(store, as_json=bool(as_json))


@app.command("show")
def show_targets(key: TableKey, store: StorePath = ".pipeline", as_json: AsJson = None) -> None:
    """Show all that is known of a table: rows, encoding, statistics, where it comes from.

    Example: python -m pipeline targets show digits:generalist
    """
    from pipeline.cli import targets  # noqa: PLC0415

    targets.show(store, key, as_json=bool(as_json))


@app.command("import")
def import_targets(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An .npy file (rows, columns), or Parquet.")],
    *,
    run: Annotated[str, typer.Option(metavar="RUN", help="A run on the data that the rows are of.")],
    name: Annotated[str | None, typer.Option(help="What the table is called; the file's name by default.")] = None,
    examples: Annotated[Path | None, typer.Option(metavar="NPY", help="Each row's example, a position.")] = None,
    views: Annotated[Path | None, typer.Option(metavar="NPY", help="Each row's view; any view by default.")] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="JSON", help="Each column's class, null for the dustbin: a list or a file.")
    ] = None,
    values: Annotated[str | None, typer.Option(help="What the numbers are: logits, log-probs or probs.")] = None,
    replace: Annotated[bool | None, typer.Option("--replace", help="Take the name of other content.")] = None,
    store: StorePath = ".pipeline",
    as_json: AsJson = None,
) -> None:
    """Bring somebody's logits into the store, for runs to use as one more teacher.

    Example: python -m pipeline targets import clip.npy --run digits --classes '["3", "8", null]'
    """
    from pipeline.cli import imports  # noqa: PLC0415

    files = imports.Files(file, values, examples, views, classes)
    imports.bring(store, run, name, files, replace=bool(replace), as_json=bool(as_json))


@app.command("export")
def export_targets(
    key: TableKey,
    to: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    form: Annotated[str, typer.Option("--format", help="npy, or parquet, which needs pyarrow.")] = "npy",
    store: StorePath = ".pipeline",
    as_json: AsJson = None,
) -> None:
    """Write a table as plain files, with a data card.

    Example: python -m pipeline targets export digits --to soft_targets
    """
    from pipeline.cli import targets  # noqa: PLC0415

    targets.export(store, key, to, form, as_json=bool(as_json))

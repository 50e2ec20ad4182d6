"""The commands about soft-target tables: `targets list`, `targets show`, `targets export`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from pipeline.cli.store import opened
from pipeline.cli.tables import UNLIMITED, cell, console_for_rows, print_json, say, tell
from pipeline.errors import ConfigError, StoreError, did_you_mean
from pipeline.store import Store
from stages import tables

FORMS = ("npy", "parquet")
_NUMBERS = ("rows", "outputs", "bytes")
_DATA_DIGESTS = {"digest": "data digest", "kept as": "data kept as"}
"""What is told of the data's digests, by what a description calls them."""
_SHOWN = 3
"""How many of the other runs of a table a list names."""


def list_tables(location: str, *, as_json: bool) -> None:
    """Print the tables of all finished runs, those of the newest run first; one that several runs share only once.

    Raises:
        ConfigError: There is no such store.
    """
    store = opened(location)
    found = [_summary(store, shared) for shared in tables.all_tables(store)]
    if as_json:
        print_json(found)
        return
    if not found:
        say(f"{location}: no finished run has made a table")
    if whole := [summary for summary in found if "fault" not in summary]:
        _print(whole)
    for summary in found:
        if "fault" in summary:
            say(f"{summary['key']}: {summary['fault']}")


def _print(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Print tables as rows; where these do not fit, as lines, for a key that is cut or broken finds nothing."""
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("table", *_NUMBERS, "encoding"):
        grid.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for summary in summaries:
        key = Text("\n".join([summary["key"], *(f"  {line}" for line in _other_runs(summary))]))
        grid.add_row(key, *(f"{summary[name]:,}" for name in _NUMBERS), Text(summary["encoding"]["name"]))
    console = console_for_rows()
    if console.measure(grid, options=console.options.update(max_width=UNLIMITED)).maximum <= console.width:
        console.print(grid)
        return
    for summary in summaries:
        numbers = ", ".join(f"{summary[name]:,} {name}" for name in _NUMBERS)
        say(summary["key"])
        for line in (f"{numbers}, {summary['encoding']['name']}", *_other_runs(summary)):
            tell(console, line, indent=2)


def show(location: str, key: str, *, as_json: bool) -> None:
    """Print all that is known of a table.

    Raises:
        ConfigError: There is no such store or table.
        StoreError: Something of it is no longer there.
    """
    store = opened(location)
    table = tables.find(store, key)
    same = next(shared for shared in tables.all_tables(store) if shared[0].results == table.results)
    description = tables.describe(store, table) | {"runs": [table.run.name for table in same]}
    console = Console()
    if as_json:
        print_json(description)
        return
    grid = Grid(box=None, pad_edge=False, show_header=False)
    grid.add_column()
    grid.add_column(overflow="fold")
    for name, value in _told(description).items():
        grid.add_row(Text(name, style="bold"), cell(value))
    console.print(grid)
    for name, digest in _digests(description).items():  # not in the grid: a digest must be on one line to be copied
        say(f"{name:12}  {digest}")


def export(location: str, key: str, to: Path, form: str, *, as_json: bool) -> None:
    """Write a table as files that anybody can read, with a data card, and print where.

    Raises:
        ConfigError: There is no such store, table or form, or the folder holds something.
        StoreError: Something of the table is no longer there, or the folder cannot be written.
    """
    if form not in FORMS:
        raise ConfigError(f"--format: must be {' or '.join(FORMS)}; got '{form}'{did_you_mean(form, FORMS)}")
    store = opened(location)
    table = tables.find(store, key)
    description = tables.describe(store, table)

    from stages.soft_targets import SoftTargets  # noqa: PLC0415  # brings torch, which looking at tables does without
    from stages.soft_targets.export import export as write  # noqa: PLC0415

    write(SoftTargets.open(location, table.key), description, to, cast("Literal['npy', 'parquet']", form))
    files = sorted(path.name for path in to.iterdir())
    if as_json:
        print_json({"folder": str(to), "files": files, "rows": description["rows"]})
        return
    say(f"{to}: {description['rows']:,} rows of {table.key} in {', '.join(files)}")


def _summary(store: Store, shared: Sequence[tables.Table]) -> dict[str, Any]:
    """Return the line about a table, given as its runs have it; a damaged one must not hide the others."""
    known = {"key": shared[0].key, "runs": [table.run.name for table in shared]}
    try:
        description = tables.describe(store, shared[0])
    except StoreError as error:
        return known | {"fault": str(error)}
    names = ("teacher", "rows", "views", "bytes", "encoding")
    outputs = len(tables.output_names(description))
    return known | {name: description[name] for name in names} | {"outputs": outputs}


def _other_runs(summary: Mapping[str, Any]) -> list[str]:
    """Return which other runs a table is of."""
    _, *others = summary["runs"]
    lines = [f"also of {name}" for name in others[:_SHOWN]]
    return lines + ([f"and of {len(others) - _SHOWN} more"] if len(others) > _SHOWN else [])


def _told(description: Mapping[str, Any]) -> dict[str, str]:
    provenance, shards = description["provenance"], description["shards"]
    names = tables.output_names(description)
    return {
        "table": description["key"],
        "rows": tables.rows_told(description),
        "outputs": f"{len(names)}: {', '.join(names)}",
        "encoding": tables.told(description["encoding"]),
        "bytes": f"{description['bytes']:,} in {len(shards)} shard{'s' * (len(shards) != 1)}"
        f" ({sum(shard['bytes'] for shard in shards):,} as files)",
        "prior correction": f"{description['prior_correction']:.6g}",
        **{f"mean {name}": f"{value:.4f}" for name, value in description["statistics"].items()},
        "run": f"{provenance['run']}, recorded {provenance['recorded']}",
        **({"all its runs": ", ".join(description["runs"])} if len(description["runs"]) > 1 else {}),
        "data": ", ".join(f"{name} {value}" for name, value in provenance["data"].items() if name not in _DATA_DIGESTS),
        "teachers": ", ".join(f"{name} {digest[:12]}" for name, digest in provenance["teachers"].items()),
    }


def _digests(description: Mapping[str, Any]) -> dict[str, str]:
    data = description["provenance"]["data"]
    return {label: data[name] for name, label in _DATA_DIGESTS.items() if name in data}

"""The commands that look after a store: `store verify`, `store prune`, `store du`."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.tables import print_json, say, table_of, warn
from pipeline.counted import first_of
from pipeline.errors import ConfigError
from pipeline.stage import Json
from pipeline.store import Fault, Store, verify
from pipeline.store.prune import Doomed, Prune
from pipeline.store.usage import Usage, usage
from stages.imported.kept import RECORD
from stages.tables import open_store

DAYS = 30.0
"""How long a run counts for `prune`, if nothing else is said."""

GRACE = 1.0
"""For how many days whatever is new stays, if nothing else is said."""


_SHOWN = 3
"""How many of those who need a file are named."""


_ARGUMENT = "the argument STORE"
"""What names the store to the commands of this module."""


def opened(location: str, *, named_by: str = "--store") -> Store:
    """Return a store that is there, to be read; what is found damaged is told.

    Args:
        location: The store.
        named_by: What names another, to whoever asks.

    Raises:
        ConfigError: There is no such store, or none that can be used.
    """
    store = open_store(location, named_by=named_by)
    store.on_damage = warn
    return store


def check(location: str, *, as_json: bool) -> int:
    """Print what is wrong with a store.

    Returns:
        The exit code: 1 if anything is.

    Raises:
        ConfigError: There is no such store.
    """
    faults = verify(opened(location, named_by=_ARGUMENT))
    if as_json:
        print_json([asdict(fault) for fault in faults])
    else:
        for fault in faults:
            say(f"{fault.path}: {fault.what}{_needs(fault)}")
        say(f"{location}: {len(faults) or 'no'} fault{'s' * (len(faults) != 1)}{_remedy(faults)}")
    return 1 if faults else 0


def _remedy(faults: Sequence[Fault]) -> str:
    """Return what is to be done about results at fault; of other files each fault says it, or nothing has to be."""
    results = [fault for fault in faults if fault.path.startswith(("objects/", "manifests/"))]
    if not results:
        return ""
    imported = any(f" of {RECORD}-" in need and "data[" not in need for fault in results for need in fault.needed_by)
    again = "; what was imported has to be imported again" if imported else ""
    return f": the next run that needs the result makes it again{again}"


def _needs(fault: Fault) -> str:
    """Return who needs what is wrong, in words; nothing of what nobody is known to."""
    return f"; needed by {first_of(fault.needed_by, _SHOWN, between='; ')}" if fault.needed_by else ""


def prune(location: str, *, days: float, grace: float, delete: bool, as_json: bool) -> None:
    """Print what no run of the last days names, and delete it if asked to.

    Args:
        location: The store.
        days: How long a run counts.
        grace: For how many days whatever is new stays.
        delete: Whether to delete it.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: There is no such store, or a number is negative.
    """
    wrong = {"--days": days, "--grace": grace}
    faults = [f"{option}: must be 0 or more; got {value:g}" for option, value in wrong.items() if value < 0]
    if faults:
        raise ConfigError("\n".join(faults))
    work = Prune(opened(location, named_by=_ARGUMENT), days=days, grace=grace)
    doomed = work.doomed()
    if not as_json:
        _show_doomed(location, doomed, days)
    deleted = work.delete(doomed) if delete else []
    if as_json:
        print_json(_as_json(doomed, deleted))
    elif delete:
        n_kept = len(_paths(doomed)) - len(deleted)
        kept = f", kept {n_kept} that came into use meanwhile" if n_kept else ""
        say(f"{location}: deleted {len(deleted)} files{kept}")
    else:
        say(_how_to_delete(location, days, grace) if _paths(doomed) else "there is nothing to delete")


def _how_to_delete(location: str, days: float, grace: float) -> str:
    """Return the command that deletes what was shown."""
    wanted = (("--days", days, DAYS), ("--grace", grace, GRACE))
    options = "".join(f" {option} {value:g}" for option, value, default in wanted if value != default)
    return (
        "nothing was deleted:"
        f" `python -m pipeline store prune {shlex.quote(location)}{options} --yes` deletes what is listed here"
    )


def du(location: str, *, as_json: bool) -> None:
    """Print what takes the room in a store, and what `prune` would free by default.

    Raises:
        ConfigError: There is no such store.
    """
    store = opened(location, named_by=_ARGUMENT)
    found = usage(store)
    prunable = Prune(store, days=DAYS, grace=GRACE).doomed().bytes
    if as_json:
        print_json(asdict(found) | {"prunable": prunable})
        return
    console = Console()
    console.print(_stages_table(found))
    console.print()
    console.print(_runs_table(found))
    console.print()
    # Of a table a run and `targets list` count the rows alone.
    say("all files of a result are counted: its arrays, with their headers, and the facts beside them")
    say(f"{location}: {found.bytes:,} bytes, {found.objects:,} of them objects (each counted once)")
    say(f"named by no result: {found.unnamed:,} bytes; set aside: {found.aside:,} bytes")
    say(f"checkpoints of trainings in progress: {found.checkpoints:,} bytes")
    say(f"`store prune` would free {prunable:,} bytes (--days {DAYS:g} --grace {GRACE:g})")


def _show_doomed(location: str, doomed: Doomed, days: float) -> None:
    table = table_of("stage", "results", "bytes")
    for stage, (count, size) in sorted(doomed.stages.items()):
        table.add_row(Text(stage), f"{count:,}", f"{size:,}")
    if doomed.stages:
        Console().print(table)
    say(
        f"{location}: {len(doomed.manifests)} results that no run of the last {days:g} days names;"
        f" with {len(doomed.objects)} objects, {len(doomed.records)} records of runs, {len(doomed.checkpoints)}"
        f" checkpoints and {len(doomed.aside)} files set aside, {doomed.bytes:,} bytes"
    )


def _as_json(doomed: Doomed, deleted: Sequence[str]) -> Json:
    stages = {name: {"results": count, "bytes": size} for name, (count, size) in doomed.stages.items()}
    return {"bytes": doomed.bytes, "stages": stages, "doomed": _paths(doomed), "deleted": sorted(deleted)}


def _paths(doomed: Doomed) -> list[str]:
    return sorted({**doomed.records, **doomed.manifests, **doomed.objects, **doomed.aside, **doomed.checkpoints})


def _stages_table(found: Usage) -> Table:
    table = table_of("stage", "results", "bytes")
    for name, use in sorted(found.stages.items(), key=lambda item: (-item[1].bytes, item[0])):
        table.add_row(Text(name), f"{use.results:,}", f"{use.bytes:,}")
    return table


def _runs_table(found: Usage) -> Table:
    table = table_of("run", "results", "bytes", "only here")
    for name, run in found.runs.items():
        ended = name if run.created else f"{name} (not ended)"
        table.add_row(Text(ended), f"{run.results:,}", f"{run.bytes:,}", f"{run.only:,}")
    return table

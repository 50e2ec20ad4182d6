"""Imported tables: `targets import` brings them, a config names them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pipeline.cli.dataset import DataSet
from pipeline.cli.schema import Config
from pipeline.cli.tables import print_json, say
from pipeline.errors import ConfigError, Fault, did_you_mean
from pipeline.stage import Facts
from pipeline.store import Store
from stages import tables, tasks
from stages.imported import kept
from stages.imported.meanings import MEANINGS


@dataclass(frozen=True)
class Files:
    """What a user says of the files to import.

    Attributes:
        logits: An `.npy` file or Parquet.
        values: What its numbers are: logits, log-probs or probs; None where nothing is said.
        examples: An `.npy` file with each row's example.
        views: An `.npy` file with each row's view.
        classes: What the columns stand for, a JSON list or the file that holds one; None for all classes in order.
    """

    logits: Path
    values: str | None = None
    examples: Path | None = None
    views: Path | None = None
    classes: str | None = None


def bring(location: str, run: str, name: str | None, files: Files, *, replace: bool, as_json: bool) -> None:
    """Import a table, and print what it is and how a run uses it.

    Args:
        location: The store.
        run: A run on the data that the rows are of.
        name: What the table is to be called; the file's name without its ending by default.
        files: What to import.
        replace: Whether it may take the name of other content.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: Something is wrong with the files or the options, or the name is taken; lists all faults.
        StoreError: The store cannot be written, or the run is not whole.
    """
    store = tables.open_store(location)
    found = tables.run_named(store, run)
    if files.values is not None and files.values not in MEANINGS:
        hint = did_you_mean(files.values, MEANINGS)
        raise ConfigError(f"--values: must be {', '.join(MEANINGS[:-1])} or {MEANINGS[-1]}; got '{files.values}'{hint}")
    listed = None if files.classes is None else _listed(files.classes)

    from stages.imported import bringing  # noqa: PLC0415  # brings torch, which looking at tables does without
    from stages.imported.files import opened  # noqa: PLC0415

    with opened(files.logits, cast("Any", files.values), examples=files.examples, views=files.views) as rows:
        brought = bringing.bring(store, found, name or files.logits.stem, rows, listed, replace=replace)
    _tell(brought.table, is_new=brought.is_new, replaced=brought.replaced, as_json=as_json)


def _tell(table: kept.Import, *, is_new: bool, replaced: kept.Import | None, as_json: bool) -> None:
    key = f"{table.run.name}:{table.name}"
    former = f"{replaced.run.name}:{replaced.name}" if replaced else None
    if as_json:
        print_json({"key": key, "new": is_new, "replaced": former, **table.facts})
        return
    facts = table.facts
    held = f"{facts['rows']:,} rows of {facts['examples']:,} examples, {facts['outputs']} outputs"
    said = f"; it takes the place of {former}" if former else "" if is_new else "; the same content was there already"
    say(f"{key}: {held}{said}")
    say(f"a run takes it as one more teacher with `targets: {{imported: [{table.name}]}}` in its config")


def _listed(text: str) -> list[int | str | None]:
    """Return what the columns stand for, as an option gave it.

    Raises:
        ConfigError: It is not a list of ids, names and null.
    """
    source = text if text.lstrip().startswith("[") else None
    try:
        listed = json.loads(Path(text).read_text(encoding="utf-8") if source is None else source)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--classes: must be a JSON list, or a file that holds one; got '{text}': {error}") from error
    strange = [member for member in listed if not _is_member(member)] if isinstance(listed, list) else [listed]
    if strange:
        rule = "be a list of class ids, class names, and null for the dustbin"
        raise ConfigError(f"--classes: must {rule}; got {json.dumps(strange[0])}")
    return list(listed)


def _is_member(member: Any) -> bool:
    return member is None or isinstance(member, str) or (isinstance(member, int) and not isinstance(member, bool))


def use(store: Store, known: Mapping[str, Facts]) -> None:
    """Note that a run uses imported tables, so that `store prune` counts their age from now."""
    for table in known.values():
        kept.freshen(store, table["record"])


def find(config: Config, store: Store, data: DataSet) -> tuple[dict[str, Facts], list[Fault]]:
    """Return what the tasks of a run are told of its imported tables, by name, and what is wrong with them.

    Args:
        config: The run's config.
        store: Its store.
        data: Its data set.
    """
    wanted = config.targets.imported
    found = kept.imports_in(store) if wanted else {}
    content = tasks.data_content(config, data.facts)
    faults: list[Fault] = [
        (("targets", "imported", place), fault)
        for place, name in enumerate(wanted)
        for fault in _faults(name, found, content)
    ]
    known: dict[str, Facts] = {
        name: {"digest": table.facts["digest"], "record": table.run.name, "store": store.location}
        for name, table in found.items()
        if name in wanted
    }
    return known, faults


def _faults(name: str, found: Mapping[str, kept.Import], content: Mapping[str, object]) -> Iterator[str]:
    if name not in found:
        there = ", ".join(found) or "none"
        hint = did_you_mean(name, found) or "; `targets import` brings one"
        yield f"must be an imported table of this store ({there}); got '{name}'{hint}"
    elif found[name].facts["data"] != content:
        theirs = found[name].facts["data"]
        told = ", ".join(f"{key} {_short(value)}" for key, value in theirs.items())
        ours = ", ".join(f"{key} {_short(value)}" for key, value in content.items())
        yield f"must be of this run's data ({ours}); got '{name}', which is of other data ({told})"


def _short(value: object) -> str:
    return str(value)[:12]

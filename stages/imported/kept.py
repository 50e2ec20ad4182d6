"""The imported tables that a store has, and what is known of each. Imports no torch: planning a run looks here.

An import is recorded as a run is: under a name of its own, with the keys of all that it needs. So whatever looks after
runs looks after imports: `targets list`, `store verify`, `store prune`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.errors import DamagedError, StageError, StoreError
from pipeline.stage import Artifact, Facts, Json
from pipeline.store import Manifest, Run, Store
from pipeline.store.records import run_path
from stages import tables

RECORD = "imported"
"""What the records of imports are named by, as those of runs are by the name in their config."""

NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,39}"
"""What an imported table may be called: nothing that a specialist is, whose names begin with a digit."""

RESERVED = (tables.COMBINED, "generalist")
"""What other tables of a run are called."""


@dataclass(frozen=True)
class Import:
    """An imported table.

    Attributes:
        name: What it is called.
        run: Its record.
        facts: Its `name`; `digest`, which stands for its content; the `data` it is of, as a recipe would name it, and
            the `classes` of that by name; the `subset` that its columns stand for, and how many `outputs` there are;
            how many `rows` of how many `examples` it has, of which `views`, and `shard_rows` in a shard; `any_view`,
            whether a row holds for its example in any view.
    """

    name: str
    run: Run
    facts: Facts

    def is_of(self, results: Mapping[str, Manifest]) -> bool:
        """Return whether it was recorded with these results; an early version recorded no more than their keys."""
        keys, digests = _named(results)
        return self.run.keys == keys and self.run.digests in ({}, digests)


def name_faults(name: str) -> list[str]:
    """Return what is wrong with a name for an imported table."""
    if name in RESERVED:
        return [f"must be another than {' and '.join(RESERVED)}, which runs use; got '{name}'"]
    if not re.fullmatch(NAME, name):
        return [f"must begin with a letter and be of at most 40 letters, digits, '.', '-' and '_'; got '{name}'"]
    return []


def task_of(name: str) -> str:
    """Return the id of the task that tells what an import is, in its record as in runs that use it."""
    return f"import[{name}]"


def imports_in(store: Store) -> dict[str, Import]:
    """Return the imported tables of a store by name; of several of one name the newest.

    Those of which the facts are no longer there are left out.
    """
    found: dict[str, Import] = {}
    for run in sorted(store.runs(), key=lambda run: (run.created, run.name), reverse=True):
        for name in filter(None, map(_imported_name, run.keys)):
            facts = None if name in found else _facts(store, run, name)
            if facts is not None:
                found[name] = Import(name, run, facts)
    return found


def record(store: Store, name: str, results: Mapping[str, Manifest], facts: Facts) -> Import:
    """Record an import: from now on runs may use it.

    Args:
        store: Where its results are.
        name: What it is called.
        results: The manifests of its results by task id.
        facts: What is known of it.
    """
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    keys, digests = _named(results)
    store.record_run(f"{RECORD}-{moment}", keys, digests)
    return Import(name, Run(f"{RECORD}-{moment}", keys, moment, digests), facts)


def load(store: Store, record: str, task: str) -> Artifact:
    """Return something of an import.

    Args:
        store: The store that it was imported into.
        record: The name of its record.
        task: Which part: the import's facts, a view or a shard.

    Raises:
        StageError: It is no longer there, or damaged.
    """
    run = store.run(record)
    found = store.find(run.keys[task]) if run is not None and task in run.keys else None
    if found is None:
        raise StageError(f"{task} of the import {record} must be in {store.location}; got nothing: import it again")
    try:
        artifact = store.load(found)
        len(artifact.arrays)  # verifies them now, where it is known what to do about it
    except DamagedError as error:
        raise StageError(f"{error}: import {task} of {record} again") from error
    return artifact


def freshen(store: Store, record: str) -> None:
    """Note that an import is in use, so that `prune` counts its age from now; takes the name of its record."""
    store.files.freshen(run_path(record))


def data_of(parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Return what of the parameters of a data set's training half decides which example has which id."""
    return {name: value for name, value in parameters.items() if name not in {"data.holdout", "data.folds", "split"}}


def _imported_name(task: str) -> str | None:
    found = re.fullmatch(r"import\[(.+)\]", task)
    return found[1] if found else None


def _named(results: Mapping[str, Manifest]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the keys and the digests of results."""
    return (
        {task: manifest.key for task, manifest in results.items()},
        {task: manifest.digest for task, manifest in results.items()},
    )


def _facts(store: Store, run: Run, name: str) -> Facts | None:
    """Return the facts of an import; None where they are gone, or where it is a run that used the import."""
    try:
        found = tables.manifest(store, run, task_of(name))
        return store.facts(found) if found.recipe["parameters"].get("content") else None
    except StoreError:
        return None

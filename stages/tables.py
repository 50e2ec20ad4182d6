"""Which soft-target tables the runs of a store have, and what is known of each. Imports no torch: a list is cheap.

A table is one teacher's outputs on a transfer set, or what was combined of all. Its shards are results of a run, its
rows those of the run's views, its classes those of the run's data: the record of a run names them all.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, StoreError, did_you_mean
from pipeline.stage import Facts, Json
from pipeline.store import Manifest, Run, Store
from pipeline.store.records import config_name

FORMAT = 1
"""Raised whenever a reader of a shard would have to know."""

COMBINED = "combined"
ARRAYS = "arrays.safetensors"

UNLIMITED = "no limit is set"
"""How the reason begins that a dense table keeps, if nothing had to be decided; people are told what it means."""

DENSE_BYTES = 8
"""Of a row beside its logits: the maximum and the logsumexp, float32."""
TAIL_POWERS = (1.0, 0.5, 0.25, 0.125, 0.0)
"""Powers of a row's probabilities whose sum over what top-k leaves out is kept, float32 each."""

_SHARD = re.compile(r"(?:(combined)|targets|imported)\[(?:(.+)/)?(\d+)\.(\d+)\]")


@dataclass(frozen=True)
class Table:
    """A table of a run.

    Attributes:
        run: The record of the run.
        teacher: `combined`, `generalist`, a specialist's name, such as `3-5-8`, or that of an imported table. Where a
            sweep has made several combinations, `combined/active=2` for that of two active classes.
        shards: The tasks that made its shards, in canonical order: by view, then by rows.
    """

    run: Run
    teacher: str
    shards: tuple[str, ...]

    @property
    def key(self) -> str:
        """What finds exactly this table: `RUN:TEACHER`."""
        return f"{self.run.name}:{self.teacher}"

    @property
    def results(self) -> tuple[str, ...]:
        """The recipe keys of its shards: what makes it the same table in several runs."""
        return tuple(self.run.keys[task] for task in self.shards)

    @property
    def views(self) -> tuple[str, ...]:
        """The tasks that drew the views its shards are of, in order."""
        return tuple(dict.fromkeys(f"views[{_place(task)[0]}]" for task in self.shards))

    @property
    def teachers(self) -> tuple[str, ...]:
        """The tasks that trained what the table is of, or tell what was imported."""
        if self.teacher.split("/")[0] == COMBINED:
            wanted = re.compile(r"generalist|(specialist|import)\[.+\]")
            return tuple(task for task in self.run.keys if wanted.fullmatch(task))
        names = (self.teacher, f"specialist[{self.teacher}]", f"import[{self.teacher}]")
        return tuple(task for task in names if task in self.run.keys)


def row_bytes(outputs: int, k: int | None = None) -> int:
    """Return the bytes of a row.

    Args:
        outputs: Number of outputs.
        k: How many of them top-k keeps; None for all, in the dense encoding.
    """
    if k is None:
        return 2 * outputs + DENSE_BYTES
    return k * (2 + index_bytes(outputs)) + 4 * len(TAIL_POWERS) + DENSE_BYTES


def index_bytes(outputs: int) -> int:
    """Return the bytes of an index into so many outputs."""
    return 2 if outputs <= 2**16 else 4


def top_k_within(budget: int, outputs: int) -> int | None:
    """Return how many outputs a row of top-k may keep within a budget; None where the dense encoding fits.

    Args:
        budget: Bytes a row.
        outputs: Number of outputs.

    Returns:
        Less than 1 where nothing fits.
    """
    return None if row_bytes(outputs) <= budget else (budget - row_bytes(outputs, 0)) // (2 + index_bytes(outputs))


def open_store(location: str, *, named_by: str = "--store") -> Store:
    """Open a store that is there, as it is.

    Args:
        location: A folder or the address of a place in an object store.
        named_by: What names another, to whoever asks.

    Raises:
        ConfigError: There is none, it cannot be reached, or it is of another format.
    """
    try:
        there, store = Store.is_at(location), Store.at(location)
    except StoreError as error:  # whoever named it has to name another, or mend it: nothing was begun
        raise ConfigError(str(error)) from error
    if not there:
        raise ConfigError(
            f"{location}: must be the folder or URL of a store; looked there for store.json and for results, and found"
            f" neither: name by {named_by} what the config of your runs names as `store`, or make a store with"
            " `python -m pipeline run CONFIG`"
        )
    return store


def tables_of(run: Run) -> list[Table]:
    """Return the tables of a run: the combined one, then the teachers' by name."""
    shards: dict[str, list[str]] = {}
    for task in run.keys:
        found = _SHARD.fullmatch(task)
        if found:
            shards.setdefault("/".join(filter(None, found.group(1, 2))), []).append(task)
    names = sorted(shards, key=lambda name: (name.split("/")[0] != COMBINED, name != "generalist", name))
    return [Table(run, name, tuple(sorted(shards[name], key=_place))) for name in names]


def all_tables(store: Store) -> list[list[Table]]:
    """Return the tables of all finished runs of a store, each as the runs have it that name the very same results.

    The newest run comes first, among those of a table and among the tables.
    """
    found: dict[tuple[str, ...], list[Table]] = {}
    for run in _newest_first(store):
        for table in tables_of(run):
            found.setdefault(table.results, []).append(table)
    return list(found.values())


def find(store: Store, key: str) -> Table:
    """Return the table that a user names.

    Args:
        store: The store.
        key: `RUN:TEACHER`, or `RUN` alone for the combined table, of several that which the student learned from. RUN
            is the name or the folder of a run, or the name in the config, of whose runs the newest is meant that has
            the table: one that ended early may not.

    Raises:
        ConfigError: There is no such table.
    """
    wanted, _, teacher = key.partition(":")
    runs = _runs_named(store, Path(wanted).name)
    found = [{table.teacher: table for table in tables_of(run)} for run in runs]
    for run, tables in zip(runs, found, strict=True):
        name = teacher or _students(store, run, tables)
        if name in tables:
            return tables[name]
    run, tables = next((pair for pair in zip(runs, found, strict=True) if pair[1]), (runs[0], {}))
    if not tables:
        hint = "run its config without --until or --only, and name that run, or another"
        raise ConfigError(f"{run.name} must have made a table; got a run that has not, or not yet: {hint}")
    known, name = ", ".join(tables), teacher or COMBINED
    raise ConfigError(f"the table of {run.name} must be one of {known}; got '{name}'{did_you_mean(name, tables)}")


def _students(store: Store, run: Run, tables: Collection[str]) -> str:
    """Return which of a run's tables its student learned from: of several combinations, that which a sweep chose."""
    if "sweep" not in run.keys:
        return COMBINED
    active = store.facts(manifest(store, run, "sweep"))["chosen"]["distilled"].get("active_classes")
    chosen = f"{COMBINED}/active={active}"
    return chosen if chosen in tables else COMBINED


def run_named(store: Store, name: str) -> Run:
    """Return the run that a user names as in `find`: of several the newest that has loaded its data.

    Raises:
        ConfigError: There is none.
    """
    runs = _runs_named(store, Path(name).name)
    return next((run for run in runs if "data[train]" in run.keys), runs[0])


def manifest(store: Store, run: Run, task: str) -> Manifest:
    """Return the manifest of a result that a run names.

    Raises:
        StoreError: The run has no such result, or it is no longer there, or another lies in its place.
    """
    found = store.find(run.keys[task]) if task in run.keys else None
    if found is None:
        raise StoreError(f"{task} of {run.name} must be in {store.location}; got nothing: do the run again")
    found.check_is(run.digests.get(task), f"{task} of {run.name}")
    return found


def check_format(facts: Facts) -> None:
    """Check that this program can read a shard with such facts.

    Raises:
        StoreError: Another version of it made the shard.
    """
    if facts.get("format") != FORMAT:
        found = facts.get("format", "none")
        raise StoreError(f"the format of a soft-target table must be {FORMAT}; got {found}: do the run again")


def describe(store: Store, table: Table) -> dict[str, Json]:
    """Return all that is known of a table, for people, scripts and its data card.

    Args:
        store: The store.
        table: The table.

    Returns:
        What JSON can hold: `format`, `key`, `teacher`, `class_names`, `subset`, `prior_correction`, `encoding`,
        `rows`, `examples`, `views`, `any_view`, whether a row holds for its example in any view, `bytes` of the rows,
        as results have them, `statistics`, `shards` with their row ranges, bytes (of the files) and SHA-256, and the
        `provenance`: the run, and digests of the data, the views and the teachers.

    Raises:
        StoreError: Something of it is no longer there.
    """
    manifests = {task: manifest(store, table.run, task) for task in table.shards}
    facts = {task: store.facts(found) for task, found in manifests.items()}
    first = next(iter(facts.values()))
    check_format(first)
    data = manifest(store, table.run, "data[train]")
    data_facts = store.facts(data)
    return {
        "key": table.key,
        "teacher": table.teacher,
        **{name: first[name] for name in ("format", "subset", "prior_correction")},
        "class_names": data_facts["class_names"],
        "encoding": _worded(encoding_of([shard["encoding"] for shard in facts.values()])),
        "rows": sum(shard["rows"] for shard in facts.values()),
        "examples": max(store.facts(manifest(store, table.run, view))["rows"] for view in table.views),
        "views": sorted({shard["view"] for shard in facts.values()}),
        "any_view": _holds_in_any_view(store, table),
        "bytes": sum(shard["bytes"] for shard in facts.values()),
        "statistics": statistics_of(list(facts.values())),
        "shards": [_shard(task, manifests[task], facts[task]) for task in table.shards],
        "provenance": _provenance(store, table, data),
    }


def _holds_in_any_view(store: Store, table: Table) -> bool:
    """Return whether a table was imported without views: then its first stands for all of them."""
    brought = f"import[{table.teacher}]"
    return brought in table.run.keys and bool(store.facts(manifest(store, table.run, brought))["any_view"])


def rows_told(description: Mapping[str, Json]) -> str:
    """Return in words what the rows of a table are, from what `describe` returns."""
    rows, examples, views = (description[name] for name in ("rows", "examples", "views"))
    if description["any_view"] and len(views) == 1:
        return f"{rows:,}, one an example, which hold for it in any view"
    return f"{rows:,} of view{'s' * (len(views) != 1)} {', '.join(map(str, views))} of {examples:,} examples"


def output_names(description: Mapping[str, Json]) -> list[str]:
    """Return what the columns of a table stand for, from what `describe` returns."""
    names, subset = description["class_names"], description["subset"]
    return list(names) if subset is None else [*(names[c] for c in subset), "any other class"]


def encoding_of(encodings: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return the encoding of a table, from its shards': the same, and of the errors measured the largest."""
    first = dict(encodings[0])
    if "kl" in first:
        first["kl"] = {t: max(encoding["kl"][t] for encoding in encodings) for t in first["kl"]}
    return first


def told(encoding: Mapping[str, Json]) -> str:
    """Return an encoding in words: what it keeps, what that loses, and why it was taken."""
    name = f"top-{encoding['k']}" if "k" in encoding else encoding["name"]
    lost = ", ".join(f"KL {error:.2g} at temperature {t}" for t, error in encoding.get("kl", {}).items())
    reason = _worded(encoding).get("because", "")
    return "; ".join(part for part in (name, lost and f"loses {lost}", reason) if part)


def _worded(encoding: Mapping[str, Json]) -> dict[str, Json]:
    """Return an encoding with the reason that people are told, in place of the one that is kept."""
    if not encoding.get("because", "").startswith(UNLIMITED):
        return dict(encoding)
    return {**encoding, "because": "every class of a row is kept, for targets.bytes_per_row sets no limit"}


def statistics_of(shards: Sequence[Facts]) -> dict[str, float]:
    """Return the means over all rows of what was measured on each shard; nothing where there is no row."""
    n_rows = sum(shard["rows"] for shard in shards)
    measured = [shard for shard in shards if shard["rows"]]
    names = measured[0]["statistics"] if measured else ()
    return {name: sum(shard["rows"] * shard["statistics"][name] for shard in measured) / n_rows for name in names}


def _shard(task: str, found: Manifest, facts: Facts) -> dict[str, Json]:
    place = {"view": facts["view"], "start": facts["start"], "stop": facts["start"] + facts["examples"]}
    return {"task": task, "key": found.key, **place, "rows": facts["rows"], **_arrays(found)}


def _arrays(found: Manifest) -> dict[str, Json]:
    """Return the SHA-256 and the size of a shard's arrays."""
    kept = found.object(ARRAYS)
    if kept is None:
        raise StoreError(f"a shard must hold {ARRAYS}; got a result without ({found.key[:12]})")
    return {"sha256": kept.sha256, "bytes": kept.bytes}


def _provenance(store: Store, table: Table, data: Manifest) -> dict[str, Json]:
    def digests(tasks: Sequence[str]) -> dict[str, str]:
        return {task: manifest(store, table.run, task).digest for task in tasks}

    parameters = data.recipe["parameters"].items()
    source = {name.removeprefix("data."): value for name, value in parameters if name.startswith("data.")}
    return {
        "store": store.location,
        "run": table.run.name,
        "recorded": table.run.created,
        "data": source | {"kept as": data.digest},
        "views": digests(table.views),
        "teachers": digests(table.teachers),
    }


def _place(task: str) -> tuple[int, int]:
    """Return view and part of a shard from its task's id."""
    view, part = task.rstrip("]").replace("[", "/").rsplit("/", 1)[1].split(".")
    return int(view), int(part)


def _newest_first(store: Store) -> Iterator[Run]:
    yield from sorted(store.runs(), key=lambda run: (run.created, run.name), reverse=True)


def _runs_named(store: Store, name: str) -> list[Run]:
    """Return the runs that a name stands for, one at least, the newest first."""
    runs = list(_newest_first(store))
    found = [run for run in runs if name in {run.name, config_name(run.name)}]
    if found:
        return found
    names = {known for run in runs for known in (config_name(run.name), run.name)}
    known = f"one of the {len(runs)} finished runs in {store.location}" if runs else "a finished run"
    raise ConfigError(f"the run must be {known}; got '{name}'{did_you_mean(name, names)}")

"""Brings checked rows into a store, as a table like those of the teachers."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import ConfigError
from pipeline.recipe import canonical, key_of, sha256
from pipeline.stage import Arrays, Artifact, Json
from pipeline.store import Manifest, Run, Store
from pipeline.store.tensors import TensorBytes
from stages import soft_targets, tables
from stages.imported import checks, kept
from stages.imported.class_map import ClassMap, Listed, class_map
from stages.imported.files import Rows
from stages.imported.parquet import Ids
from stages.learning import views
from stages.tasks import SHARD_BYTES, shards_of


@dataclass(frozen=True)
class Brought:
    """What an import came to.

    Attributes:
        table: The imported table.
        is_new: Whether it was not there before under this name.
        replaced: The table that had this name until now; None if none had.
    """

    table: kept.Import
    is_new: bool
    replaced: kept.Import | None = None


def bring(
    store: Store,
    run: Run,
    name: str,
    rows: Rows,
    listed: Listed | None = None,
    *,
    replace: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Brought:
    """Check somebody's rows and keep them as a table: all of it or nothing.

    The numbers are read twice: block by block to find all faults, then shard by shard to write; where the name is taken
    once more, to see whether they are the same. In memory is a shard, and some 40 bytes a row for ids and their order.

    Args:
        store: Where it is kept.
        run: A run on the data set that the rows are of, which has reached its views.
        name: What the table is to be called.
        rows: The rows.
        listed: What the columns stand for; None for all classes in the order of their ids.
        replace: Whether the name may be one that other content has: runs take this from then on.
        shard_bytes: Size of a shard.

    Raises:
        ConfigError: Something is wrong with the name, the columns or the rows; lists all faults. Or the name is that of
            other content, which is not to be replaced.
        StoreError: Something of the run is no longer there, or the store cannot be written.
    """
    ground = _Ground(store, run)
    columns, faults = class_map(listed, ground.dataset.facts["class_names"])
    faults = [f"--name: {fault}" for fault in kept.name_faults(name)] + [f"--{fault}" for fault in faults]
    width = None if faults else len(columns.columns)
    where = checks.places(rows)
    faults += [f"{rows.path}: {fault}" for fault in _faults(ground, rows, where, width, is_mapped=listed is not None)]
    if faults:
        raise ConfigError("\n".join(faults))
    shard_rows = shards_of(len(where.order), len(columns.columns), shard_bytes)[0][1]
    source = _Source(rows, where, columns, shard_rows)
    former = kept.imports_in(store).get(name)
    if former is not None and not replace:
        _check_same(former, ground, source)
    return _keep_table(ground, name, source, former)


@dataclass(frozen=True)
class _Ground:
    """What an import stands on: the data set, and the views, of a run."""

    store: Store
    run: Run

    @cached_property
    def data(self) -> Manifest:
        return tables.manifest(self.store, self.run, "data[train]")

    @cached_property
    def dataset(self) -> Artifact:
        return self.store.load(self.data)

    @cached_property
    def views(self) -> dict[int, Artifact]:
        """The views of the run by number."""
        tasks = [task for task in self.run.keys if task.startswith("views[")]
        found = [self.store.load(tables.manifest(self.store, self.run, task)) for task in tasks]
        return {view.facts["view"]: view for view in found}

    @property
    def shown(self) -> dict[int, Ids]:
        """The examples that each view shows, ascending."""
        return {number: view.arrays["examples"] for number, view in self.views.items()}


@dataclass(frozen=True)
class _Source:
    """Rows without faults, where they belong, what their columns are, and how many make a shard."""

    rows: Rows
    where: checks.Places
    columns: ClassMap
    shard_rows: int

    def by_view(self) -> Iterator[tuple[int, Ids]]:
        """Yield each view that there are rows of, and these rows by example."""
        order, views = self.where.order, self.where.views
        for number in np.unique(views).tolist():
            yield number, order[views[order] == number]

    def logits(self, chosen: Ids) -> Tensor:
        """Return rows as logits of the outputs; logarithms of probabilities are that too."""
        numbers = torch.from_numpy(self.rows.gathered(chosen))[:, list(self.columns.columns)]
        return numbers.double().log() if self.rows.meaning == "probs" else numbers


def _faults(ground: _Ground, rows: Rows, where: checks.Places, width: int | None, *, is_mapped: bool) -> Iterator[str]:
    n_rows, n_columns = rows.shape
    if not n_rows:
        yield "must have a row; got none"
    if width is not None and n_columns != width:
        rule = f"must have {width} columns, {'as --classes lists' if is_mapped else 'a class each'}"
        yield f"{rule}; got {n_columns}{'' if is_mapped else ': say by --classes which class each is of'}"
    shown = None if rows.views is None else ground.shown
    yield from checks.id_faults(rows, where, n_examples=len(ground.dataset.arrays["labels"]), shown=shown)
    yield from checks.number_faults(rows)


def _check_same(former: kept.Import, ground: _Ground, source: _Source) -> None:
    """Check that rows are the content that a name stands for already.

    Raises:
        ConfigError: They are others.
    """
    content = {task: _key(what, artifact) for task, what, artifact in _parts(ground, former.name, source)}
    known = {task: key for task, key in former.run.keys.items() if task.startswith(("views[", "imported["))}
    if content != known or former.facts["data"] != kept.data_of(ground.data.recipe["parameters"]):
        facts = former.facts
        held = f"{facts['rows']:,} rows of {facts['examples']:,} examples, {facts['outputs']} outputs"
        raise ConfigError(
            f"--name: must be one that no other content has; got '{former.name}', which is {former.run.name}:"
            f"{former.name} ({held}): give this one another by --name, or put it in the place of that with --replace"
        )


def _keep_table(ground: _Ground, name: str, source: _Source, former: kept.Import | None) -> Brought:
    """Write a table and its record, unless the same one is there."""
    manifests = {task: _keep(ground.store, what, artifact) for task, what, artifact in _parts(ground, name, source)}
    facts = _facts(ground, name, source, [manifest.digest for manifest in manifests.values()])
    manifests |= {
        kept.task_of(name): _keep(ground.store, "import", Artifact(facts=facts)),
        "data[train]": ground.data,
    }
    if former is not None and former.is_of(manifests):
        kept.freshen(ground.store, former.run.name)
        return Brought(former, is_new=False)
    return Brought(kept.record(ground.store, name, manifests, facts), is_new=True, replaced=former)


def _parts(ground: _Ground, name: str, source: _Source) -> Iterator[tuple[str, str, Artifact]]:
    """Yield the views and shards of a table: the task that each would be of, what it is, and its content."""
    for number, chosen in source.by_view():
        yield f"views[{number}]", "view", _view(ground, source, number, chosen)
        for part, start in enumerate(range(0, len(chosen), source.shard_rows)):
            yield f"imported[{name}/{number}.{part}]", "shard", _shard(ground, source, number, chosen, start)


def _view(ground: _Ground, source: _Source, number: int, chosen: Ids) -> Artifact:
    """Return a view of some examples: one of the run's, or one that shows them as they are."""
    examples = source.where.examples[chosen]
    if source.rows.views is None:
        size = ground.dataset.arrays["images"].shape[1:3]
        arrays: Arrays = {"examples": examples, **views.draw(examples, seed=0, view=0, image_size=size)}
    else:
        whole = ground.views[number].arrays
        positions = np.searchsorted(whole["examples"], examples)
        arrays = {name: array[positions] for name, array in whole.items()}
    return Artifact(arrays, {"view": number, "rows": len(examples)})


def _shard(ground: _Ground, source: _Source, number: int, chosen: Ids, start: int) -> Artifact:
    rows = chosen[start : start + source.shard_rows]
    return soft_targets.dense_shard(
        source.logits(rows),
        teacher=kept.RECORD,  # the name is not of the content
        view=number,
        start=start,
        examples=len(rows),
        classes=len(ground.dataset.facts["class_names"]),
        subset=source.columns.subset,
    )


def _facts(ground: _Ground, name: str, source: _Source, content: list[str]) -> dict[str, Json]:
    data = kept.data_of(ground.data.recipe["parameters"])
    any_view, subset = source.rows.views is None, source.columns.subset
    return {
        "name": name,
        "digest": sha256(canonical({"data": data, "any_view": any_view, "content": content})),
        "data": data,
        "classes": ground.dataset.facts["class_names"],
        "subset": None if subset is None else list(subset),
        "outputs": len(source.columns.columns),
        "views": np.unique(source.where.views).tolist(),
        "shard_rows": source.shard_rows,
        "rows": len(source.where.examples),
        "examples": len(np.unique(source.where.examples)),
        "any_view": any_view,
    }


def _keep(store: Store, what: str, artifact: Artifact) -> Manifest:
    """Keep something under what it is: the same content has the same key, wherever it came from."""
    return store.save(_recipe(what, artifact), artifact, seconds=0.0)


def _key(what: str, artifact: Artifact) -> str:
    return key_of(_recipe(what, artifact))


def _recipe(what: str, artifact: Artifact) -> dict[str, Json]:
    return {
        "stage": "import",
        "version": tables.FORMAT,
        "parameters": {"what": what, "content": _digest(artifact)},
        "inputs": {},
        "seed": 0,
        "threads": 1,
        "packages": {},
    }


def _digest(artifact: Artifact) -> str:
    found = hashlib.sha256(canonical(dict(artifact.facts)))
    for chunk in TensorBytes(artifact.arrays):
        found.update(chunk)
    return found.hexdigest()

"""Puts a run together from its config: the one place where the pipeline meets the stages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline import config as config_file
from pipeline.cli.schema import Config
from pipeline.errors import ConfigError, did_you_mean
from pipeline.executor import check_threads
from pipeline.graph import Graph
from pipeline.runs import newest_first
from pipeline.stage import Facts, Json
from pipeline.store import Store
from stages import STAGES
from stages.learning import sources
from stages.learning.errors import LearningError
from stages.parameters import check_classes, resolved

STAGE_NAMES = tuple(stage.name for stage in STAGES)

Fault = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True)
class Composition:
    """A run, ready to be planned or done.

    Attributes:
        config: Its config.
        store: Where its results are kept.
        source: What identifies its data: `kind`, `digest`, `root`, and `classes` where known.
    """

    config: Config
    store: Store
    source: Facts

    def graph(self, until: str | None = None) -> Graph:
        """Return the tasks of all stages, or of those up to and including one."""
        return Graph(
            STAGES[: STAGE_NAMES.index(until) + 1] if until else STAGES,
            resolved(self.config),
            seed=self.config.seed,
            store=self.store,
            known={"source": self.source},
        )

    def history(self, task_id: str) -> Mapping[str, Json] | None:
        """Return the recipe of a task in the newest run of this name that has a result for it."""
        key = self._former_keys.get(task_id)
        manifest = self.store.find(key) if key else None
        return manifest.recipe if manifest else None

    @cached_property
    def _former_keys(self) -> dict[str, str]:
        keys: dict[str, str] = {}
        for folder in newest_first(Path(self.config.runs), self.config.name):
            keys = {**folder.keys(), **keys}
        return keys


def compose(path: Path, overrides: Sequence[str]) -> Composition:
    """Return the run that a config file describes.

    Raises:
        ConfigError: Lists all faults of the config.
        StoreError: The store cannot be used.
    """
    found: list[tuple[Store, Facts]] = []

    def check(config: Config) -> list[Fault]:
        store = Store.open(config.store)
        faults = check_threads(config.ray, _threads(config))
        try:
            source = identify(config, store)
        except LearningError as error:
            return [*faults, *((("data", "source"), fault) for fault in _lines(error))]
        found.append((store, source))
        return faults + (check_classes(config, source["classes"]) if source["classes"] else [])

    config = config_file.load(path, Config, overrides, checks=check)
    store, source = found[-1]
    return Composition(config, store, source)


def stages_named(option: str, names: Sequence[str]) -> Sequence[str]:
    """Return stage names that an option gave, checked.

    Raises:
        ConfigError: One is not a stage.
    """
    faults = [
        f"{option}: must be a stage ({', '.join(STAGE_NAMES)}); got '{name}'{did_you_mean(name, STAGE_NAMES)}"
        for name in names
        if name not in STAGE_NAMES
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return names


def identify(config: Config, store: Store) -> Facts:
    """Return what identifies the data of a run, reading the data only when its files are not those of the last time.

    Raises:
        LearningError: There is no such source.
    """
    source, root = config.data.source, Path(config.data.root).absolute()
    stamp = sources.stamp(source, root)
    name = f"source {source} {root}"
    remembered = store.recall(name)
    if remembered is None or remembered["stamp"] != stamp:
        identity = sources.identify(source, root)
        remembered = {"stamp": stamp, "digest": identity.digest, "classes": identity.classes}
        store.remember(name, remembered)
    return {
        "kind": source.partition(":")[0],
        "digest": remembered["digest"],
        "classes": remembered["classes"],
        "root": str(root),
    }


def _lines(error: LearningError) -> Iterator[str]:
    """Yield each fault of an error on a line of its own: a data set's faults are listed below what they are of."""
    whole, *faults = str(error).splitlines()
    yield from (f"{whole} {fault.strip()}" for fault in faults) if faults else [whole]


def _threads(config: Config) -> dict[tuple[str | int, ...], int]:
    return {
        ("generalist", "threads"): config.generalist.threads,
        ("specialists", "threads"): config.specialists.threads,
        ("student", "threads"): config.student.threads,
    }

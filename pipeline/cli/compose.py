"""Puts a run together from its config: the one place where the pipeline meets the stages."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pipeline import config as config_file
from pipeline.cli import dataset, imports, logged, models
from pipeline.cli.dataset import DataSet
from pipeline.cli.schema import Config
from pipeline.cli.tables import warn
from pipeline.config import Loaded
from pipeline.config_source import Source
from pipeline.errors import ConfigError, Fault, Location, MisfitError, StoreError, did_you_mean
from pipeline.executor import Needs, by_stage, check_options
from pipeline.graph import Graph
from pipeline.planner import Former
from pipeline.runs import newest_first
from pipeline.stage import Facts, Json
from pipeline.store import Store
from stages import STAGES, given_files
from stages.learning.errors import LearningError
from stages.learning.model_names import library_of
from stages.parameters import (
    check_classes,
    check_images,
    check_together,
    check_unfit_subsets,
    resolved,
)
from stages.tasks import refit

STAGE_NAMES = tuple(stage.name for stage in STAGES)
REFIT_STAGES = tuple(name for name in STAGE_NAMES if name.startswith(refit.PREFIX))

OUR_PACKAGES = ("pipeline", "specialists", "stages")
"""What tasks import of ours."""


DATA_OPTIONS = frozenset({"data.root", "data.download", "data.size", "data.test"})
"""What decides, beside its source, how the data set is read."""


@dataclass(frozen=True)
class Composition:
    """A run, ready to be planned or done.

    Attributes:
        loaded: Its config, and where each of its values was written.
        store: Where its results are kept.
        data: What is known of its data set.
        models: What is known of the files that its networks are made of, by section of the config.
        imported: What is known of the imported tables that it uses, by name.
    """

    loaded: Loaded[Config]
    store: Store
    data: DataSet
    models: Facts
    imported: Mapping[str, Facts]

    @property
    def config(self) -> Config:
        """The run's config."""
        return self.loaded.model

    def graph(self, until: str | None = None) -> Graph:
        """Return the tasks of all stages, or of those up to and including one."""
        return Graph(
            STAGES[: STAGE_NAMES.index(until) + 1] if until else STAGES,
            resolved(self.config),
            seed=self.config.seed,
            store=self.store,
            known=self.known,
            empty=self.empty,
        )

    @property
    def empty(self) -> frozenset[str]:
        """The stages that have no tasks because the config does not ask for them."""
        config = self.config
        unwanted = {
            "transfer": config.data.transfer.is_everything,
            "given": config.generalist.given is None and not config.specialists.given,
            "fold": config.data.folds is None,
            "calibration": not config.combine.calibrate,
            "import": not config.targets.imported,
            "imported": not config.targets.imported,
            "sweep": config.sweep is None,
            **dict.fromkeys(REFIT_STAGES, not config.refit),
        }
        return frozenset(name for name, is_unwanted in unwanted.items() if is_unwanted)

    @property
    def known(self) -> Mapping[str, Facts]:
        """What is known before the first stage, by name."""
        return {"source": self.data.facts, "models": self.models, "imported": self.imported}

    def history(self, task_id: str) -> list[Former]:
        """Return the results that runs of this name made or reused of a task, each once.

        Those of runs with this seed come first; otherwise the newest.
        """
        formers = self._former_seeds.get(task_id, {}).items()
        ordered = sorted(formers, key=lambda item: item[1] != self.config.seed)
        return [Former(key, seed, partial(self._former_recipe, key)) for key, seed in ordered]

    def needs(self, stages: Collection[str]) -> Needs:
        """Return what these stages need of the machines that do them."""
        wanted = tuple(stage for stage in STAGES if stage.kept and stage.name in set(stages) - self.empty)
        # Of a network that is there already it may be what lies beside its weights that names what makes it.
        functions = _named_modules(self.config.model_dump()) | set(self.models.get("modules", {}))
        modules = (*OUR_PACKAGES, *sorted(functions))
        threads, workers = (by_stage(named(self.config)) for named in (_threads, _workers))
        said = [given["description"] for given in self.models.get("given", {}).values() if given["description"]]
        networks = (
            self.config.generalist.model.name,
            self.config.student.model.name,
            *(one["model"]["name"] for one in said),
        )
        libraries = tuple(dict.fromkeys(library for name in networks for library in library_of(name)))
        return Needs(wanted, threads, workers, modules, self.store.location, libraries)

    @property
    def droppable(self) -> frozenset[str]:
        """The stages of which the run goes on without a task that fails."""
        return frozenset({"specialist"} if self.config.specialists.on_failure == "drop" else ())

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Say of settings that turn out within not to fit the data where they were written.

        Raises:
            ConfigError: As MisfitError was raised within.
        """
        try:
            yield
        except MisfitError as error:
            raise self.loaded.error(error.faults) from error

    def _former_recipe(self, key: str) -> Mapping[str, Json] | None:
        manifest = self.store.find(key)
        return manifest.recipe if manifest else None

    @cached_property
    def _former_seeds(self) -> dict[str, dict[str, int | None]]:
        """By task id and key of a result, the seed of the newest run of this name that has it; the newest first."""
        seeds: dict[str, dict[str, int | None]] = {}
        for folder in newest_first(Path(self.config.runs), self.config.name):
            try:
                keys, seed = folder.keys(), folder.seed()
            except StoreError as error:  # it only tells what changed since then
                warn(f"warning: {error}")
                continue
            for task_id, key in keys.items():
                seeds.setdefault(task_id, {}).setdefault(key, seed)
        return seeds


def compose(
    path: Path,
    overrides: Sequence[str],
    *,
    load: bool = False,
    make: bool = False,
    reach: bool = False,
    build: bool = False,
    anew: bool = False,
) -> Composition:
    """Return the run that a config file describes.

    Args:
        path: The config file.
        overrides: Values put in place of what it says.
        load: Whether the data set is loaded, unless it has been before: then all that is wrong with it is told too.
        make: Whether the store is made if it is not there.
        reach: Whether those that the run is logged to are asked if they are there, and the store if it can be written.
        build: Whether networks of the user's, and those with weights from a file, are made and tried once, where the
            data set is loaded.
        anew: Whether the data set is to be read again, whatever was seen of it before.

    Raises:
        ConfigError: Lists all faults of the config; one of them may be that the store cannot be reached or written.
        StoreError: The store fails while it is read.
    """
    found: list[tuple[Store, DataSet, Facts, Mapping[str, Facts]]] = []

    def check(config: Config, source: Source) -> list[Fault]:
        told = {fault.path for fault in source.faults}
        faults: list[Fault] = check_options(config.ray, STAGES, _threads(config), _workers(config))
        faults += check_together(config)
        faults += logged.faults_of(config, reach=reach)
        try:
            store = Store.open(config.store) if make else Store.at(config.store)
            if reach and not make:
                store.files.try_out()
        except StoreError as error:
            return [*faults, (("store",), str(error))]
        store.on_damage = warn
        networks, missing = models.find(config, store)
        faults += missing
        try:
            data = dataset.find(config, store, load=load, anew=anew)
        except LearningError as error:
            if told & DATA_OPTIONS:  # a default stands in for what was written, and may be what is wrong here
                return faults
            return [*faults, (("data", "source"), _headed(error))]
        imported, missing = imports.find(config, store, data)
        faults += missing
        found.append((store, data, networks, imported))
        if data.classes:
            faults += check_classes(config, data.classes, data.class_names)
            if any(path.startswith("specialists.subsets") for path in told):
                subsets = source.values["specialists"].get("subsets")
                faults += check_unfit_subsets(subsets, data.classes, data.class_names)
        faults += check_images(config, data.contents.image_shape) if data.contents else []
        if not faults and data.contents:
            there, contents = networks.get("given", {}), data.contents
            faults += given_files.faults_of(config, there, contents.class_names, contents.image_shape)
        if build and data.contents:
            fitting = networks if not faults else {name: networks[name] for name in networks if name != "given"}
            faults += _trial(config, fitting, data.contents)
        return faults

    loaded = config_file.load(path, Config, overrides, checks=check)
    return Composition(loaded, *found[-1])


def _trial(config: Config, networks: Facts, contents: dataset.Contents) -> list[Fault]:
    """Return what is wrong with networks of the user's, and with weights from files: they are made now."""
    if not networks:
        return []
    from stages import trial  # noqa: PLC0415  # brings torch: only where there is something to try

    return trial.faults_of(config, networks, contents.class_names, contents.image_shape)


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


def _headed(error: LearningError) -> str:
    """Return an error whose faults are listed below what they are of; a single one follows that on the same line."""
    whole, *faults = str(error).splitlines()
    return f"{whole} {faults[0].strip()}" if len(faults) == 1 else str(error)


_TRAININGS = {"generalist": "generalist", "specialists": "specialist", "student": "student"}
"""By section of the config, the stage whose training it describes."""


def _threads(config: Config) -> dict[Location, tuple[Sequence[str], int]]:
    """Return by config path the stages that a number of threads is for, and the number."""
    return {
        (section, "threads"): (_all_like(stage), getattr(config, section).threads)
        for section, stage in _TRAININGS.items()
    }


def _workers(config: Config) -> dict[Location, tuple[Sequence[str], int]]:
    """Return by config path the stages that a number of workers is for, and the number."""
    return {("student", "workers"): (_all_like("student"), config.student.workers)}


def _all_like(name: str) -> list[str]:
    """Return the stage of a name, and those that are like it."""
    return [stage.name for stage in STAGES if name in {stage.name, stage.like}]


def _named_modules(value: Any) -> set[str]:
    """Return the top modules that nested values name as `python:MODULE:FACTORY`."""
    if isinstance(value, Mapping):
        return set().union(*map(_named_modules, value.values()))
    if isinstance(value, str) and value.startswith("python:"):
        return {value.split(":")[1].partition(".")[0]}
    return set()

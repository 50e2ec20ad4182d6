"""The contract between the pipeline and its stages.

A stage function is an ordinary function. It takes artifacts and parameters as keyword arguments and returns an
artifact; the runner does all reading and writing:

    def train(*, data: Artifact, generalist: TeacherParameters, work: Work) -> Artifact: ...
"""

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = Any  # what json.dumps takes; a recursive alias gains nothing where every value comes from JSON
Facts = Mapping[str, Json]
Arrays = Mapping[str, "NDArray[Any]"]
Progress = Callable[[Mapping[str, Json]], None]


@dataclass(frozen=True)
class Artifact:
    """What a stage makes: arrays by name, and facts that JSON can hold.

    Attributes:
        arrays: Arrays by name; read-only and memory-mapped when they come from a store.
        facts: Small values for people, for later stages, and for deciding which tasks come next.
    """

    arrays: Arrays = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)


class Checkpoint(Protocol):
    """Where a task keeps what it has done so far, to go on from there when it is begun again."""

    def load(self) -> Artifact | None:
        """Return what was kept when the task had come furthest, or None."""

    def is_due(self) -> bool:
        """Return whether it is time to keep something."""

    def save(self, arrays: Arrays, facts: Facts, *, position: int) -> None:
        """Keep arrays and facts, and how far the task has come; raises nothing where that is not possible."""

    def discard(self, why: str) -> None:
        """Say that what `load` returned is of no use, and why, as the end of a sentence."""


class NoCheckpoint:
    """Keeps nothing: a task that is begun again starts from its beginning."""

    def load(self) -> Artifact | None:
        """Return None."""
        return None

    def is_due(self) -> bool:
        """Return False."""
        return False

    def save(self, arrays: Arrays, facts: Facts, *, position: int) -> None:
        """Keep nothing."""

    def discard(self, why: str) -> None:
        """Discard nothing."""


def _ignore(_: Mapping[str, Json]) -> None:
    """Report progress to nobody."""


def _meet_nobody(where: str) -> str:
    """Return what one that is alone says."""
    return where


@dataclass(frozen=True)
class Team:
    """The workers that do one task together, as one of them sees it. Each calls the stage's function.

    Attributes:
        rank: Which one this is, from 0: what the first one returns is kept.
        size: How many there are.
        host: The address at which the others reach this one.
        meet: Given where the first one listens, returns it in all of them; the others give nothing, and wait.
    """

    rank: int = 0
    size: int = 1
    host: str = "127.0.0.1"
    meet: Callable[[str], str] = _meet_nobody


def _unshown(_: str) -> AbstractContextManager[None]:
    """Show nothing while something is prepared."""
    return nullcontext()


@dataclass(frozen=True)
class Work:
    """What a stage function is given beside its inputs and parameters.

    Attributes:
        seed: Source of every random draw of this task; derived from the run's seed, the stage and its identity.
        threads: CPU threads the task may use; part of its recipe, because it changes the last bits of sums.
        progress: Called with a small mapping whenever there is something to show, such as the epoch and accuracy.
        checkpoint: What a long task goes on from when it is begun again.
        warn: Called with what the user should know although the task goes on.
        team: Who does the task; but of the first, `progress` and `checkpoint` reach nobody.
        preparing: Told in words what is done once on a machine or in a process, not for each task; within it the time
            is not the task's.
    """

    seed: int = 0
    threads: int = 1
    progress: Progress = _ignore
    checkpoint: Checkpoint = field(default_factory=NoCheckpoint)
    warn: Callable[[str], None] = warnings.warn
    team: Team = field(default_factory=Team)
    preparing: Callable[[str], AbstractContextManager[None]] = _unshown


class Unrecorded:
    """Marks a field of a parameter model whose recipes leave it out where it has one of these values.

    With such a value the result is what it was before there was such a field, so that what was kept then is found; of
    a field that can change no result, these are all its values.

    Args:
        values: The values.
    """

    def __init__(self, values: Sequence[Json]) -> None:
        self.values = values


@dataclass(frozen=True)
class Task:
    """One piece of work: a stage applied to one set of inputs. Its result is kept under its recipe.

    Attributes:
        stage: Name of the stage.
        identity: What sets this task apart from the stage's others, such as `3-5-8`; empty where there is one.
        inputs: By argument name, the id of the task whose artifact is meant, or a list of ids.
        parameters: By config path, a pydantic model or a plain value, so that a changed one can be named as the user
            wrote it. The function's argument is the last word of the path: `combine.divergence` is `divergence`.
        settings: By argument name, values that cannot change the result, such as paths: not part of the recipe.
        seed_stage: What the seed is derived from in place of `stage`, where tasks of two stages must share their draws.
        seed_identity: The same in place of `identity`.
        threads: CPU threads of the task, of each worker where there are several.
        workers: How many workers do it together, each as much as one alone would take of a node. They are not in the
            recipe of themselves: where they change a result, a parameter says so.
        title: What people call it where the identity says little, such as the names of its classes.
        function: What computes it, where that is not what its stage says.
        packages: Distributions whose version is part of the recipe beside those of the stage.
        revision: Raised whenever the function's meaning changes for tasks like this one alone, so that the results of
            the stage's others stay; part of the recipe where it is above 0.
    """

    stage: str
    identity: str = ""
    inputs: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed_stage: str | None = None
    seed_identity: str | None = None
    threads: int = 1
    workers: int = 1
    title: str = ""
    function: str = ""
    packages: tuple[str, ...] = ()
    revision: int = 0

    @property
    def id(self) -> str:
        """The task's name within its run, such as `specialist[3-5-8]`."""
        return f"{self.stage}[{self.identity}]" if self.identity else self.stage

    @property
    def cpus(self) -> int:
        """The CPU threads of all its workers together."""
        return self.threads * self.workers

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters and settings by argument name."""
        return {path.rsplit(".")[-1]: value for path, value in self.parameters.items()} | dict(self.settings)

    @property
    def input_ids(self) -> tuple[str, ...]:
        """The ids of all tasks this one reads, in the order of its arguments."""
        ids: list[str] = []
        for wanted in self.inputs.values():
            ids.extend([wanted] if isinstance(wanted, str) else wanted)
        return tuple(ids)


@dataclass(frozen=True)
class Effort:
    """What a task is expected to take, as far as its sizes tell.

    Attributes:
        kind: Tasks of one stage and one kind take time in proportion to their units, such as the same training for
            more epochs; empty where nothing is known of the time.
        units: How much there is to do, such as epochs times examples.
        least_bytes: Bytes that its result takes in the store for certain.
        most_bytes: Bytes that it takes at most; None where sizes do not tell, as of weights.
        memory: Bytes of memory that its process takes, about; None where sizes do not tell.
    """

    kind: str = ""
    units: float = 0.0
    least_bytes: int = 0
    most_bytes: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Stage:
    """One entry of the table of contents.

    Attributes:
        name: The stage's name on the command line and in every table.
        function: What computes it, as `module:function`; imported only where it runs.
        tasks: What lists its tasks, as `module:function`, called with the parameters and the facts of `decided_by`.
            Where the run goes on without tasks that failed, the facts `dropped` have their ids as `tasks`. Imports
            nothing heavy.
        version: Raised whenever the function's meaning changes; part of every recipe.
        decided_by: Stages whose facts decide which tasks this one has; all their tasks come first.
        packages: Distributions whose major version, below 1 also the minor one, is part of the recipe, because results
            may differ with it.
        gpu: The share of a GPU that one task takes, where the cluster has one.
        like: A stage whose tasks do the same to other data: these take as long, and reserve as much, unless something
            is known, or said, of this one.
        kept: Whether its result goes to the store. A stage that is not kept runs in the driver at the end of every
            run, takes a `RunSummary` beside its inputs, and returns the files of the run's folder.
    """

    name: str
    function: str
    tasks: str
    version: int = 1
    decided_by: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    gpu: float = 0.0
    like: str = ""
    kept: bool = True


@dataclass(frozen=True)
class Making:
    """How a run made a result.

    Attributes:
        ended: Seconds from the run's start to its being done; None where it was there already.
        prepared: What had to be prepared for it, in words, and the seconds that took.
    """

    ended: float | None = None
    prepared: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskSummary:
    """What a run knows of one of its results.

    Attributes:
        id: The task's id.
        key: The SHA-256 of its recipe.
        digest: The SHA-256 of its content.
        made_from: The ids of the tasks whose results it was made from.
        seconds: How long making it took, when it was made.
        bytes: Its size.
        created: When it was kept, ISO 8601 in UTC.
        ended: Seconds from the run's start to its being done; None where it was there already.
        prepared: What was prepared for it in this run, which later tasks found ready, in words, and the seconds that
            took; they are not among its own.
    """

    id: str
    key: str
    digest: str
    made_from: Sequence[str]
    seconds: float
    bytes: int
    created: str
    ended: float | None = None
    prepared: Mapping[str, float] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return stage_of(self.id)


def prepared_for(tasks: Sequence[TaskSummary]) -> dict[str, float]:
    """Return what was prepared for tasks, in words, and the seconds that took, which are not among theirs."""
    found: dict[str, float] = {}
    for task in tasks:
        for what, seconds in task.prepared.items():
            found[what] = found.get(what, 0.0) + seconds
    return {what: round(seconds, 3) for what, seconds in found.items()}


@dataclass(frozen=True)
class RunSummary:
    """What a run knows of itself when all its results are there.

    Attributes:
        name: The run's name in the config.
        seed: The run's seed.
        config: The resolved config, as YAML.
        tasks: Its results, in the order of the stages.
    """

    name: str
    seed: int
    config: str
    tasks: Sequence[TaskSummary]

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, the seconds its tasks took when they were first run."""
        seconds: dict[str, float] = {}
        for task in self.tasks:
            seconds[task.stage] = seconds.get(task.stage, 0.0) + task.seconds
        return {stage: round(value, 3) for stage, value in seconds.items()}

    @property
    def prepared(self) -> dict[str, float]:
        """What was prepared in this run that later tasks found ready, in words, and the seconds that took."""
        return prepared_for(self.tasks)

    @property
    def reused(self) -> list[str]:
        """The ids of the tasks whose results were there already."""
        return [task.id for task in self.tasks if task.ended is None]


def stage_of(task_id: str) -> str:
    """Return the name of the stage that a task is of, such as `student` of `student[hard]`."""
    return task_id.partition("[")[0]


def imported(name: str) -> Callable[..., Any]:
    """Return the function that `module:function` names, importing its module now."""
    module, function = name.split(":")
    return cast("Callable[..., Any]", getattr(importlib.import_module(module), function))

"""What happens to one task where it runs, whoever runs it: a plain function from a job to an outcome."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pipeline import heap
from pipeline.errors import DamagedError, PipelineError, StoreError
from pipeline.recipe import key_of, task_seed
from pipeline.stage import Artifact, Checkpoint, Json, NoCheckpoint, Progress, Stage, Task, Team, Work, imported
from pipeline.store import Manifest, Store
from pipeline.store.checkpoints import KeptCheckpoint
from pipeline.store.work import WorkClaims

ALONE = Team()
"""A task's one worker."""

CHECKPOINT_SECONDS = 60.0
"""How often a long task keeps what it has done so far, unless the config says otherwise."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before what could not be kept is written again."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to do one task.

    Attributes:
        stage: The task's stage.
        task: The task.
        recipe: What its result is kept under.
        inputs: By argument name, the manifests of what it reads.
        store: Location of the store.
        seed: The run's seed.
        checkpoint_seconds: How often a long task keeps what it has done so far.
        former: A result of the same recipe that the new one takes the place of.
        run: A name that no other run has.
    """

    stage: Stage
    task: Task
    recipe: Mapping[str, Json]
    inputs: Mapping[str, Manifest | list[Manifest]]
    store: str
    seed: int
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    former: Manifest | None = None
    run: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with a manifest, with a lost input, with a fault, or not begun.

    Attributes:
        task: The task.
        manifest: Its result, where there is one.
        lost: Recipe keys of inputs that turned out to be damaged and were set aside.
        fault: One line for the user, where the stage failed.
        details: The traceback that belongs to the fault.
        warnings: What was found damaged in the store, and set aside, and what the stage warned of.
        may_pass: Whether the fault is of storage or network, and may be gone when the task is done again.
        elsewhere: The run that does this work already, where it was not begun for that.
        is_new: Whether the result was made by this job; another run's may have come before it.
        prepared: What it had to prepare, which later ones find ready, in words, and how many seconds that took; it is
            no part of what the result took.
    """

    task: Task
    manifest: Manifest | None = None
    lost: tuple[str, ...] = ()
    fault: str = ""
    details: str = ""
    warnings: tuple[str, ...] = ()
    may_pass: bool = False
    elsewhere: str = ""
    is_new: bool = True
    prepared: Mapping[str, float] = field(default_factory=dict)


class _NotKeptError(StoreError):
    """What a stage has made could not be kept, though that was tried several times."""


def perform(job: Job, progress: Progress, team: Team = ALONE) -> Outcome:
    """Do a job: read its inputs, call its stage, keep what comes out.

    Args:
        job: The job.
        progress: Called with what the stage reports while it works.
        team: The workers that do it together, this being the first.

    Returns:
        The outcome. Nothing but the wish to stop is raised: a fault becomes part of the outcome, so that the other
        tasks of the run are not disturbed.
    """
    return _guarded(job, lambda warn: _claimed(job, progress, team, warn))


def assist(job: Job, team: Team) -> Outcome:
    """Do a job as another worker than the first: what its stage returns is kept by that one.

    Args:
        job: The job.
        team: The workers that do it together.

    Returns:
        The outcome, as `perform`; without a fault there is nothing in it.
    """

    def helped(warn: Callable[[str], None]) -> Outcome:
        _call(_opened(job, warn), job, _Preparing(_ignore), NoCheckpoint(), team, warn)
        return Outcome(job.task)

    return _guarded(job, helped)


def _ignore(_: Mapping[str, Json]) -> None:
    """Report progress to nobody."""


def _guarded(job: Job, do: Callable[[Callable[[str], None]], Outcome]) -> Outcome:
    """Return the outcome of what is called with something that warns, and make one of what it raises."""
    warnings: list[str] = []
    try:
        with heap.kept():
            outcome = do(warnings.append)
    except DamagedError as error:
        outcome = Outcome(job.task, lost=(error.key,), fault=str(error))
    except Exception as error:  # noqa: BLE001  # whatever a stage raises is a fault of that stage, told by its name
        outcome = replace(failed(job.task, error), may_pass=_may_pass(error))
    return replace(outcome, warnings=tuple(warnings))


def failed(task: Task, error: Exception) -> Outcome:
    """Return the outcome of a task that raised an error; a message that is no sentence gets the error's kind."""
    text, kind = str(error), type(error).__name__
    is_sentence = isinstance(error, PipelineError | ValueError | RuntimeError)
    fault = text if text and is_sentence else f"{kind}: {text}" if text else kind
    return Outcome(task, fault=fault, details="".join(traceback.format_exception(error)))


def _may_pass(error: Exception) -> bool:
    """Return whether an error is one of input or output, and not of what was asked for."""
    if isinstance(error, _NotKeptError):
        return False
    lasting = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, ImportError)
    if isinstance(error, StoreError):
        # It is raised from what the filesystem raised; object stores have errors of many kinds.
        return error.__cause__ is not None and not isinstance(error.__cause__, lasting)
    return isinstance(error, OSError) and not isinstance(error, lasting)


def _opened(job: Job, warn: Callable[[str], None]) -> Store:
    store = Store.open(job.store)
    store.on_damage = warn
    return store


def _claimed(job: Job, progress: Progress, team: Team, warn: Callable[[str], None]) -> Outcome:
    """Do a job unless another run does it, or has done it since this one looked."""
    store = _opened(job, warn)
    if job.former is not None:  # whose result is not wanted, whoever is at it
        return _kept(store, job, progress, team, warn)
    key = key_of(job.recipe)
    with WorkClaims(store.files, job.run).working(key) as other:
        if other:
            return Outcome(job.task, elsewhere=other)
        found = store.find(key)
        if found is not None:
            return Outcome(job.task, manifest=found, is_new=False)
        return _kept(store, job, progress, team, warn)


def _kept(store: Store, job: Job, progress: Progress, team: Team, warn: Callable[[str], None]) -> Outcome:
    progress({"state": "running"})
    checkpoint = KeptCheckpoint(
        store,
        key_of(job.recipe),
        seconds=job.checkpoint_seconds,
        resumed=lambda seconds: progress({"resumed": seconds}),
    )
    preparing = _Preparing(progress)
    artifact, seconds = _call(store, job, preparing, checkpoint, team, warn)
    seconds += checkpoint.spent
    manifest = _saved(store, job, artifact, seconds, _named(job.task, warn))
    checkpoint.clear()
    return Outcome(job.task, manifest=manifest, prepared=preparing.seconds)


def _saved(store: Store, job: Job, artifact: Artifact, seconds: float, warn: Callable[[str], None]) -> Manifest:
    """Keep what a stage has made; where storage fails, it is written again, for making it again may take hours."""
    for pause in PAUSES:
        try:
            return store.save(job.recipe, artifact, seconds=seconds, instead_of=job.former)
        except Exception as error:
            if not _may_pass(error):
                raise
            warn(f"{error}; what was made is written again in {pause:g} s")
        time.sleep(pause)
    try:
        return store.save(job.recipe, artifact, seconds=seconds, instead_of=job.former)
    except Exception as error:
        raise _NotKeptError(str(error)) from error


def _call(
    store: Store, job: Job, preparing: "_Preparing", checkpoint: Checkpoint, team: Team, warn: Callable[[str], None]
) -> tuple[Artifact, float]:
    """Return what the stage's function makes, and how many seconds that took."""
    function = imported(job.task.function or job.stage.function)
    seed, warn = task_seed(job.task, job.seed), _named(job.task, warn)
    work = Work(seed, job.task.threads, preparing.progress, checkpoint, warn, team, preparing.told)
    started = time.perf_counter()  # importing is no part of the work: the next task of this process does not pay it
    artifact: Artifact = function(**load_inputs(store, job.inputs), **job.task.arguments, work=work)
    return artifact, time.perf_counter() - started - sum(preparing.seconds.values())


@dataclass
class _Preparing:
    """How long a task has prepared what later ones of its process, or machine, find ready.

    Attributes:
        progress: Told what is done meanwhile, and of its end.
        seconds: How long, by what was done.
    """

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Count what is done within as preparation."""
        self.progress({"doing": what})
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started
            self.progress({"doing": ""})


def _named(task: Task, warn: Callable[[str], None]) -> Callable[[str], None]:
    """Return what warns in the name of a task."""
    return lambda message: warn(f"{task.id}: {message}")


def load_inputs(store: Store, inputs: Mapping[str, Manifest | list[Manifest]]) -> dict[str, Artifact | list[Artifact]]:
    """Return the artifacts that manifests stand for, by argument name."""
    return {
        name: [store.load(item) for item in manifest] if isinstance(manifest, list) else store.load(manifest)
        for name, manifest in inputs.items()
    }

"""Runs the tasks of a graph until all results are there, and takes from the store what is there already."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.awaited import Awaited
from pipeline.errors import DamagedError, StageError, StoreError
from pipeline.events import Events
from pipeline.executor import Executor
from pipeline.faults import Faults
from pipeline.graph import Graph
from pipeline.recipe import key_of
from pipeline.stage import Effort, Json, Making, RunSummary, Stage, Task, imported
from pipeline.store import Manifest, Store
from pipeline.store.checkpoints import KeptCheckpoint
from pipeline.store.processes import temporary_name
from pipeline.store.work import WorkClaims
from pipeline.summary import summarise
from pipeline.worker import CHECKPOINT_SECONDS, Job, Outcome, failed, load_inputs

MAX_REPAIRS = 3
"""How often one result is made again before its store is called unreliable."""


@dataclass(frozen=True)
class Scope:
    """Which of a graph's stages a run does.

    Attributes:
        stages: The stages whose results are wanted; the inputs of these have to be there already.
        fresh: Stages that are done again although their results are there.
        keep_going: Whether a fault stops only what depends on it.
        droppable: Stages of which the run goes on without a task that fails, as long as it has another.
    """

    stages: frozenset[str]
    fresh: frozenset[str] = frozenset()
    keep_going: bool = False
    droppable: frozenset[str] = frozenset()


def _nothing_gone(_: Mapping[str, str]) -> Sequence[str]:
    """Claim nothing: nobody deletes from a store that is this run's alone."""
    return ()


def _do_not_look() -> None:
    """Look at nothing."""


def _unmeasured(_: Task) -> Effort:
    """Tell nothing of what a task is expected to take."""
    return Effort()


@dataclass
class Runner:
    """Does the tasks of a graph.

    Attributes:
        name: The run's name.
        seed: The run's seed.
        graph: The tasks.
        store: Where results are kept.
        scope: Which stages are wanted.
        events: Told of everything that happens.
        start: Starts the executor; called when the first task has to run, so that reuse costs no start-up.
        checkpoint_seconds: How often a long task keeps what it has done so far.
        config: The resolved config, as YAML, for the report.
        claim: Told the keys of all results so far, by task id, before they are relied on; returns those that are gone.
        look_ahead: Called when more tasks are known; may refuse to go on.
        measure: Tells the effort of a task, which is kept with the time that it took.
        run_name: The name of this very run, for others that share the store.
    """

    name: str
    seed: int
    graph: Graph
    store: Store
    scope: Scope
    events: Events
    start: Callable[[], Executor]
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    claim: Callable[[Mapping[str, str]], Sequence[str]] = _nothing_gone
    config: str = ""
    look_ahead: Callable[[], None] = _do_not_look
    measure: Callable[[Task], Effort] = _unmeasured
    run_name: str = field(default_factory=temporary_name)
    _started: float = field(default_factory=time.time)
    _executor: Executor | None = None
    _submitted: dict[str, Job] = field(default_factory=dict)
    _made: dict[str, Making] = field(default_factory=dict)
    _reused: set[str] = field(default_factory=set)
    _repairs: dict[str, int] = field(default_factory=dict)
    _told: dict[str, Json] = field(default_factory=dict)
    _awaited: Awaited = field(init=False)
    _faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing awaited, and nothing gone wrong."""
        self._faults = Faults(self.scope.droppable)
        self._awaited = Awaited(WorkClaims(self.store.files, self.run_name))

    def run(self) -> dict[str, bytes]:
        """Do all tasks of the scope that have no result.

        Returns:
            The files for the run's folder, by name, which the stages that are not kept have written.

        Raises:
            StageError: Tasks failed, or inputs that should be there are not; the message names them all.
        """
        try:
            while True:
                self._do_tasks()
                self._check_all_done()
                try:
                    return self._files()
                except DamagedError as error:
                    self._repair(error.key, str(error))
        finally:
            if self._executor is not None:
                self._executor.close()

    def keys(self) -> dict[str, str]:
        """Return the recipe keys of all results, by task id."""
        return {name: manifest.key for name, manifest in self.graph.results.items()}

    def digests(self) -> dict[str, str]:
        """Return what all results are, by task id."""
        return {name: manifest.digest for name, manifest in self.graph.results.items()}

    def _do_tasks(self) -> None:
        while True:
            self._take_kept()
            awaited = self._awaited.look(self.graph.results)
            for task in self._next(awaited):
                self._submit(task)
            if self._executor is None or not (self._submitted or (awaited and not self._is_stopping())):
                return
            if not self._submitted:
                self._awaited.pause()
                continue
            for outcome in self._executor.wait():
                self._receive(outcome, self._submitted.pop(outcome.task.id))

    def _take_kept(self) -> None:
        """Take what is in the store and can be relied on."""
        while True:
            skip = {*self._submitted, *self._faults.failed, *self._awaited.resting()}
            self.graph.advance(
                fresh=self.scope.fresh, skip=skip, on_damage=lambda error: self._repair(error.key, str(error))
            )
            gone = self.claim(self.keys())
            if not gone:
                break
            for key in gone:  # what follows from it is looked up anew
                self._repair(key, f"the result {key[:12]} was pruned as this run found it")
        self._tell_news()

    def _tell_news(self) -> None:
        self._tell_what_is_known()
        for name, manifest in self.graph.results.items():
            if name not in self._made and name not in self._reused:
                self._reused.add(name)
                self._tell_result("task_reused", self.graph.tasks[name], manifest)

    def _tell_what_is_known(self) -> None:
        graph, wanted = self.graph, self.scope.stages
        tasks = {name: task for name, task in graph.tasks.items() if task.stage in wanted or name in graph.results}
        titles = {name: task.title for name, task in tasks.items() if task.title}
        undecided = [name for name in graph.stages if name in wanted and not graph.is_unfolded(name)]
        news: dict[str, Json] = {"tasks": list(tasks), "titles": titles, "undecided": undecided}
        if news != self._told:
            self._told = news
            self.events.tell("tasks_known", **news)
            self.look_ahead()

    def _tell_result(self, event: str, task: Task, manifest: Manifest, **more: Json) -> None:
        effort = self.measure(task)
        self.events.tell(
            event,
            task=task.id,
            seconds=manifest.seconds,
            key=manifest.key,
            digest=manifest.digest,
            bytes=sum(item.bytes for item in manifest.objects),
            kind=effort.kind,
            units=effort.units,
            **more,
        )

    def _next(self, awaited: Collection[str]) -> list[Task]:
        tasks = [
            task
            for task in self.graph.ready()
            if task.stage in self.scope.stages
            and self.graph.stages[task.stage].kept
            and task.id not in self._submitted
            and task.id not in self._faults.failed
            and task.id not in awaited
        ]
        if self._is_stopping():
            # What has the same standing as the failed task still runs: its result is wanted by the next run.
            tasks = [task for task in tasks if task.stage in self._faults.stages]
        return tasks

    def _submit(self, task: Task) -> None:
        if self._executor is None:
            self.events.tell("executor_starting", reused=len(self._reused))
            self._executor = self.start()
        recipe = self.graph.recipe(task)
        former = None
        if task.stage in self.scope.fresh:
            # It stays until there is another: a run that is stopped, or fails, has lost nothing.
            former = self.store.find(key_of(recipe))
            KeptCheckpoint(self.store, key_of(recipe), seconds=self.checkpoint_seconds).clear()
        job = Job(
            self.graph.stages[task.stage],
            task,
            recipe,
            self.graph.inputs(task),
            self.store.location,
            self.seed,
            self.checkpoint_seconds,
            former,
            self.run_name,
        )
        self._submitted[task.id] = job
        self._executor.submit(job)

    def _receive(self, outcome: Outcome, job: Job) -> None:
        task = outcome.task
        for message in outcome.warnings:
            self.events.tell("warning", message=message)
        if outcome.manifest is not None and not self._is_wanted_still(outcome.manifest, task):
            self.events.tell("task_lost", task=task.id)
        elif outcome.manifest is not None:
            self.graph.finish(task, outcome.manifest)
            if outcome.is_new:
                prepared = {what: round(seconds, 3) for what, seconds in outcome.prepared.items()}
                self._made[task.id] = Making(time.time() - self._started, prepared)
                self._tell_result(
                    "task_finished", task, outcome.manifest, **({"prepared": prepared} if prepared else {})
                )
        elif outcome.elsewhere:
            self._await(task, outcome.elsewhere)
        elif outcome.lost:
            self.events.tell("task_lost", task=task.id)
            for key in outcome.lost:
                if not self._is_told(job, key):
                    self._repair(key, outcome.fault)
        else:
            self._fail(outcome)

    def _await(self, task: Task, other: str) -> None:
        if self._is_ready(task):
            self._awaited.add(task.id, key_of(self.graph.recipe(task)))
            self.events.tell("task_awaited", task=task.id, run=other)
        else:  # what it reads was lost meanwhile: its turn comes again
            self.events.tell("task_lost", task=task.id)

    def _is_told(self, job: Job, key: str) -> bool:
        """Return whether another job has told of the damage of an input: of several readers, the first to end does."""
        given = (item for value in job.inputs.values() for item in (value if isinstance(value, list) else [value]))
        read = [manifest for manifest in given if manifest.key == key]
        return bool(read) and all(manifest not in self.graph.results.values() for manifest in read)

    def _is_wanted_still(self, manifest: Manifest, task: Task) -> bool:
        """Return whether a result was made from what its inputs are by now: one may have been lost, and made anew."""
        return self._is_ready(task) and manifest.key == key_of(self.graph.recipe(task))

    def _is_ready(self, task: Task) -> bool:
        """Return whether a task is still one of this run's, and all its inputs are there."""
        return task.id in self.graph.tasks and all(name in self.graph.results for name in task.input_ids)

    def _is_stopping(self) -> bool:
        """Return whether a fault keeps new stages from beginning."""
        return bool(self._faults.failed) and not self.scope.keep_going

    def _fail(self, outcome: Outcome) -> None:
        task = outcome.task
        has_others = any(other.id != task.id for other in self.graph.tasks_of(task.stage))
        is_dropped = self._faults.add(task, outcome.fault, has_others=has_others)
        if is_dropped:
            self.graph.drop(task)
        told = self._faults.dropped if is_dropped else self._faults.failed
        event = "task_dropped" if is_dropped else "task_failed"
        self.events.tell(event, task=task.id, fault=told[task.id], details=outcome.details)

    def _repair(self, key: str, message: str) -> None:
        self.events.tell("warning", message=f"{message}; it is made again")
        self._repairs[key] = self._repairs.get(key, 0) + 1
        if self._repairs[key] > MAX_REPAIRS:
            raise StoreError(
                f"{message}, for the {self._repairs[key]}th time: the store does not keep what it is given"
            )
        for task in self.graph.lose(key):
            self._made.pop(task.id, None)
            self._reused.discard(task.id)
            self.events.tell("task_lost", task=task.id)

    def _check_all_done(self) -> None:
        self._faults.check()
        lacking = self.graph.missing_inputs(self.scope.stages)
        if lacking:
            raise StageError(
                f"{', '.join(sorted(self.scope.stages))}: the inputs of a stage run on its own must be in the store;"
                f" missing are {', '.join(lacking)}: run without --only first"
            )

    def _files(self) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for stage in self.graph.stages.values():
            if stage.kept or stage.name not in self.scope.stages:
                continue
            for task in self.graph.tasks_of(stage.name):
                files |= self._written(stage, task)
        self._faults.check()
        return files

    def _written(self, stage: Stage, task: Task) -> dict[str, bytes]:
        """Return the files of a task that is not kept; its fault is one of the run's."""
        try:
            inputs = load_inputs(self.store, self.graph.inputs(task))
            files = dict(imported(stage.function)(**inputs, **task.arguments, run=self._summary()))
        except DamagedError:
            raise
        except Exception as error:  # noqa: BLE001  # as in the workers: a fault of that stage, told by its name
            self._fail(failed(task, error))
            return {}
        self.events.tell("task_written", task=task.id)
        return files

    def _summary(self) -> RunSummary:
        stages = list(self.graph.stages)
        return summarise(self.name, self.seed, self.config, stages=stages, results=self.graph.results, made=self._made)

"""The tasks of a run, unfolded as the results that decide them become known."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from pipeline.errors import DamagedError
from pipeline.recipe import key_of, recipe
from pipeline.stage import Facts, Json, Stage, Task, imported, stage_of
from pipeline.store import Manifest, Store


class Graph:
    """The tasks of one run and the results known so far.

    Args:
        stages: The table of contents, in order.
        parameters: Handed to every stage's `tasks` function as it is.
        seed: The run's seed.
        store: Where results are looked up.
        known: Facts from before the first stage, by name, such as the identity of the data source.
        empty: Stages that are known to have no tasks: nothing waits to see which.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        parameters: Any,
        *,
        seed: int,
        store: Store,
        known: Mapping[str, Facts],
        empty: Collection[str] = (),
    ) -> None:
        self.stages = {stage.name: stage for stage in stages}
        self.tasks: dict[str, Task] = {}
        self.results: dict[str, Manifest] = {}
        self._parameters = parameters
        self.seed = seed
        self._store = store
        self._known = dict(known)
        self._empty = frozenset(empty)
        self._unfolded: set[str] = set()
        self._lost: dict[str, str] = {}

    def advance(
        self,
        *,
        fresh: Collection[str] = (),
        skip: Collection[str] = (),
        on_damage: Callable[[DamagedError], object] | None = None,
    ) -> None:
        """Take from the store every result that is there, as far as that decides what comes next.

        Args:
            fresh: Stages whose kept results are not to be used unless this run made them.
            skip: Ids of tasks that are not looked up, such as those being done.
            on_damage: Called with what turns out to be damaged, which the store has set aside and told of by then; it
                has to `lose` it, and by default does nothing else.
        """
        while True:
            try:
                self._unfold()
                wanted = [task for task in self.ready() if task.stage not in fresh and task.id not in skip]
                if sum(map(self._take, wanted)) == 0:
                    return
            except DamagedError as error:
                if on_damage is None:
                    self.lose(error.key)  # it is one more result to make
                else:
                    on_damage(error)

    def ready(self) -> list[Task]:
        """Return the tasks that have no result yet though all their inputs have one."""
        return [
            task
            for task in self.tasks.values()
            if task.id not in self.results and all(name in self.results for name in task.input_ids)
        ]

    def recipe(self, task: Task) -> dict[str, Json]:
        """Return the recipe of a task whose inputs all have results."""
        digests: dict[str, Json] = {
            name: self.results[ids].digest if isinstance(ids, str) else [self.results[i].digest for i in ids]
            for name, ids in task.inputs.items()
        }
        return recipe(self.stages[task.stage], task, seed=self.seed, inputs=digests)

    def inputs(self, task: Task) -> dict[str, Manifest | list[Manifest]]:
        """Return the manifests that a task reads, by argument name."""
        return {
            name: self.results[ids] if isinstance(ids, str) else [self.results[i] for i in ids]
            for name, ids in task.inputs.items()
        }

    def finish(self, task: Task, manifest: Manifest) -> None:
        """Note a task's result. Where it replaces a lost one that had other content, what followed is void."""
        if self._lost.pop(task.id, manifest.digest) != manifest.digest:
            self._void_dependents(task)
        self.results[task.id] = manifest

    def lose(self, key: str) -> list[Task]:
        """Forget the result kept under a key, because it is damaged; return the tasks that have to be done again."""
        lost = [self.tasks[name] for name, manifest in self.results.items() if manifest.key == key]
        for task in lost:
            self._lost[task.id] = self.results.pop(task.id).digest
        return lost

    def deciding_facts(self) -> dict[str, Facts]:
        """Return what is known, by now, of all that decides which tasks there are; what is damaged is lost."""
        undecided = [stage for stage in self.stages.values() if stage.name not in self._empty]
        deciding = {name for stage in undecided for name in stage.decided_by}
        found: dict[str, Facts] = {}
        for name in [name for name in self.results if self.tasks[name].stage in deciding]:
            try:
                found[name] = self.facts(name)
            except DamagedError as error:  # the store has told of it; it is one more result to make
                self.lose(error.key)
        return {**self._known, **found}

    def imagine(self, facts: Mapping[str, Facts]) -> dict[str, Task]:
        """Return all tasks by id; of a stage that is not decided yet those that some facts would decide.

        Args:
            facts: By task id, known or assumed, of all that decides.
        """
        tasks: dict[str, Task] = {}
        for stage in self.stages.values():
            decided = self.is_unfolded(stage.name)
            listed = self.tasks_of(stage.name) if decided else imported(stage.tasks)(self._parameters, facts)
            tasks |= {task.id: task for task in listed}
        return tasks

    def ahead(self, ways: Sequence[Mapping[str, Facts]]) -> "Graph":
        """Return a copy that also has those tasks of undecided stages which are the same whatever is decided.

        Args:
            ways: In which open decisions may turn out, as unlike as can be: facts by task id.
        """
        further = copy(self)
        # What is listed and found there is none of the original's business, whatever else it may hold one day.
        for name, value in vars(self).items():
            if isinstance(value, dict | set):
                setattr(further, name, copy(value))
        open_stages = {stage_of(name) for way in ways for name in way}
        for stage in self.stages.values():
            undecided = {name for name in stage.decided_by if not self.is_complete(name)}
            if not self.is_unfolded(stage.name) and undecided <= open_stages:
                further.tasks |= self._in_all(stage, ways)
        return further

    def drop(self, task: Task) -> None:
        """Go on without a task: the stages that come later are listed again, and leave out what depended on it."""
        dropped = [*self._known.get("dropped", {}).get("tasks", ()), task.id]
        self._known["dropped"] = {"tasks": dropped}
        del self.tasks[task.id]
        names = list(self.stages)
        for name in names[names.index(task.stage) + 1 :]:
            if self.stages[name].decided_by:
                self._unfolded.discard(name)

    def missing_inputs(self, stages: Collection[str]) -> list[str]:
        """Return what these stages lack that others make: tasks, or stages where it is not known yet which tasks."""
        wanted = [task for task in self.tasks.values() if task.stage in stages]
        missing = {name for task in wanted for name in task.input_ids if name not in self.results}
        undecided = [name for name in self.stages if name in stages and not self.is_unfolded(name)]
        deciding = (name for stage in undecided for name in self.stages[stage].decided_by)
        return sorted(missing) or list(dict.fromkeys(name for name in deciding if not self.is_complete(name)))

    def is_complete(self, stage: str) -> bool:
        """Return whether a stage's tasks are known and all have results."""
        return self.is_unfolded(stage) and all(task.id in self.results for task in self.tasks_of(stage))

    def is_unfolded(self, stage: str) -> bool:
        """Return whether a stage's tasks are known."""
        return stage in self._empty or stage in self._unfolded

    def tasks_of(self, stage: str) -> Iterator[Task]:
        """Return the tasks of a stage that are known so far."""
        return (task for task in self.tasks.values() if task.stage == stage)

    def facts(self, name: str) -> Facts:
        """Return the facts of a task that has a result."""
        return self._store.facts(self.results[name])

    def _in_all(self, stage: Stage, ways: Sequence[Mapping[str, Facts]]) -> dict[str, Task]:
        """Return the tasks of a stage, by id, that it has in all ways in which what decides it may turn out."""
        known = self.deciding_facts()
        first, *others = (
            {task.id: task for task in imported(stage.tasks)(self._parameters, {**known, **way})} for way in ways
        )
        return {name: task for name, task in first.items() if all(other.get(name) == task for other in others)}

    def _void_dependents(self, task: Task) -> None:
        for stage in self.stages.values():
            if task.stage in stage.decided_by:
                self._unfolded.discard(stage.name)
        for name, other in self.tasks.items():
            if task.id in other.input_ids and name in self.results:
                del self.results[name]
                self._void_dependents(other)

    def _take(self, task: Task) -> bool:
        if not self.stages[task.stage].kept:
            return False
        manifest = self._store.find(key_of(self.recipe(task)))
        if manifest is None:
            return False
        self.finish(task, manifest)
        return True

    def _unfold(self) -> None:
        for stage in self.stages.values():
            if self.is_unfolded(stage.name) or not all(map(self.is_complete, stage.decided_by)):
                continue
            facts = dict(self._known)
            for name in stage.decided_by:
                facts |= {task.id: self.facts(task.id) for task in self.tasks_of(name)}
            self.tasks = {name: task for name, task in self.tasks.items() if task.stage != stage.name}
            self.tasks |= {task.id: task for task in imported(stage.tasks)(self._parameters, facts)}
            # A stage that is unfolded again may have lost tasks, and with them what they had made.
            self.results = {name: manifest for name, manifest in self.results.items() if name in self.tasks}
            self._unfolded.add(stage.name)

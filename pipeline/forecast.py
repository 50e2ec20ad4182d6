"""What a run will take, before anything is spent: time, disk and memory of each task that is to be done.

Sizes come from the stages, times from what like tasks took before. What neither tells is unknown, and said to be.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.graph import Graph
from pipeline.stage import Effort, Facts, Stage, Task

Measure = Callable[[Task, Mapping[str, Facts]], Effort]
"""Returns the effort of a task, given the facts that are known or assumed, by task id."""

RECENT = 9
"""How many of the latest tasks of a kind tell how long one takes: their median."""


@dataclass(frozen=True)
class Cost:
    """What one task took.

    Attributes:
        stage: Its stage.
        kind: As its effort said.
        units: As its effort said.
        seconds: How long it took.
        bytes: What its result takes in the store.
    """

    stage: str
    kind: str
    units: float
    seconds: float
    bytes: int


class Past:
    """What tasks took in earlier runs.

    Args:
        costs: The latest first.
    """

    def __init__(self, costs: Iterable[Cost] = ()) -> None:
        self._costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
        for cost in costs:
            self._costs[cost.stage, cost.kind].append(cost)

    def seconds(self, stage: str, effort: Effort) -> float | None:
        """Return how long a task will take; None where no like task has been done."""
        rates = [cost.seconds / cost.units for cost in self._like(stage, effort) if cost.units > 0]
        return median(rates[:RECENT]) * effort.units if rates else None

    def bytes(self, stage: str, effort: Effort) -> int | None:
        """Return how much the result of the latest like task takes."""
        return next((cost.bytes for cost in self._like(stage, effort)), None)

    def _like(self, stage: str, effort: Effort) -> Sequence[Cost]:
        return self._costs.get((stage, effort.kind), ()) if effort.kind else ()


@dataclass(frozen=True)
class Estimate:
    """What one task, or several together, will take.

    Attributes:
        tasks: How many they are.
        seconds: Summed over the tasks; None where that of one is unknown.
        least_bytes: Bytes that their results take for certain.
        most_bytes: Bytes that they take at most; None where that of one is unknown.
        memory: Bytes of memory of the one that takes most; None where no size tells.
    """

    tasks: int
    seconds: float | None
    least_bytes: int
    most_bytes: int | None
    memory: int | None


@dataclass(frozen=True)
class Forecast:
    """What is to be done, and what it will take.

    Attributes:
        tasks: The tasks to be done, in the order of the stages. Of stages not decided yet those that are assumed.
        estimates: What each of them will take, by id.
        least_seconds: The time from beginning to end, as if tasks of which it is unknown took none; None where the
            CPUs that they share are not known.
        is_complete: Whether all tasks are there: where sizes are not known, those not decided yet are missing.
    """

    tasks: Mapping[str, Task]
    estimates: Mapping[str, Estimate]
    least_seconds: float | None
    is_complete: bool

    @property
    def whole_seconds(self) -> float | None:
        """The time from beginning to end; None where that of a task is unknown."""
        return self.least_seconds if self.is_complete and not self.untimed else None

    @property
    def known_seconds(self) -> float:
        """Summed over the tasks of which the time is known."""
        return sum(estimate.seconds for estimate in self.estimates.values() if estimate.seconds is not None)

    @property
    def timed_seconds(self) -> float | None:
        """The time of the tasks of which it is known, side by side where the CPUs are known; None where it is of none.

        What is not known may take longer: it is the least time of all.
        """
        if all(estimate.seconds is None for estimate in self.estimates.values()):
            return None
        return self.known_seconds if self.least_seconds is None else self.least_seconds

    @property
    def total(self) -> Estimate:
        """What all tasks take together."""
        return _sum(list(self.estimates.values()))

    def of_stage(self, stage: str, *, but: Collection[str] = ()) -> Estimate:
        """Return what the tasks of a stage take together, without those of some ids."""
        names = [name for name, task in self.tasks.items() if task.stage == stage and name not in but]
        return _sum([self.estimates[name] for name in names])

    @property
    def untimed(self) -> list[str]:
        """The stages with a task whose time is unknown."""
        return list(
            dict.fromkeys(task.stage for name, task in self.tasks.items() if self.estimates[name].seconds is None)
        )


def foresee(
    graph: Graph,
    wanted: Collection[str],
    *,
    measure: Measure,
    past: Past,
    assumed: Mapping[str, Facts] | None = None,
    cpus: int | None = None,
) -> Forecast:
    """Return what the tasks of a graph that have no result yet will take.

    Args:
        graph: The tasks; what is in the store has been taken into it.
        wanted: The stages that are to be done.
        measure: Tells the effort of a task.
        past: What tasks took before.
        assumed: Facts that stand in for those of results that are not there yet; None where sizes are not known: then
            tasks that are not decided yet are left out.
        cpus: CPUs that tasks share; None where that is not known.
    """
    facts = {**(assumed or {}), **graph.deciding_facts()}
    is_complete = assumed is not None or all(map(graph.is_unfolded, graph.stages))
    tasks = graph.imagine(facts) if is_complete else graph.tasks
    waiting = {name: task for name, task in tasks.items() if task.stage in wanted and name not in graph.results}
    estimates = {
        name: _estimate(graph.stages[task.stage], measure(task, facts), past) for name, task in waiting.items()
    }
    seconds = {name: estimate.seconds or 0.0 for name, estimate in estimates.items()}
    least = None
    if cpus is not None:
        least = makespan(waiting, seconds, {name: stage.decided_by for name, stage in graph.stages.items()}, cpus)
    return Forecast(waiting, estimates, least, is_complete)


def makespan(
    tasks: Mapping[str, Task], seconds: Mapping[str, float], decided_by: Mapping[str, Sequence[str]], cpus: int
) -> float:
    """Return how long tasks take together where each begins as soon as its inputs are there and CPUs are free.

    Args:
        tasks: The tasks by id, those that wait longest first.
        seconds: How long each takes.
        decided_by: By stage, the stages all of whose tasks come before its own.
        cpus: CPUs that they share; a task that wants more gets all of them.
    """
    awaited = _awaited(tasks, decided_by)
    followers: dict[str, list[str]] = defaultdict(list)
    for name, others in awaited.items():
        for other in others:
            followers[other].append(name)
    ready = [name for name, others in awaited.items() if not others]
    running: list[tuple[float, str]] = []
    free, now = cpus, 0.0
    while ready or running:
        waiting: list[str] = []
        for name in ready:
            wanted = min(tasks[name].cpus, cpus)
            if wanted > free:
                waiting.append(name)
                continue
            free -= wanted
            heapq.heappush(running, (now + seconds[name], name))
        now, ended = heapq.heappop(running)
        free += min(tasks[ended].cpus, cpus)
        for name in followers[ended]:
            awaited[name].discard(ended)
        ready = waiting + [name for name in followers[ended] if not awaited[name]]
    return now


def _awaited(tasks: Mapping[str, Task], decided_by: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return, of each task, those that have to be done before it."""
    of_stage: dict[str, list[str]] = defaultdict(list)
    for name, task in tasks.items():
        of_stage[task.stage].append(name)
    return {
        name: {other for stage in decided_by[task.stage] for other in of_stage[stage]}
        | {other for other in task.input_ids if other in tasks}
        for name, task in tasks.items()
    }


def _estimate(stage: Stage, effort: Effort, past: Past) -> Estimate:
    """Return what a task of a stage will take, by what those of the stage took, or else those of its like."""
    own, of_like = ((past.seconds(name, effort), past.bytes(name, effort)) for name in (stage.name, stage.like))
    seconds, found = of_like if own == (None, None) else own
    most = effort.most_bytes if effort.most_bytes is not None else found
    return Estimate(1, seconds, effort.least_bytes, most, effort.memory)


def _sum(estimates: Sequence[Estimate]) -> Estimate:
    seconds = [estimate.seconds for estimate in estimates if estimate.seconds is not None]
    most = [estimate.most_bytes for estimate in estimates if estimate.most_bytes is not None]
    memory = [estimate.memory for estimate in estimates if estimate.memory is not None]
    return Estimate(
        sum(estimate.tasks for estimate in estimates),
        sum(seconds) if len(seconds) == len(estimates) else None,
        sum(estimate.least_bytes for estimate in estimates),
        sum(most) if len(most) == len(estimates) else None,
        max(memory, default=None),
    )

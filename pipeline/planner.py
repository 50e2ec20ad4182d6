"""What a run would do, and why, without doing any of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.config import changed
from pipeline.counted import in_words
from pipeline.graph import Graph
from pipeline.recipe import key_of, recipe
from pipeline.stage import Json, Stage, Task, stage_of

COMPARED = 8
"""So many former results of a task are looked at for the one most like it: each is a file to be read."""

LOST = "its result is not in the store any more"
NEVER = "never done before"
WRITTEN = "written by every run"
"""Why a stage is done whose result is not kept."""


@dataclass(frozen=True)
class Former:
    """A result that a task had in an earlier run.

    Attributes:
        key: Its key.
        seed: The seed of that run; None where it is not known.
        recipe: Returns what it was made from; None where it is not in the store any more.
    """

    key: str
    seed: int | None
    recipe: Callable[[], Mapping[str, Json] | None]


History = Callable[[str], Sequence[Former]]
"""Returns the results that a task had before, by its id: those that are compared first, should there be many, first."""


@dataclass(frozen=True)
class Step:
    """What a run would do about one task, or about a stage whose tasks are not decided yet.

    Attributes:
        id: The task's id, or the stage's name.
        stage: The stage's name.
        action: `reuse`, `run`, or `open`: which tasks there are, and which are kept already, is not decided yet.
        reasons: Why it is not reused.
        title: What people call the task, where the id says little.
        threads: CPU threads of the task, or of each of its workers; None of a stage that is not decided yet.
        workers: How many workers do it together; likewise.
        decided_by: Of what is open, the stages that decide it.
    """

    id: str
    stage: str
    action: str
    reasons: Sequence[str] = ()
    title: str = ""
    threads: int | None = None
    workers: int | None = None
    decided_by: Sequence[str] = ()


Compare = Callable[[Mapping[str, Json], Mapping[str, Json]], list[str]]
"""Returns in what a task's parameters differ from a former result's, given these first."""


def plan(graph: Graph, *, fresh: frozenset[str], history: History, compare: Compare = changed) -> list[Step]:
    """Return what a run would do about every task, in the order of the stages.

    Args:
        graph: The tasks; results that are there are taken into it.
        fresh: Stages that are to be done again whatever is there.
        history: What each task was made from before; of that, what is most like this run tells what has changed.
        compare: Says it of the parameters.

    Returns:
        The steps. What depends on results that are not there yet is one step for each stage.
    """
    graph.advance(fresh=fresh)
    asked = _Asked(graph, fresh, history, compare)
    steps: list[Step] = []
    deciding: dict[str, Sequence[str]] = {}
    for stage in graph.stages.values():
        for step in _steps(asked, stage, deciding):
            steps.append(step)
            deciding[step.id] = step.decided_by
    return steps


@dataclass(frozen=True)
class _Asked:
    """What `plan` was given."""

    graph: Graph
    fresh: frozenset[str]
    history: History
    compare: Compare


def _steps(asked: _Asked, stage: Stage, deciding: Mapping[str, Sequence[str]]) -> Iterator[Step]:
    """Yield the steps of a stage, from what decides those before it, by task or stage."""
    graph = asked.graph
    for task in graph.tasks_of(stage.name):
        if task.id in graph.results:
            yield Step(task.id, stage.name, "reuse", (), task.title, task.threads, task.workers)
            continue
        # What it reads may be another task of an open stage, with a result that is kept, and so then is its own.
        read = task.input_ids if stage.kept else ()
        open_stages = _union(deciding.get(name, deciding.get(stage_of(name), ())) for name in read)
        action = "open" if open_stages else "run"
        reasons = (_decided(open_stages),) if open_stages else tuple(_reasons(asked, stage, task))
        yield Step(task.id, stage.name, action, reasons, task.title, task.threads, task.workers, open_stages)
    if not graph.is_unfolded(stage.name):
        yield _undecided(graph, stage)


def _undecided(graph: Graph, stage: Stage) -> Step:
    """Return what is to be said of the tasks of a stage that are not known yet."""
    if not stage.kept:
        return Step(stage.name, stage.name, "run", (WRITTEN,))
    open_stages = [name for name in stage.decided_by if not graph.is_complete(name)]
    return Step(stage.name, stage.name, "open", (_decided(open_stages),), decided_by=open_stages)


def _decided(stages: Sequence[str]) -> str:
    return f"decided by {in_words(stages)}"


def _union(names: Iterable[Sequence[str]]) -> list[str]:
    """Return all names, each once, in their order."""
    return list(dict.fromkeys(chain.from_iterable(names)))


def _reasons(asked: _Asked, stage: Stage, task: Task) -> Iterator[str]:
    if not stage.kept:
        yield WRITTEN
        return
    if stage.name in asked.fresh:
        yield "asked for with --force"
    formers = asked.history(task.id)
    yield from _changes(asked, task, formers) if formers else [NEVER]
    waits = [name for name in task.input_ids if name not in asked.graph.results]
    if waits:
        yield f"follows {_some(waits)}"


def _changes(asked: _Asked, task: Task, formers: Sequence[Former]) -> Sequence[str]:
    """Return in what a task differs from the former result that is most like it: fewest changes, then the first.

    Args:
        asked: What `plan` was given.
        task: One that is to be done. Of inputs that it waits for it is not told whether they are others.
        formers: The results that it had before; one at least.
    """
    graph = asked.graph
    inputs = _digests(graph, task)
    now = recipe(graph.stages[task.stage], task, seed=graph.seed, inputs=inputs)
    same = next((former for former in formers if former.key == key_of(now)), None)
    if same is not None:
        return [] if same.recipe() else [LOST]  # it may be there, and be made again all the same
    found: list[list[str]] = []
    for former in formers[:COMPARED]:
        before = former.recipe()
        if before is not None:
            parameters = asked.compare(before["parameters"], now["parameters"])
            others = [*_other_inputs(task, before["inputs"], inputs)]
            found.append([*parameters, *others, *_other_changes(before, now, (former.seed, graph.seed))])
    return min(found, key=len, default=[LOST])


def _digests(graph: Graph, task: Task) -> dict[str, Json]:
    """Return the digests of what a task reads, as its recipe has them; None of that for which it waits."""

    def digest(name: str) -> str | None:
        return graph.results[name].digest if name in graph.results else None

    return {name: digest(ids) if isinstance(ids, str) else [*map(digest, ids)] for name, ids in task.inputs.items()}


def _other_changes(before: Mapping[str, Json], now: Mapping[str, Json], seeds: tuple[int | None, int]) -> Iterator[str]:
    """Yield what recipes hold beside parameters and inputs and is not the same; of runs with these seeds."""
    if now["seed"] != before["seed"]:  # a task's own, which nobody has written
        yield "seed {} -> {}".format(*seeds) if seeds[0] not in {None, seeds[1]} else "its seed is another"
    for name in ("threads", "version", "revision"):
        if now.get(name, 0) != before.get(name, 0):
            yield f"{name} {before.get(name, 0)} -> {now.get(name, 0)}"
    yield from changed(before["packages"], now["packages"])


def _other_inputs(task: Task, before: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    """Yield what a task reads that it did not read before, and what it read and does not read now.

    Args:
        task: The task.
        before: By argument, the digests of what it read.
        now: Those of what it reads; None where it waits.
    """
    for name in now:
        ids = _listed(task.inputs[name])
        if name not in before:
            yield f"it reads {_some(ids)} now"
        else:
            yield from _other_digests(name, ids, _listed(before[name]), _listed(now[name]))
    yield from (f"it reads no {name} now" for name in before if name not in now)


def _other_digests(name: str, ids: Sequence[str], before: Sequence[str], now: Sequence[str | None]) -> Iterator[str]:
    """Yield what is another of the tasks that are read as one argument."""
    others = [task_id for task_id, digest in zip(ids, now, strict=True) if digest not in {None, *before}]
    is_one = len(others) == 1
    if len(now) != len(before):
        yield f"of its {name} it reads {len(now)}, where it read {len(before)}"
        if others:
            yield f"{_some(others)} {'is' if is_one else 'are'} new to it"
    elif others:
        yield f"{_some(others)} {'is another' if is_one else 'are others'}"
    elif None not in now and list(now) != list(before):
        yield f"it reads its {name} in another order"


def _listed(value: Json) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _some(names: Sequence[str]) -> str:
    """Return names of tasks as text: of many of a stage only how many they are."""
    stages: dict[str, list[str]] = {}
    for name in names:
        stages.setdefault(stage_of(name), []).append(name)
    return ", ".join(
        ", ".join(group) if len(group) < 3 else f"{stage} ({len(group)})" for stage, group in stages.items()
    )

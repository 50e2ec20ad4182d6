"""What a run will take, looked at before it begins and anew whenever more of it is decided."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path

from pipeline import room
from pipeline.cli.compose import Composition
from pipeline.cli.tables import warn
from pipeline.errors import StoreError
from pipeline.events import Events
from pipeline.executor import RayOptions, available_cpus
from pipeline.forecast import Cost, Forecast, Past, foresee
from pipeline.graph import Graph
from pipeline.runs import RunFolder, newest_first
from pipeline.stage import Effort, Facts, Json, Task, stage_of
from pipeline.starting import start_seconds
from stages import assumptions, estimates
from stages.parameters import resolved

RUNS = 20
"""How many of the latest runs tell what tasks take."""


class Outlook:
    """What the tasks of a run will take.

    Args:
        composition: The run.
        graph: Its tasks.
        wanted: Stages that are to be done.
    """

    def __init__(self, composition: Composition, graph: Graph, wanted: frozenset[str]) -> None:
        self._composition = composition
        self._graph = graph
        self._wanted = wanted
        self._parameters = resolved(composition.config)
        self._facts: Mapping[str, Facts] = {}
        self._past: Past | None = None

    @cached_property
    def start_seconds(self) -> float | None:
        """How long it will take until tasks are worked on; None where no run on this machine has done the like."""
        config = self._composition.config
        if config.ray.address == "inline":
            return 0.0
        folders = islice(newest_first(Path(config.runs)), RUNS)
        return start_seconds(folders, address=config.ray.address, host=socket.gethostname())

    def measure(self, task: Task) -> Effort:
        """Return what a task is expected to take, by what was known at the last look."""
        return estimates.effort(task, self._parameters, self._facts)

    def look(self) -> Forecast | None:
        """Return what is to be done and will take; None where everything is done."""
        graph = self._graph
        self._facts = graph.deciding_facts()
        kept = [name for name in self._wanted if graph.stages[name].kept]
        if all(map(graph.is_complete, kept)):
            return None
        if self._past is None:
            self._past = _past(Path(self._composition.config.runs))
        return foresee(
            graph,
            kept,
            measure=lambda task, facts: estimates.effort(task, self._parameters, facts),
            past=self._past,
            assumed=self._assumed(),
            cpus=cpus_of(self._composition.config.ray),
        )

    def _assumed(self) -> Mapping[str, Facts] | None:
        """Return facts that stand in for those that are not known yet; None before the data set has been looked at."""
        contents, train = self._composition.data.contents, self._facts.get("data[train]")
        if contents is not None:
            data = assumptions.data(self._parameters.data.holdout, **asdict(contents))
        elif train is not None:
            data = {}
        else:
            return None
        train = train or data["data[train]"]
        assumed = [
            assumptions.transfer(self._parameters, train),
            assumptions.subsets(self._parameters, len(train["class_names"])),
            assumptions.choice(self._parameters),
        ]
        return {**data, **{name: facts for part in assumed for name, facts in part.items()}}


class Watch:
    """Tells of what a run will take, and refuses it where there is no room.

    Args:
        outlook: What it will take.
        location: Where its store is.
        options: Where its tasks run.
        events: Told of it.
        beside: Returns what else is to be warned of, by what is known by now.
    """

    def __init__(
        self,
        outlook: Outlook,
        location: str,
        options: RayOptions,
        events: Events,
        beside: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._outlook = outlook
        self._location = location
        self._options = options
        self._events = events
        self._beside = beside
        self._warned: set[str] = set()

    def __call__(self) -> None:
        """Look.

        Raises:
            StoreError: What is to be kept certainly does not fit.
        """
        self._warn(self._beside())
        forecast = self._outlook.look()
        if forecast is None:
            return
        self._events.tell(
            "foreseen",
            seconds=None if forecast.whole_seconds is None else round(forecast.whole_seconds, 3),
            timed_seconds=None if forecast.timed_seconds is None else round(forecast.timed_seconds, 3),
            untimed=forecast.untimed,
            cpus=cpus_of(self._options),
            start_seconds=self._outlook.start_seconds,
            tasks={name: round(e.seconds, 3) for name, e in forecast.estimates.items() if e.seconds is not None},
            n_tasks=forecast.total.tasks,
            least_bytes=forecast.total.least_bytes,
            most_bytes=forecast.total.most_bytes,
            is_complete=forecast.is_complete,
        )
        room.check_disk(forecast, self._location, room.free_disk(self._location))
        self._warn(warnings_of(forecast, self._location, self._options))

    def _warn(self, messages: Sequence[str]) -> None:
        for message in messages:
            if message not in self._warned:
                self._warned.add(message)
                self._events.tell("warning", message=message)


def warnings_of(forecast: Forecast, location: str, options: RayOptions) -> list[str]:
    """Return what may not go well with a run."""
    cpus = cpus_of(options)
    memory = room.free_memory() if cpus is not None else None
    return list(room.warnings(forecast, location, disk=room.free_disk(location), memory=memory, cpus=cpus))


def cpus_of(options: RayOptions) -> int | None:
    """Return how many CPUs the tasks share; None for a cluster, which is looked at when the run begins."""
    if options.address == "inline":
        return 1
    return (options.cpus or available_cpus()) if options.address == "local" else None


def _past(base: Path) -> Past:
    costs: dict[str, Cost] = {}
    for folder in islice(newest_first(base), RUNS):
        for event in _endings(folder):
            if event.get("kind"):  # runs of earlier versions did not tell
                stage = stage_of(event["task"])
                cost = Cost(stage, event["kind"], event["units"], event["seconds"], event["bytes"])
                costs.setdefault(event["key"], cost)
    return Past(costs.values())


def _endings(folder: RunFolder) -> list[Mapping[str, Json]]:
    """Return what a run told of its results; nothing of one whose record is damaged, for it only helps to estimate."""
    try:
        return list(folder.endings())
    except StoreError as error:
        warn(f"warning: {error}")
        return []

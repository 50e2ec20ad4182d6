"""What a run would do about every task, why, and what it will take."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pipeline import room
from pipeline.cli import changes, given
from pipeline.cli.compose import Composition
from pipeline.cli.last_run import Since, since_last_run
from pipeline.cli.outlook import Outlook, cpus_of, warnings_of
from pipeline.cli.selection import Selection
from pipeline.errors import ConfigError
from pipeline.executor import RayOptions, demand, expects_gpus
from pipeline.forecast import Estimate, Forecast
from pipeline.graph import Graph
from pipeline.planner import Step, plan
from pipeline.runner import Scope
from pipeline.stage import Json, Stage
from stages.assumptions import OPEN_SUBSETS


def check_inputs(composition: Composition, selection: Selection) -> None:
    """Check that a stage which is to be done alone has tasks, and that what they read is in the store.

    Raises:
        ConfigError: It has none, or something is not.
    """
    if not selection.only or selection.until is None:
        return
    if selection.until in composition.empty:
        raise ConfigError(
            f"--only: must be a stage that the config asks for; got '{selection.until}', which has no tasks"
        )
    graph = composition.graph(selection.until)
    with composition.placing():
        graph.advance()
    lacking = graph.missing_inputs({selection.until})
    if lacking:
        raise ConfigError(
            f"--only: must be a stage whose inputs are in the store; got '{selection.until}', which lacks"
            f" {', '.join(lacking)}: run without --only first, or with --until {selection.until}"
        )


@dataclass(frozen=True)
class Planned:
    """What a run would do, and what it will take.

    Attributes:
        steps: About every task, in the order of the stages.
        forecast: What those to be done take; None where all results are there.
        stages: The stages by name.
        options: Where their tasks run.
        start_seconds: How long it will take until tasks are worked on; None where that is not known.
        given: What is to be warned of about given teachers.
        since: What has changed in the config since the last run; None where all results are there, or there is none.
    """

    steps: Sequence[Step]
    forecast: Forecast | None
    stages: Mapping[str, Stage]
    options: RayOptions
    start_seconds: float | None
    given: Sequence[str] = ()
    since: Since | None = None

    def estimate(self, step: Step) -> Estimate | None:
        """Return what a step takes; None where it takes nothing worth telling, or nothing is known."""
        if self.forecast is None or step.action == "reuse":
            return None
        if step.id in self.forecast.estimates:
            return self.forecast.estimates[step.id]
        estimate = self.forecast.of_stage(step.stage, but={other.id for other in self.steps})
        return estimate if estimate.tasks else None

    def needs(self, step: Step) -> Mapping[str, float]:
        """Return what a task of a step reserves, all its workers together; of GPUs where there may be some."""
        tasks = [task for task in self.forecast.tasks.values() if task.stage == step.stage] if self.forecast else []
        threads = step.threads or max((task.threads for task in tasks), default=1)
        workers = step.workers or max((task.workers for task in tasks), default=1)
        has_gpus = expects_gpus(self.options)
        each = demand(self.options, self.stages[step.stage], threads, has_gpus=has_gpus, workers=workers).amounts
        return {name: workers * amount for name, amount in each.items()}

    @property
    def n_reused(self) -> int:
        """The number of tasks whose results are there."""
        return sum(step.action == "reuse" for step in self.steps)

    @property
    def n_run(self) -> int:
        """The number of tasks to be done, as far as that is decided: without what every run writes."""
        return sum(step.action == "run" and self.stages[step.stage].kept for step in self.steps)

    @property
    def written(self) -> list[str]:
        """What every run writes, whatever is kept: such as the report."""
        return [step.id for step in self.steps if not self.stages[step.stage].kept]

    @property
    def n_open(self) -> int | None:
        """About how many tasks there are of which it is not decided yet; None where no size tells."""
        estimates = [self.estimate(step) for step in self.steps if step.action == "open"]
        known = [estimate.tasks for estimate in estimates if estimate is not None]
        return sum(known) if len(known) == len(estimates) else None

    @property
    def deciding(self) -> list[str]:
        """The stages that decide what is open."""
        return list(dict.fromkeys(name for step in self.steps for name in step.decided_by))

    def warnings(self, location: str) -> list[str]:
        """Return what may not go well, or not be what it seems.

        Args:
            location: Where the store is.
        """
        return [*self.given, *(warnings_of(self.forecast, location, self.options) if self.forecast else ())]

    def as_json(self, composition: Composition) -> Json:
        """Return all of it for scripts."""
        location = composition.store.location
        total = self.forecast.total if self.forecast else Estimate(0, 0.0, 0, 0, None)
        return {
            "steps": [asdict(step) | {"needs": self.needs(step)} | _facts(self.estimate(step)) for step in self.steps],
            "total": {
                "reuse": self.n_reused,
                "run": self.n_run,
                "open": self.n_open,
                "written": self.written,
                **_facts(total),
                "known_seconds": self.forecast.known_seconds if self.forecast else 0.0,
                "least_seconds": self.forecast.least_seconds if self.forecast else 0.0,
                "whole_seconds": self.forecast.whole_seconds if self.forecast else 0.0,
                "start_seconds": self.start_seconds,
                "untimed": self.forecast.untimed if self.forecast else [],
                "is_complete": self.forecast is None or self.forecast.is_complete,
                "cpus": cpus_of(self.options),
                "free_disk": room.free_disk(location),
                "free_memory": room.free_memory(),
            },
            "since_last_run": asdict(self.since) if self.since else None,
            "modules": composition.models.get("modules", {}),
            "warnings": self.warnings(location),
        }


def look(composition: Composition, graph: Graph, scope: Scope, *, load: bool = False) -> Planned:
    """Return what a run would do; what is in the store is taken into its graph.

    Args:
        composition: The run.
        graph: Its tasks.
        scope: Which of them are wanted.
        load: As `given.warnings_of` takes it.
    """
    graph.advance(fresh=scope.fresh)
    told = given.warnings_of(composition, graph, load=load)
    graph = graph.ahead(OPEN_SUBSETS)  # a copy: the run itself gets to what is open when that is decided
    steps = plan(graph, fresh=scope.fresh, history=composition.history, compare=changes.told)
    outlook = Outlook(composition, graph, scope.stages)
    forecast = outlook.look()
    shown = [step for step in steps if step.stage in scope.stages and not _is_empty(step, forecast, graph)]
    start = outlook.start_seconds if forecast else 0.0
    since = since_last_run(composition.config) if forecast else None
    return Planned(shown, forecast, graph.stages, composition.config.ray, start, told, since)


def _is_empty(step: Step, forecast: Forecast | None, graph: Graph) -> bool:
    """Return whether a step stands for a stage that is not decided yet, and is known to get no tasks."""
    if forecast is None or not forecast.is_complete or step.action != "open" or step.id in graph.tasks:
        return False
    return forecast.of_stage(step.stage, but=graph.tasks).tasks == 0


def _facts(estimate: Estimate | None) -> dict[str, Json]:
    return asdict(estimate) if estimate else dict.fromkeys(("tasks", "seconds", "least_bytes", "most_bytes", "memory"))

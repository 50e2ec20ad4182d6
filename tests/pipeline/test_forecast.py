from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.forecast import Cost, Past, foresee, makespan
from pipeline.graph import Graph
from pipeline.stage import Effort, Facts, Task
from pipeline.store import Store
from tests.pipeline.fakes import STAGES, Parameters
from tests.pipeline.test_runner import make_runner

KEPT = {"base", "parts", "total"}


def measure(task: Task, facts: Mapping[str, Facts]) -> Effort:
    match task.stage:
        case "base":
            return Effort("b", 3, 100, 100, 1000)
        case "parts":
            return Effort("p", 2, 10, 20, 5000)
        case _:
            return Effort()


def graph_in(folder: Path) -> Graph:
    return Graph(STAGES, Parameters(), seed=0, store=Store.open(str(folder)), known={})


def cost(stage: str, kind: str, rate: float, units: float = 1.0, size: int = 0) -> Cost:
    return Cost(stage, kind, units, rate * units, size)


def test_seconds_are_the_median_of_like_tasks_in_proportion_to_their_units() -> None:
    past = Past(
        [cost("a", "x", 2), cost("a", "x", 3, units=7), cost("a", "x", 40), cost("a", "y", 9), cost("b", "x", 9)]
    )
    assert past.seconds("a", Effort("x", 5)) == 15
    assert past.seconds("a", Effort("z", 5)) is None
    assert past.seconds("a", Effort()) is None


def test_only_the_latest_tasks_tell() -> None:
    past = Past([*[cost("a", "x", 1, size=7)] * 9, *[cost("a", "x", 100, size=9)] * 100])
    assert past.seconds("a", Effort("x", 2)) == 2
    assert past.bytes("a", Effort("x")) == 7


def test_a_task_without_units_tells_nothing_of_time() -> None:
    assert Past([cost("a", "x", 1, units=0)]).seconds("a", Effort("x", 2)) is None


def test_forecast_of_a_first_run_takes_undecided_tasks_as_assumed(tmp_path: Path) -> None:
    graph = graph_in(tmp_path)
    graph.advance()
    past = Past([cost("base", "b", 1), cost("parts", "p", 2)])
    assumed = {"base": {"numbers": [7, 8]}}
    forecast = foresee(graph, KEPT, measure=measure, past=past, assumed=assumed, cpus=1)
    assert list(forecast.tasks) == ["base", "parts[7]", "parts[8]", "total"]
    assert forecast.is_complete
    assert forecast.of_stage("parts").seconds == 8
    assert forecast.total.least_bytes == 120
    assert forecast.total.most_bytes is None  # nothing is known of the total
    assert forecast.total.memory == 5000
    assert forecast.untimed == ["total"]
    assert forecast.whole_seconds is None
    assert (forecast.known_seconds, forecast.least_seconds) == (11, 11)


def test_a_task_that_was_never_done_takes_what_those_of_its_like_took(tmp_path: Path) -> None:
    stages = [replace(stage, like="other" * (stage.name != "page")) for stage in STAGES]
    graph = Graph(stages, Parameters(), seed=0, store=Store.open(str(tmp_path)), known={})
    graph.advance()
    past = Past([cost("other", "b", 4, size=9), cost("other", "p", 3), cost("parts", "p", 2)])
    forecast = foresee(graph, KEPT, measure=measure, past=past, assumed={"base": {"numbers": [7]}}, cpus=1)
    assert forecast.of_stage("base").seconds == 12
    assert forecast.of_stage("parts").seconds == 4
    assert forecast.untimed == ["total"]


def test_forecast_without_sizes_leaves_out_what_is_not_decided(tmp_path: Path) -> None:
    graph = graph_in(tmp_path)
    graph.advance()
    forecast = foresee(graph, KEPT, measure=measure, past=Past(), cpus=1)
    assert list(forecast.tasks) == ["base"]
    assert not forecast.is_complete
    assert forecast.whole_seconds is None


def test_forecast_counts_what_is_to_be_done_alone(tmp_path: Path) -> None:
    make_runner(tmp_path, stages=frozenset({"base"})).run()
    graph = graph_in(tmp_path)
    graph.advance()
    past = Past([cost("parts", "p", 2), cost("total", "", 1)])
    forecast = foresee(graph, {"parts"}, measure=measure, past=past, cpus=2)
    assert list(forecast.tasks) == ["parts[1]", "parts[2]", "parts[3]"]
    assert forecast.whole_seconds == 8  # two at once, then one
    assert forecast.total.most_bytes == 60


def task(name: str, *inputs: str, threads: int = 1) -> Task:
    return Task(name, inputs={"of": list(inputs)}, threads=threads)


@pytest.mark.parametrize(("cpus", "seconds"), [(1, 16), (2, 9), (4, 8)])
def test_makespan_goes_by_inputs_and_cpus(cpus: int, seconds: float) -> None:
    tasks = {task.stage: task for task in (task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e"))}
    takes = {"a": 2.0, "b": 5.0, "c": 4.0, "d": 1.0, "e": 4.0}
    assert makespan(tasks, takes, dict.fromkeys(tasks, ()), cpus) == seconds


def test_makespan_waits_for_what_decides_a_stage_and_for_enough_cpus() -> None:
    tasks = {task.stage: task for task in (task("a"), task("wide", threads=8), task("b"))}
    takes = {"a": 2.0, "b": 1.0, "wide": 4.0}
    assert makespan(tasks, takes, {"a": (), "b": ("a",), "wide": ()}, 2) == 7
    assert makespan({}, {}, {}, 2) == 0


def test_makespan_counts_the_cpus_of_all_workers() -> None:
    tasks = {"both": Task("both", workers=2), "one": Task("one")}
    assert makespan(tasks, {"both": 3.0, "one": 1.0}, {"both": (), "one": ()}, 2) == 4
    assert makespan(tasks, {"both": 3.0, "one": 1.0}, {"both": (), "one": ()}, 3) == 3

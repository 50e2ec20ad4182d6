from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.graph import Graph
from pipeline.planner import COMPARED, LOST, Former, Step, plan
from pipeline.store import Store
from tests.pipeline.fakes import STAGES, Parameters
from tests.pipeline.test_runner import make_runner


def plan_of(
    folder: Path,
    parameters: Parameters | None = None,
    *,
    seed: int = 0,
    former: Graph | Sequence[Graph] = (),
    **kwargs: Any,
) -> dict[str, Step]:
    def recipe(key: str) -> Mapping[str, Any] | None:
        manifest = store.find(key)
        return manifest.recipe if manifest else None

    def history(task_id: str) -> list[Former]:
        keys = [(run.results[task_id].key, run.seed) for run in formers if task_id in run.results]
        return [Former(key, of_run, partial(recipe, key)) for key, of_run in keys]

    formers = [former] if isinstance(former, Graph) else former
    store = Store.open(str(folder))
    graph = Graph(STAGES, parameters or Parameters(), seed=seed, store=store, known={})
    return {step.id: step for step in plan(graph, fresh=kwargs.get("fresh", frozenset()), history=history)}


def test_plan_of_a_first_run_says_what_decides_the_rest(tmp_path: Path) -> None:
    steps = plan_of(tmp_path)
    assert list(steps) == ["base", "parts", "total", "page"]
    assert steps["base"].reasons == ("never done before",)
    assert (steps["parts"].action, steps["parts"].reasons) == ("open", ("decided by base",))
    assert [step.id for step in steps.values() if step.action == "run"] == ["base", "page"]
    assert steps["total"].decided_by == ["base"]


def test_plan_after_a_run_reuses_everything_kept(tmp_path: Path) -> None:
    make_runner(tmp_path).run()
    actions = {name: step.action for name, step in plan_of(tmp_path).items()}
    assert actions.pop("page") == "run"
    assert set(actions.values()) == {"reuse"}


def test_plan_names_the_changed_parameter_with_both_values(tmp_path: Path) -> None:
    former = make_runner(tmp_path)
    former.run()
    steps = plan_of(tmp_path, Parameters(add=12), former=former.graph)
    assert steps["base"].action == "reuse"
    assert steps["parts[2]"].reasons == ("parts.add 10 -> 12",)
    assert steps["total"].reasons == ("follows parts (3)",)


def test_plan_names_the_seed(tmp_path: Path) -> None:
    former = make_runner(tmp_path)
    former.run()
    assert plan_of(tmp_path, seed=1, former=former.graph)["base"].reasons == ("seed 0 -> 1",)
    former.graph.seed = None  # type: ignore[assignment]  # no config tells
    assert plan_of(tmp_path, seed=1, former=former.graph)["base"].reasons == ("its seed is another",)


def test_plan_names_what_differs_from_the_former_result_most_like_it(tmp_path: Path) -> None:
    formers = []
    for seed, add in ((0, 10), (1, 10), (0, 30), (1, 30)):
        runner = make_runner(tmp_path, Parameters(add=add), seed=seed)
        runner.run()
        formers.insert(0, runner.graph)  # the newest first
    reasons = {name: step.reasons for name, step in plan_of(tmp_path, Parameters(add=12), former=formers).items()}
    assert reasons["parts[2]"] == ("parts.add 30 -> 12",)
    changed = plan_of(tmp_path, Parameters(numbers=(1, 2), add=30), seed=1, former=formers)
    assert changed["base"].reasons == ("numbers [1, 2, 3] -> [1, 2]",)


def test_plan_looks_at_few_of_many_former_results(tmp_path: Path) -> None:
    looked: list[int] = []

    def history(_: str) -> list[Former]:
        return [Former(str(n), 0, lambda n=n: looked.append(n)) for n in range(3 * COMPARED)]  # type: ignore[misc]

    graph = Graph(STAGES, Parameters(), seed=0, store=Store.open(str(tmp_path)), known={})
    (base, *_) = plan(graph, fresh=frozenset(), history=history)
    assert base.reasons == (LOST,)
    assert looked == list(range(COMPARED))


def test_plan_says_that_a_result_is_gone(tmp_path: Path) -> None:
    former = make_runner(tmp_path)
    former.run()
    store = Store.open(str(tmp_path))
    store.discard(former.graph.results["parts[1]"], "a test")
    assert plan_of(tmp_path, former=former.graph)["parts[1]"].reasons == ("its result is not in the store any more",)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"parts": ["?", 1, 2]}, ("parts[1] is another",)),
        ({"parts": ["?", "?", 2]}, ("parts[1], parts[2] are others",)),
        ({"parts": ["?", "?", "?"]}, ("parts (3) are others",)),
        ({"parts": [0, 1, 2, "?"]}, ("of its parts it reads 3, where it read 4",)),
        (
            {"parts": ["?", 1]},
            ("of its parts it reads 3, where it read 2", "parts[1], parts[3] are new to it"),
        ),
        ({"parts": [2, 1, 0]}, ("it reads its parts in another order",)),
        ({}, ("it reads parts (3) now",)),
        ({"parts": [0, 1, 2], "scale": "?"}, ("it reads no scale now",)),
        ({"parts": [0, 1, 2], "bases": "?"}, ("it reads no bases now",)),
        ({"part": "?"}, ("it reads parts (3) now", "it reads no part now")),
    ],
)
def test_plan_says_which_inputs_are_others(tmp_path: Path, before: dict[str, Any], told: tuple[str, ...]) -> None:
    runner = make_runner(tmp_path)
    runner.run()
    manifest = runner.graph.results["total"]
    digests = manifest.recipe["inputs"]["parts"]
    inputs = {
        name: [digests[i] if isinstance(i, int) else i for i in value] if isinstance(value, list) else value
        for name, value in before.items()
    }
    store = Store.open(str(tmp_path))
    store.discard(manifest, "a test")
    graph = Graph(STAGES, Parameters(), seed=0, store=store, known={})
    former = {**manifest.recipe, "inputs": inputs}
    planned = plan(graph, fresh=frozenset(), history=lambda _: [Former("key", 0, lambda: former)])
    steps = {step.id: step for step in planned}
    assert steps["total"].reasons == told


def test_plan_says_that_a_stage_is_forced(tmp_path: Path) -> None:
    former = make_runner(tmp_path)
    former.run()
    steps = plan_of(tmp_path, former=former.graph, fresh=frozenset({"base"}))
    assert steps["base"].reasons == ("asked for with --force",)


def test_plan_counts_damaged_facts_as_a_result_to_make(tmp_path: Path) -> None:
    former = make_runner(tmp_path)
    former.run()
    item = former.graph.results["base"].object("facts.json")
    assert item is not None
    path = next((tmp_path / "objects").rglob(f"*{item.sha256[-16:]}*"))
    path.chmod(0o644)
    path.write_bytes(b"\0" * path.stat().st_size)
    steps = plan_of(tmp_path, former=former.graph)
    assert steps["base"].action == "run"
    assert steps["base"].reasons == ("its result is not in the store any more",)

from pathlib import Path

from pipeline.graph import Graph
from pipeline.recipe import key_of
from pipeline.stage import Artifact, Task
from pipeline.store import Manifest, Store
from pipeline.store.manifest import object_path
from tests.pipeline.fakes import STAGES, Parameters


def open_graph(folder: Path, parameters: Parameters | None = None) -> Graph:
    return Graph(STAGES, parameters or Parameters(), seed=0, store=Store.open(str(folder)), known={})


def finish(graph: Graph, name: str, folder: Path, **facts: object) -> Manifest:
    """Keep a result for a task as a worker would, and tell the graph."""
    task = graph.tasks[name]
    manifest = Store.open(str(folder)).save(graph.recipe(task), Artifact(facts=facts), seconds=0.0)
    graph.finish(task, manifest)
    return manifest


def damage(folder: Path, manifest: Manifest) -> None:
    """Let the facts of a result be others than they were."""
    found = manifest.object("facts.json")
    assert found is not None
    path = folder / object_path(found.sha256)
    path.chmod(0o644)
    path.write_bytes(b"x" * found.bytes)


def ids(tasks: list[Task]) -> list[str]:
    return [task.id for task in tasks]


def test_graph_begins_with_what_nothing_decides(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    assert graph.results == {}
    assert list(graph.tasks) == ["base", "page"]
    assert ids(graph.ready()) == ["base"]
    assert not graph.is_unfolded("parts")


def test_graph_unfolds_as_facts_become_known(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    finish(graph, "base", tmp_path, numbers=[4, 5])
    graph.advance()
    assert ids(graph.ready()) == ["parts[4]", "parts[5]"]
    assert list(graph.tasks) == ["base", "page", "parts[4]", "parts[5]", "total"]
    assert not graph.is_complete("parts")


def test_graph_waits_for_nothing_of_a_stage_that_is_known_to_be_empty(tmp_path: Path) -> None:
    graph = Graph(STAGES, Parameters(), seed=0, store=Store.open(str(tmp_path)), known={}, empty=["parts"])
    graph.advance()
    assert graph.is_complete("parts")
    assert graph.missing_inputs(["parts"]) == []
    finish(graph, "base", tmp_path, numbers=[4, 5])
    graph.advance()
    assert not [task for task in graph.tasks.values() if task.stage == "parts"]
    graph.drop(graph.tasks["base"])  # after which the stages that follow are listed again
    assert graph.is_complete("parts")


def test_graph_ahead_has_what_is_the_same_whatever_is_decided(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    ahead = graph.ahead([{"base": {"numbers": [4, 5]}}, {"base": {"numbers": [5, 6]}}])
    assert list(ahead.tasks) == ["base", "page", "parts[5]"]  # the total is of others
    assert not ahead.is_unfolded("parts")
    assert list(graph.tasks) == ["base", "page"]
    assert list(graph.ahead([{"other": {}}, {"other": {}}]).tasks) == ["base", "page"]  # base decides, too
    finish(ahead, "base", tmp_path, numbers=[4])
    ahead.advance()
    assert list(ahead.tasks) == ["base", "page", "parts[4]", "total"]
    assert graph.results == {}


def test_what_is_damaged_of_what_decides_is_one_more_result_to_make(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    damage(tmp_path, finish(graph, "base", tmp_path, numbers=[4]))
    assert graph.deciding_facts() == {}
    assert ids(graph.ready()) == ["base"]


def test_facts_that_decide_nothing_are_not_read(tmp_path: Path) -> None:
    empty = ["parts", "total"]  # all that base decides
    graph = Graph(STAGES, Parameters(), seed=0, store=Store.open(str(tmp_path)), known={}, empty=empty)
    graph.advance()
    damage(tmp_path, finish(graph, "base", tmp_path, numbers=[4]))
    assert graph.deciding_facts() == {}
    assert list(graph.results) == ["base"]


def test_graph_takes_from_the_store_all_that_follows(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    finish(graph, "base", tmp_path, numbers=[4])
    graph.advance()
    finish(graph, "parts[4]", tmp_path)
    finish(graph, "total", tmp_path, total=4)
    again = open_graph(tmp_path)
    again.advance()
    assert list(again.results) == ["base", "parts[4]", "total"]
    assert ids(again.ready()) == ["page"]
    assert again.facts("total") == {"total": 4}


def test_graph_does_not_take_what_is_to_be_fresh(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    finish(graph, "base", tmp_path, numbers=[4])
    again = open_graph(tmp_path)
    again.advance(fresh=frozenset({"base"}))
    assert again.results == {}
    assert ids(again.ready()) == ["base"]


def test_inputs_keep_the_order_of_the_task(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    finish(graph, "base", tmp_path, numbers=[5, 4])
    graph.advance()
    made = [finish(graph, name, tmp_path, told=name) for name in ("parts[5]", "parts[4]")]
    assert graph.inputs(graph.tasks["total"]) == {"parts": made}
    assert graph.inputs(graph.tasks["parts[4]"]) == {"base": graph.results["base"]}
    assert graph.recipe(graph.tasks["total"])["inputs"] == {"parts": [manifest.digest for manifest in made]}


def test_lost_result_made_again_with_equal_content_voids_nothing(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    base = finish(graph, "base", tmp_path, numbers=[4])
    graph.advance()
    finish(graph, "parts[4]", tmp_path)
    assert ids(graph.lose(base.key)) == ["base"]
    assert list(graph.results) == ["parts[4]"]
    graph.finish(graph.tasks["base"], base)
    assert set(graph.results) == {"base", "parts[4]"}


def test_lost_result_made_again_with_other_content_voids_what_followed(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    base = finish(graph, "base", tmp_path, numbers=[4])
    graph.advance()
    finish(graph, "parts[4]", tmp_path)
    finish(graph, "total", tmp_path, total=4)
    graph.lose(base.key)
    Store.open(str(tmp_path)).discard(base, "a test")
    finish(graph, "base", tmp_path, numbers=[7])
    assert list(graph.results) == ["base"]
    graph.advance()
    assert list(graph.tasks) == ["base", "page", "parts[7]", "total"]
    assert graph.tasks["total"].input_ids == ("parts[7]",)


def test_keys_are_those_of_the_recipes(tmp_path: Path) -> None:
    graph = open_graph(tmp_path)
    graph.advance()
    manifest = finish(graph, "base", tmp_path, numbers=[])
    assert manifest.key == key_of(graph.recipe(graph.tasks["base"]))
    graph.advance()
    assert graph.is_complete("parts")  # none of them

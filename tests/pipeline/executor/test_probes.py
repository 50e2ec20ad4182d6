from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.executor import Needs
from pipeline.executor.nodes import Nodes
from pipeline.executor.options import WaitFor
from pipeline.executor.probes import Probes, wait_for_nodes
from pipeline.executor.tasks import RayExecutor
from pipeline.store import Store


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    return Needs(modules=("pipeline",), store=Store.open(str(tmp_path / "store")).location)


def test_a_node_that_is_right_answers_in_the_store_and_nothing_is_left_there(ray: RayExecutor, needs: Needs) -> None:
    probes = Probes(ray._ray, needs)
    assert probes.faults(0.0) == []
    probes.ask(Nodes(ray._ray).alive.values())
    assert probes.faults(60.0) == probes.silent() == []
    temporary = Path(needs.store, "temporary")
    assert len(list(temporary.iterdir())) == 2
    probes.close()
    assert list(temporary.iterdir()) == []


def test_nodes_that_are_silent_or_gone_or_have_another_store_are_told_of(ray: RayExecutor, needs: Needs) -> None:
    probes = Probes(ray._ray, needs)
    (node,) = Nodes(ray._ray).alive.values()
    probes._needs = replace(needs, store=f"{needs.store}-elsewhere")
    probes.ask([node])
    (silent,) = probes.silent()
    assert silent.startswith(f"node {node.name}: must answer within 120 s; got nothing")
    (fault,) = probes.faults(60.0)
    assert fault.startswith(f"node {node.name}: the store {needs.store}-elsewhere must be the same as here")
    assert probes.faults(0.0) == []
    probes.ask([replace(node, id="0" * 56)])
    (gone,) = probes.faults(60.0)
    assert gone.startswith(f"node {node.name}: must be able to run our code; got ")


def test_what_is_there_is_not_waited_for(ray: RayExecutor) -> None:
    said: list[str] = []
    wait_for_nodes(ray._ray, Nodes(ray._ray), WaitFor.model_validate({"CPU": 2, "seconds": 60}), said.append)
    assert said == []


def test_nodes_that_do_not_come_in_time_are_told_of(ray: RayExecutor) -> None:
    said: list[str] = []
    wanted = WaitFor.model_validate({"GPU": 4, "CPU": 1, "seconds": 0.1})
    with pytest.raises(
        ConfigError, match=r"must have 4 GPU, 1 CPU within 0.1 s; got 0 GPU: add nodes, or ask for less"
    ):
        wait_for_nodes(ray._ray, Nodes(ray._ray), wanted, said.append)
    assert said == ["waiting up to 0.1 s for nodes that bring 4 GPU"]

"""The preflight on a cluster: a task on every node, also on those that come later."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.errors import ConfigError, first_line
from pipeline.executor.connecting import ask_for_nodes
from pipeline.executor.contract import Needs
from pipeline.executor.nodes import Node, Nodes
from pipeline.executor.options import WaitFor
from pipeline.executor.preflight import Facts, bundles, faults_of, look_around, missing
from pipeline.store.reach import has_note, leave_note, take_note_away

PATIENCE = 120.0
"""Seconds in which a node must answer: our code is sent to it first, and a process is started."""


class Probes:
    """What every node is asked before it gets work.

    Args:
        ray: The module `ray`, connected to a cluster.
        needs: What the run needs.

    Raises:
        StoreError: The store cannot be written from here.
    """

    def __init__(self, ray: Any, needs: Needs) -> None:
        self._ray = ray
        self._needs = needs
        self._here = look_around(needs)
        self._notes = [leave_note(needs.store)]
        self._asked: dict[Any, Node] = {}
        self._look_around = ray.remote(look_around)

    def ask(self, nodes: Iterable[Node]) -> None:
        """Ask nodes, without waiting for what they say."""
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        for node in nodes:
            task = self._look_around.options(
                name="preflight", num_cpus=0, max_retries=1, scheduling_strategy=affinity(node.id, soft=False)
            )
            self._asked[task.remote(self._needs, self._notes[0])] = node

    def faults(self, seconds: float) -> list[str]:
        """Return what is wrong with the nodes that have answered.

        Args:
            seconds: How long to wait for all of them.
        """
        if not self._asked:
            return []
        answered, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=seconds)
        return [fault for answer in answered for fault in self._judged(self._asked.pop(answer), answer)]

    def silent(self) -> list[str]:
        """Return a line for every node that has not answered."""
        return [
            f"node {node.name}: must answer within {PATIENCE:.0f} s; got nothing: look at its logs, or take it away"
            for node in self._asked.values()
        ]

    def close(self) -> None:
        """Take the notes out of the store."""
        for note in self._notes:
            take_note_away(self._needs.store, note)

    def _judged(self, node: Node, answer: Any) -> list[str]:
        try:
            there: Facts = self._ray.get(answer)
        except self._ray.exceptions.NodeDiedError:
            return []  # it is no longer one of the nodes
        except self._ray.exceptions.RayError as error:
            return [f"node {node.name}: must be able to run our code; got {first_line(error)}: look at its logs"]
        faults = faults_of(node.name, there, self._here)
        if there.answer:
            self._notes.append(there.answer)
            if not has_note(self._needs.store, there.answer):
                faults.append(f"node {node.name}: what it writes to {self._needs.store} must arrive here; got nothing")
        return faults


def wait_for_nodes(ray: Any, nodes: Nodes, wanted: WaitFor, say: Callable[[str], None]) -> None:
    """Wait until a cluster has what was declared to come.

    Raises:
        ConfigError: It has not by the time declared.
    """
    lacking = missing(wanted.resources, nodes.total())
    if not lacking:
        return
    ask = ray.remote(ask_for_nodes).options(name="ask for nodes", num_cpus=0)
    ray.get(ask.remote(bundles(wanted.resources)))
    until = time.monotonic() + wanted.seconds
    say(f"waiting up to {wanted.seconds:g} s for nodes that bring {_listed(lacking)}")
    while lacking and time.monotonic() < until:
        time.sleep(min(1.0, wanted.seconds))
        nodes.look()
        lacking = missing(wanted.resources, nodes.total())
    if lacking:
        ray.get(ask.remote([]))
        have = _listed({name: nodes.total().get(name, 0.0) for name in lacking})
        rule = f"the cluster must have {_listed(wanted.resources)} within {wanted.seconds:g} s"
        raise ConfigError(f"ray.wait_for: {rule}; got {have}: add nodes, or ask for less")


def _listed(amounts: dict[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items())

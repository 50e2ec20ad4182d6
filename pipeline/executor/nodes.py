"""The nodes of a Ray: which there are, what they have, which were lost and which have come."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LOOK_EVERY = 2.0
"""Seconds between two looks at which nodes there are."""


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        id: What Ray calls it.
        name: What people call it: its host, and its address in brackets.
        amounts: What it has, by Ray's names.
    """

    id: str
    name: str
    amounts: Mapping[str, float]

    def fits(self, wanted: Mapping[str, float]) -> bool:
        """Return whether it could do a task that reserves so much, if it did nothing else."""
        return self.holds(wanted) >= 1

    def holds(self, wanted: Mapping[str, float]) -> float:
        """Return how many tasks that reserve so much it could do at once, if it did nothing else."""
        # Ray counts in ten thousandths: ten tenths of a GPU are one.
        shares = (round(self.amounts.get(name, 0.0) / amount, 4) for name, amount in wanted.items())
        return min(map(math.floor, shares), default=math.inf)


class Nodes:
    """The nodes of a Ray as they come and go.

    Args:
        ray: The module `ray`, connected.

    Attributes:
        alive: The nodes that are there, by id.
        lost: The nodes that were there, by id.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._looked = 0.0
        self.alive: dict[str, Node] = {}
        self.lost: dict[str, Node] = {}
        self.look()

    def look(self) -> tuple[list[Node], list[Node]]:
        """Look which nodes there are, and return those that have come since the last look, and those that were lost."""
        self._looked = time.monotonic()
        entries = [entry for entry in self._ray.nodes() if entry["Alive"] and entry["NodeID"] not in self.lost]
        now = {entry["NodeID"]: _node(entry) for entry in entries}
        come = [node for name, node in now.items() if name not in self.alive]
        gone = [node for name, node in self.alive.items() if name not in now]
        self.lost |= {node.id: node for node in gone}
        self.alive = now
        return come, gone

    def lose(self, node_id: str) -> Node | None:
        """Take a node for lost that Ray still lists; return it, or None if it is known to be lost."""
        node = self.alive.pop(node_id, None)
        if node is not None:
            self.lost[node_id] = node
        return node

    def is_due(self) -> bool:
        """Return whether it is time for another look."""
        return time.monotonic() - self._looked >= LOOK_EVERY

    def total(self) -> dict[str, float]:
        """Return what all nodes have together."""
        total: dict[str, float] = {}
        for node in self.alive.values():
            for name, amount in node.amounts.items():
                total[name] = total.get(name, 0.0) + amount
        return total

    def most(self, name: str) -> float:
        """Return how much of a resource the node has that has most of it."""
        return max((node.amounts.get(name, 0.0) for node in self.alive.values()), default=0.0)

    def name(self, node_id: str) -> str:
        """Return what people call a node, whether it is there or was lost."""
        node = self.alive.get(node_id) or self.lost.get(node_id)
        return node.name if node else "a node"


def _node(entry: Mapping[str, Any]) -> Node:
    return Node(entry["NodeID"], f"{entry['NodeManagerHostname']} ({entry['NodeManagerAddress']})", entry["Resources"])

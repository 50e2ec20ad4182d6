"""A cluster of three nodes on the loopback interface, in a process of its own: told what to do line by line.

    python cluster_host.py PORT      the port at which drivers from outside are served

    node        starts one more node
    kill ID     kills all processes of a node at once, as when a machine loses its power

Each line is answered by one: JSON of the address and of the node ids, the head's first.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import psutil

from pipeline.executor.connecting import import_ray


def main() -> None:
    folder = os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="cluster-", dir="/tmp")
    Path(folder, "ray").mkdir()
    import_ray(loopback=True)
    from ray.cluster_utils import Cluster  # noqa: PLC0415  # after what is read when Ray is imported

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "include_dashboard": False,
            "ray_client_server_port": int(sys.argv[1]) or None,
        },
    )
    nodes = {cluster.head_node.node_id: cluster.head_node}

    def add() -> None:
        node = cluster.add_node(num_cpus=1, resources={"worker": 1})
        nodes[node.node_id] = node

    try:
        add()
        add()
        tell(cluster.address, nodes)
        for line in sys.stdin:
            match line.split():
                case ["node"]:
                    add()
                case ["kill", name]:
                    kill(nodes.pop(name))
            tell(cluster.address, nodes)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def kill(node: object) -> None:
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in (raylet, *raylet.children(recursive=True)):
        process.kill()


def tell(address: str, nodes: dict[str, object]) -> None:
    raylets = {name: node.all_processes["raylet"][0].process.pid for name, node in nodes.items()}
    print(json.dumps({"address": address, "raylets": raylets}), flush=True)


if __name__ == "__main__":
    main()

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.waiting import PATIENCE, named

ROOT = str(Path(__file__).parents[3])


@dataclass
class Nodes:
    """A cluster in a process of its own.

    Attributes:
        host: The process.
        port: Where drivers from outside are served.
        address: What drivers on this machine connect to.
        raylets: By node, the process id of its raylet; the head's first.
    """

    host: "subprocess.Popen[str]"
    port: int
    address: str = ""
    raylets: dict[str, int] = field(default_factory=dict)

    def listen(self) -> None:
        """Take in what the process says: one line, once it has done what it was told."""
        assert self.host.stdout is not None
        assert select.select([self.host.stdout], [], [], PATIENCE)[0], "the cluster must answer in time"
        said = json.loads(self.host.stdout.readline())
        self.address, self.raylets = said["address"], said["raylets"]

    def order(self, line: str) -> None:
        """Have the process do something."""
        assert self.host.stdin is not None
        self.host.stdin.write(f"{line}\n")
        self.host.stdin.flush()
        self.listen()

    def workers(self, name: str) -> dict[int, str]:
        """Return the processes that do a task, by the start of its name, and the node of each."""
        found = {}
        for node, raylet in self.raylets.items():
            children = psutil.Process(raylet).children(recursive=True)
            found |= {process.pid: node for process in named(f"ray::{name}", children)}
        return found

    def close(self) -> None:
        """End the process, and with it the cluster; all that it started, if it does not end by itself."""
        below = psutil.Process(self.host.pid).children(recursive=True)
        try:
            self.host.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            for process in (*below, psutil.Process(self.host.pid)):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            raise


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    """A cluster of three nodes: the head, and two that have a `worker` each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray takes a node for dead that does not answer five times, of which the first comes after five seconds.
    environment = os.environ | {"PYTHONPATH": ROOT, "RAY_health_check_period_ms": "500"}
    command = [sys.executable, str(Path(__file__).with_name("cluster_host.py")), str(port)]
    host = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    nodes = Nodes(host, port)
    try:
        nodes.listen()
        yield nodes
    finally:
        nodes.close()


Driver = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def drive(cluster: Nodes, tmp_path: Path) -> Iterator[Driver]:
    """Start `python -m pipeline run tiny.yaml` in the test's folder as a driver of the cluster."""
    started: list[subprocess.Popen[str]] = []

    def run(*settings: str, address: str = "auto") -> "subprocess.Popen[str]":
        # The loopback interface is all that this cluster listens on.
        environment = os.environ | {
            "PYTHONPATH": ROOT,
            "OMP_NUM_THREADS": "1",
            "RAY_ADDRESS": cluster.address,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        options = [f"--set={setting}" for setting in (f"ray.address={address}", *settings)]
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pipeline", "run", "tiny.yaml", *options],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()

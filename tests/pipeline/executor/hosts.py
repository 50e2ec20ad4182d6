"""Three hosts on one machine: network namespaces with a bridge between them, and a Ray node on each.

A host has its own network, its own name, and, but for the first, its own processes and its own /tmp. The other files
they share, as machines of one image do.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = str(Path(__file__).parents[3])
ADDRESS = "10.77.0.1:6379"


class CannotError(Exception):
    """This machine or user cannot make network namespaces."""


@dataclass
class Hosts:
    """The hosts; `h0` has the head.

    Attributes:
        environment: What every process on them gets.
    """

    environment: dict[str, str] = field(
        default_factory=lambda: (
            os.environ
            | {
                "PYTHONPATH": ROOT,
                "OMP_NUM_THREADS": "1",
                "RAY_ADDRESS": ADDRESS,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": secrets.token_hex(32),
                "RAY_USAGE_STATS_ENABLED": "0",
            }
        )
    )
    _prefix: str = field(default_factory=lambda: f"pl{secrets.token_hex(2)}")
    _folder: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="hosts-", dir="/tmp"))
    _made: list[str] = field(default_factory=list)
    _processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def connect(self) -> None:
        """Make the namespaces, and the bridge between them in the first.

        Raises:
            CannotError: It cannot be done here, or what the hosts are to run lies where each has files of its own.
        """
        for needed in (ROOT, sys.prefix):
            if Path(needed).is_relative_to("/tmp"):
                raise CannotError(f"{needed} lies in /tmp, of which each host has its own")
        for index in range(3):
            self._run("ip", "netns", "add", self._name(index))
            self._made.append(self._name(index))
            self._ip(index, "link set lo up")
        self._ip(0, "link add br0 type bridge")
        self._ip(0, "addr add 10.77.0.1/24 dev br0")
        self._ip(0, "link set br0 up")
        for index in (1, 2):
            self._ip(0, f"link add v{index} type veth peer name eth0 netns {self._name(index)}")
            self._ip(0, f"link set v{index} master br0 up")
            self._ip(index, f"addr add 10.77.0.{index + 1}/24 dev eth0")
            self._ip(index, "link set eth0 up")

    def start_ray(self) -> None:
        """Start a node on each, and wait until all have joined."""
        self._ray(0, "--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={self._folder}")
        self._wait_for("import socket; socket.create_connection(('10.77.0.1', 6379), 1)")
        nodes: dict[int, subprocess.Popen[bytes]] = {}

        def join() -> None:
            for index in (1, 2):
                # On a busy machine a node may give up on a head that takes long to answer.
                if index not in nodes or nodes[index].poll() is not None:
                    nodes[index] = self._ray(index, f"--address={ADDRESS}")

        self._wait_for(
            f"import ray; ray.init('{ADDRESS}', log_to_driver=False); assert sum(n['Alive'] for n in ray.nodes()) == 3",
            before=join,
        )

    def spawn(
        self, index: int, *command: str, cwd: Path | None = None, out: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """Start a process on a host."""
        apart = ["--mount", "--pid", "--fork", "--mount-proc"] if index else []
        inside = f'hostname {self.name(index)}; {"mount -t tmpfs tmpfs /tmp; " if index else ""}exec "$@"'
        unshared = ["unshare", "--uts", *apart]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._name(index), *unshared, "sh", "-c", inside, "sh", *command],
            cwd=cwd, env=self.environment, stdout=out, stderr=out,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def run(self, *command: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
        """Run a command on the first host to its end."""
        process = self.spawn(0, *command, cwd=cwd, out=subprocess.PIPE)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(command, process.returncode, out.decode(), err.decode())

    def name(self, index: int) -> str:
        """Return what a host calls itself."""
        return f"{self._prefix}-h{index}"

    def close(self) -> None:
        """Kill what runs on the hosts, and take them away."""
        for namespace in self._made:
            for pid in self._run("ip", "netns", "pids", namespace).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        for process in self._processes:
            process.communicate()
        for namespace in self._made:
            self._run("ip", "netns", "del", namespace)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ray(self, index: int, *options: str) -> "subprocess.Popen[bytes]":
        ray = str(Path(sys.executable).with_name("ray"))
        here = f"--node-ip-address=10.77.0.{index + 1}"
        return self.spawn(index, ray, "start", "--block", "--num-cpus=1", "--disable-usage-stats", here, *options)

    def _wait_for(self, script: str, *, before: Callable[[], None] = lambda: None) -> None:
        until = time.monotonic() + 240  # where others have the cores, 90 s did not do
        before()
        while self.run(sys.executable, "-c", script, cwd=Path("/")).returncode:
            if time.monotonic() > until:
                raise TimeoutError(f"it must come about in time: {script}")
            time.sleep(0.5)
            before()

    def _name(self, index: int) -> str:
        return f"{self._prefix}-{index}"

    def _ip(self, index: int, command: str) -> None:
        self._run("ip", "-n", self._name(index), *command.split())

    def _run(self, *command: str) -> str:
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except FileNotFoundError as error:
            raise CannotError(f"{command[0]} is not installed") from error
        except subprocess.CalledProcessError as error:
            raise CannotError(f"{' '.join(command)}: {error.stderr.strip()}") from error

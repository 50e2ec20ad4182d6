"""A cluster that is there already, joined for the time of a run: our code is sent along, and all nodes are checked."""

import json
import os
import socket
import sysconfig
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pipeline.errors import ConfigError, first_line
from pipeline.executor.connecting import Connection, current_cluster, import_ray
from pipeline.executor.preflight import source_of

_T = TypeVar("_T")


class JoinedRay:
    """This process as a driver of somebody's cluster. What it started there ends with it; the cluster goes on.

    Args:
        address: `auto`, or `ray://HOST:PORT`.
        modules: The packages and modules that the tasks import.

    Attributes:
        ray: The module `ray`, connected.

    Raises:
        ConfigError: There is no such cluster, or it has another Python or Ray.
    """

    grace = 3.0
    """Seconds that tasks are given to end by themselves before their processes are killed."""
    patience = 60.0
    """Seconds that the cluster has for its answer. It may be busy, and takes our code in, too."""

    def __init__(self, address: str, modules: Iterable[str]) -> None:
        self.ray = import_ray(loopback=False)
        sent = {"py_modules": sent_along(modules), "excludes": ["__pycache__/"]}
        options = {"runtime_env": sent} if sent["py_modules"] else {}
        named = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
        named = current_cluster() if named in {"", "auto"} else named
        try:
            _knock(named)
            self._connection = served(lambda: Connection(self.ray, patience=self.patience, address=named, **options))
        except Exception as error:
            where = f"{address} ({named})" if named not in {"", address} else address
            rule = "must be the address of a Ray cluster of the same Python and Ray as here"
            raise ConfigError(f"ray.address {where}: {rule}; got {_got(error)}: {_advice(error)}") from error

    def broken(self) -> str:
        """Return which of its processes have died: not to be seen, nor to be mended, from here."""
        return ""

    def close(self) -> None:
        """Part from the cluster."""
        self._connection.close()


def _got(error: Exception) -> str:
    """Return what was found in place of a cluster; where it is none, Ray goes on about options of its own."""
    said = first_line(error).removesuffix(".")
    if isinstance(error, ConnectionAbortedError):  # in whose text a traceback of the cluster follows
        return f"{said.rstrip(':')}: {str(error).strip().splitlines()[-1].removesuffix('.')}"
    return "nobody who listens there" if isinstance(error, ConnectionRefusedError) else said


def served(connect: Callable[[], _T], *, pause: float = 2.0, n_tries: int = 3) -> _T:
    """Return a connection, asked for again where the cluster failed to start what serves a driver from outside.

    A head that is busy now and then takes too long for that, and serves the next one who asks.

    Args:
        connect: Connects.
        pause: Seconds between two tries.
        n_tries: How often it is asked.

    Raises:
        ConnectionAbortedError: It failed each time.
        Exception: Whatever else `connect` raises.
    """
    for _ in range(n_tries - 1):
        with suppress(ConnectionAbortedError):
            return connect()
        time.sleep(pause)
    return connect()


def _advice(error: BaseException) -> str:
    # Ray wraps the cause twice, and keeps its name in the text alone.
    if "AuthenticationError" in f"{type(error).__name__} {error} {error.__cause__}":
        return "it asks for a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token to the cluster's"
    if isinstance(error, ConnectionAbortedError):
        return "the logs of its head, ray_client_server*, say why; it may only be busy: try again"
    if isinstance(error, TimeoutError):
        return "what listens there may be no Ray, or a head that hangs: look there, or name another"
    return "start one with `ray start --head`, name it in RAY_ADDRESS, or set `ray.address: local`"


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray would try for more than a minute, and then end this process.

    Nor is it left to Ray to look for an address: it would take any Ray on this machine, such as that of another run.
    """
    if not address:
        raise ConnectionError("none that runs here")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def sent_along(modules: Iterable[str]) -> list[str]:
    """Return the files and folders of modules that the nodes would not have.

    They have what came with `ray job submit --working-dir`, in which this process then runs. And what is installed has
    to be so everywhere.
    """
    there = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    if (job.get("runtime_env") or {}).get("working_dir"):
        there.append(Path.cwd())
    sources = (source_of(module) for module in modules)
    return [str(source) for source in sources if source and not any(map(source.is_relative_to, there))]

"""A Ray of the run's own on this machine: no dashboard, loopback only, gone when closed."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StageError, first_line
from pipeline.executor.connecting import Connection, import_ray
from pipeline.store.processes import is_abandoned, temporary_name

_LONGEST_BASE = 12
"""Bytes of the temporary folder's path up to which Ray's folder fits into it."""

_OWNER = "owner"
"""File in that folder which names the process it belongs to."""


class OwnRay:
    """The processes of a local Ray: started whole or not at all, and put away whole.

    Args:
        cpus: CPUs it may use.

    Attributes:
        ray: The module `ray`, for this instance.
        folder: Where it keeps its sockets and logs.

    Raises:
        StageError: It cannot be started here.
    """

    grace = 0.0
    """Seconds that tasks are given to end by themselves: their processes end with it anyway."""

    def __init__(self, cpus: int) -> None:
        self.ray = import_ray(loopback=True)
        self.folder = make_folder()
        try:
            self._connection = Connection(
                self.ray, address="local", num_cpus=cpus, include_dashboard=False, _temp_dir=self.folder
            )
        except BaseException as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            if isinstance(error, Exception):
                rule = "Ray must be able to start on this machine"
                raise StageError(f"{rule}; got {first_line(error)}; `ray.address: inline` does without it") from error
            raise
        self._node = self.ray._private.worker._global_node  # noqa: SLF001  # what tells of its processes at once

    def broken(self) -> str:
        """Return which of its processes have died, without which nothing goes on; empty if none."""
        return ", ".join(sorted({name for name, _ in self._node.dead_processes() if name in {"raylet", "gcs_server"}}))

    def close(self) -> None:
        """End the processes and delete the folder."""
        self._connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def make_folder() -> str:
    """Make a folder for a Ray, and delete those that killed drivers have left."""
    base = tempfile.gettempdir()
    # It cannot lie in the run's: Ray's sockets lie 64 bytes deeper, and 103 bytes are all they may have.
    base = base if len(base) <= _LONGEST_BASE else "/tmp"  # noqa: S108  # a new folder in it is this user's alone
    for folder in Path(base).glob("pipeline-*"):
        with suppress(OSError):  # such as those of other users
            if _is_left(folder):
                shutil.rmtree(folder)
    made = tempfile.mkdtemp(prefix=f"pipeline-{os.getpid()}-", dir=base)
    Path(made, _OWNER).write_text(temporary_name())
    return made


def _is_left(folder: Path) -> bool:
    """Return whether a folder was a Ray's whose driver is dead."""
    idle, owner = time.time() - folder.stat().st_mtime, folder / _OWNER
    if owner.is_file():
        # Whatever its age: a run may be long, and of an owner that cannot be looked up nothing is known.
        return is_abandoned(owner.read_text(), idle_seconds=0.0)
    # A worker that was just starting when its Ray ended makes empty folders again, which belong to nobody.
    return idle > 60 and (folder / "session_latest").is_symlink()

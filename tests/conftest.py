import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.executor import NO_NEEDS, RayOptions
from pipeline.executor.own import OwnRay
from pipeline.executor.tasks import RayExecutor
from tests.waiting import PATIENCE

Disk = Callable[[str], Path]


@pytest.fixture(scope="session")
def reported() -> list[tuple[str, dict[str, object]]]:
    """The events that the session's Ray has told, each a name and its facts; a test looks at those of its own tasks."""
    return []


@pytest.fixture(scope="session")
def ray(reported: list[tuple[str, dict[str, object]]]) -> Iterator[RayExecutor]:
    """A Ray for all tests, started where the environment names somebody else's."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_ADDRESS", "127.0.0.1:1")
        # With time enough for Ray to tell of a dead worker before another that misses it is listened to.
        executor = RayExecutor(
            lambda: OwnRay(2),
            RayOptions(cpus=2),
            NO_NEEDS,
            lambda event, **facts: reported.append((event, facts)),
            grace=PATIENCE,
        )
        yield executor
        executor.close()


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount small filesystems; the argument is mount's options, such as `size=64k`."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a filesystem")
    with ExitStack() as mounted:

        def mount(options: str) -> Path:
            folder = tmp_path / f"disk-{options.replace('=', '-')}"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                pytest.skip(f"cannot mount here: {done.stderr.decode()}")
            # Lazily: an array that a test has mapped from the disk may not be collected yet.
            mounted.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return folder

        yield mount


def remount(disk: Path, options: str) -> None:
    """Change a mounted disk, such as its size."""
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)

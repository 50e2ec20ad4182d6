"""Where jobs run: in this process, or as tasks of a Ray cluster. The only module that imports Ray."""

import logging
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import StageError
from pipeline.store.processes import is_abandoned, temporary_name
from pipeline.worker import Job, Outcome, perform

if TYPE_CHECKING:
    from pipeline.stage import Json

Report = Callable[[str, Mapping[str, "Json"]], None]
"""Called with a task's id and what it reports while it works."""

_LONGEST_BASE = 12
"""Bytes of the temporary folder's path up to which Ray's folder fits into it."""

_OWNER = "owner"
"""File in that folder which names the process it belongs to."""


class RayOptions(BaseModel):
    """Where the tasks run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    address: Literal["local", "inline"] = Field(
        default="local",
        description="`local`: a Ray of this run's own on this machine; `inline`: in this process, one by one.",
    )
    cpus: int | None = Field(
        default=None, ge=1, description="CPUs that a local Ray may use; by default all of this process."
    )


class Executor(Protocol):
    """Takes jobs, and gives back how they ended, in any order."""

    def submit(self, job: Job) -> None:
        """Take a job, to be done as soon as there is room for it."""

    def wait(self) -> list[Outcome]:
        """Return outcomes that came in; waits a short time for one, and may return none."""

    def close(self) -> None:
        """Give up whatever has not ended, and leave no process behind."""


def start(options: RayOptions, report: Report) -> Executor:
    """Return the executor that the options ask for, started."""
    if options.address == "inline":
        return InlineExecutor(report)
    return LocalRay(options.cpus or available_cpus(), report)


def available_cpus() -> int:
    """Return the number of CPUs this process may use, which containers and batch systems restrict."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(
    options: RayOptions, threads: Mapping[tuple[str | int, ...], int]
) -> list[tuple[tuple[str | int, ...], str]]:
    """Return a fault for each wanted number of threads that no worker can offer: Ray would wait for ever.

    Args:
        options: Where the tasks run.
        threads: By config path, the number of threads wanted.

    Returns:
        Pairs of config path and message.
    """
    if options.address == "inline":
        return []
    limit = options.cpus or available_cpus()
    return [
        (path, f"must be at most {limit}, the CPUs of the local Ray; got {wanted}")
        for path, wanted in threads.items()
        if wanted > limit
    ]


class InlineExecutor:
    """Does jobs one by one in this process: for debuggers, and where Ray is not wanted."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.append(job)

    def wait(self) -> list[Outcome]:
        """Do the oldest job."""
        if not self._jobs:
            return []
        job = self._jobs.popleft()
        return [perform(job, lambda facts: self._report(job.task.id, facts))]

    def close(self) -> None:
        """Forget the jobs not begun."""
        self._jobs.clear()


class LocalRay:
    """A Ray of its own on this machine: no dashboard, loopback only, gone when closed.

    Args:
        cpus: CPUs it may use.
        report: Called with what the tasks report.

    Raises:
        StageError: Ray cannot be started here.
    """

    def __init__(self, cpus: int, report: Report) -> None:
        self._report = report
        self._running: dict[Any, Job] = {}
        self._own = _OwnRay(cpus)
        self._ray = self._own.module
        try:
            self._gpus = self._ray.cluster_resources().get("GPU", 0.0) > 0
            # Tasks may outlive the mailbox's process, so it has to come back.
            mailbox = self._ray.remote(_Mailbox).options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
            self._mailbox = mailbox.remote()
            self._perform = self._ray.remote(_perform_and_post)
        except BaseException:
            self._own.close()
            raise

    def submit(self, job: Job) -> None:
        """Hand a job to Ray, which starts it when enough CPUs are free."""
        task = self._perform.options(
            name=job.task.id,
            num_cpus=job.task.threads,
            num_gpus=job.stage.gpu if self._gpus else 0,
            max_retries=2,
        )
        self._running[task.remote(job, self._mailbox)] = job

    def wait(self) -> list[Outcome]:
        """Pass on what tasks reported, and return the outcomes of those that ended."""
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0.2) if self._running else ([], [])
        for task_id, facts in self._ray.get(self._mailbox.take.remote()):
            self._report(task_id, facts)
        return [self._outcome(reference) for reference in done]

    def close(self) -> None:
        """Cancel what runs, by force where it does not stop, and shut Ray down."""
        try:
            for reference in self._running:
                self._ray.cancel(reference, force=True)
        finally:
            self._running.clear()
            self._own.close()

    def _outcome(self, reference: Any) -> Outcome:
        job = self._running.pop(reference)
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # The worker died more often than Ray retries: out of memory, or killed.
            return Outcome(job.task, fault=f"its worker process died: {_first_line(error)}", details=str(error))
        return outcome


class _OwnRay:
    """The processes of a local Ray: started whole or not at all, and put away whole.

    Args:
        cpus: CPUs it may use.

    Attributes:
        module: The module `ray`, for this instance.
        folder: Where it keeps its sockets and logs.

    Raises:
        StageError: It cannot be started here.
    """

    def __init__(self, cpus: int) -> None:
        with _signals_put_off():
            self.module = _import_ray()
        self.folder = _make_folder()
        # A start that is interrupted half-way leaves processes behind, and Ray's handler of SIGTERM, which it installs
        # in the main thread only, interrupts it. Ray's processes end with the thread that started them: it is kept.
        self._thread = ThreadPoolExecutor(1)
        try:
            with _signals_put_off():
                self._thread.submit(_init, self.module, cpus, self.folder).result()
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                rule = "Ray must be able to start on this machine"
                raise StageError(f"{rule}; got {_first_line(error)}; `ray.address: inline` does without it") from error
            raise

    def close(self) -> None:
        """End the processes and delete the folder."""
        self.module.shutdown()
        self._thread.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


def _import_ray() -> Any:
    # Read when Ray is imported; otherwise a local Ray listens on every interface.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Read in the workers: a task that takes no GPU sees those that are visible here. Stated because an earlier Ray
    # hides them unless it is, and warns.
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray  # noqa: PLC0415  # 0.3 s that a run with nothing to do does not pay

    return ray


def _make_folder() -> str:
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


def _init(ray: Any, cpus: int, folder: str) -> None:
    # Ray would warn that it does not install its handler of SIGTERM.
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=folder,
    )


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Deliver Ctrl-C and SIGTERM after the block, not in it."""
    came: list[int] = []
    former = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    for stop in former:
        signal.signal(stop, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for stop, handler in former.items():
            signal.signal(stop, handler)
    if came:
        signal.raise_signal(signal.Signals(came[0]))


class _Mailbox:  # pragma: no cover  # runs in a Ray worker
    """A Ray actor in which tasks leave what the driver shows; losing it loses no result."""

    def __init__(self) -> None:
        self._letters: list[tuple[str, Mapping[str, Json]]] = []

    def post(self, task_id: str, facts: "Mapping[str, Json]") -> None:
        self._letters.append((task_id, facts))

    def take(self) -> "list[tuple[str, Mapping[str, Json]]]":
        letters, self._letters = self._letters, []
        return letters


def _perform_and_post(job: Job, mailbox: Any) -> Outcome:  # pragma: no cover  # runs in a Ray worker
    return perform(job, lambda facts: mailbox.post.remote(job.task.id, facts))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

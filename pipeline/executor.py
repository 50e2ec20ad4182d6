"""Where jobs run: in this process, or as tasks of a Ray cluster. The only module that imports Ray."""

import logging
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline.worker import Job, Outcome, perform

if TYPE_CHECKING:
    from pipeline.stage import Json

Report = Callable[[str, Mapping[str, "Json"]], None]
"""Called with a task's id and what it reports while it works."""


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
    """

    def __init__(self, cpus: int, report: Report) -> None:
        self._report = report
        # Ray's socket paths have to stay below 107 bytes, so its folder cannot lie in the run's.
        self._folder = tempfile.mkdtemp(prefix=f"pipeline-{os.getpid()}-")
        self._ray = _init_local(cpus, self._folder)
        self._gpus = self._ray.cluster_resources().get("GPU", 0.0) > 0
        self._mailbox = self._ray.remote(_Mailbox).options(num_cpus=0).remote()
        self._perform = self._ray.remote(_perform_and_post)
        self._running: dict[Any, Job] = {}

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
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _outcome(self, reference: Any) -> Outcome:
        job = self._running.pop(reference)
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # The worker died more often than Ray retries: out of memory, or killed.
            return Outcome(job.task, fault=f"its worker process died: {_first_line(error)}", details=str(error))
        return outcome


def _init_local(cpus: int, folder: str) -> Any:
    # Read when Ray is imported; otherwise a local Ray listens on every interface.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Stated now, since a later Ray stops overriding the variable where a task has no GPU, and warns until then.
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray  # noqa: PLC0415  # 0.3 s that a run with nothing to do does not pay

    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=folder,
    )
    if handler is not None:
        signal.signal(signal.SIGTERM, handler)  # Ray installs its own, which would end the run without a word
    return ray


class _Mailbox:
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
    return str(error).strip().splitlines()[0]

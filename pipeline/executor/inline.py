"""Jobs in this process, one by one."""

from collections import deque

from pipeline.executor.contract import Tell
from pipeline.worker import Job, Outcome, perform


class InlineExecutor:
    """Does jobs one by one in this process: for debuggers, and where Ray is not wanted."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.append(job)

    def wait(self) -> list[Outcome]:
        """Do the oldest job."""
        if not self._jobs:
            return []
        job = self._jobs.popleft()
        return [perform(job, lambda facts: self._tell("task_progress", task=job.task.id, **facts))]

    def close(self) -> None:
        """Forget the jobs not begun."""
        self._jobs.clear()

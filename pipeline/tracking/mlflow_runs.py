"""MLflow's runs: one for the run, and one within it for each training. Config, curves and results go there."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from pipeline.tracking.contract import Ending, Point, Results
from pipeline.tracking.mlflow_server import Server
from pipeline.tracking.sender import PAUSE, Sender

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow shows one run within another."""

PATIENCE = {"done": 60.0, "failed": 15.0, "interrupted": 5.0}
"""Seconds that the end of a run, by how it ended, waits for what is still to be sent."""

_STATUS = {"done": "FINISHED", "reused": "FINISHED", "failed": "FAILED", "dropped": "FAILED", "interrupted": "KILLED"}
_EPOCHS = 300
"""Epochs sent at once."""


class Mlflow:
    """Sends what is known of a run to an MLflow.

    Args:
        server: The MLflow.
        uri: Its place, for what is told.
        run: The run's own name.
        tags: What identifies the run.
        parameters: The values of its config, by path.
        files: Of its folder, by name, which are there at its beginning.
        pause: Seconds between two tries of a server that does not answer.

    Raises:
        Exception: Whatever the client raises where the run cannot be begun: nothing is lost by not starting it.
    """

    def __init__(
        self,
        server: Server,
        uri: str,
        run: str,
        *,
        tags: Mapping[str, str],
        parameters: Mapping[str, str],
        files: Mapping[str, str],
        pause: float = PAUSE,
    ) -> None:
        self._server = server
        self._parent = server.begin(run, tags)
        try:
            server.parameters(self._parent, parameters)
        except BaseException:
            with suppress(Exception):  # what kept it from being begun is what is told
                server.end(self._parent, _STATUS["failed"])  # else it would be shown as running for ever
            raise
        self._ids: dict[str, str] = {}
        self._waiting: dict[str, list[Point]] = {}
        self._running: set[str] = set()
        self._sender = Sender(f"MLflow at {uri}", server.may_pass, pause)
        for name, text in files.items():
            self._put(name, partial(server.file, self._parent, name, text))

    def point(self, point: Point) -> None:
        """Send one epoch of a training."""
        task = point.task
        if task not in self._waiting:
            self._waiting[task] = []
            self._running.add(task)
            self._put(f"the run of {task}", partial(self._begin, task, point.title))
        waiting = self._waiting[task]
        waiting.append(point)
        if len(waiting) == 1:  # otherwise what sends those before it sends this one too
            self._put(f"epochs of {task}", partial(self._send, task))

    def ended(self, ending: Ending) -> None:
        """Send how a training ended."""
        self._running.discard(ending.task)
        tags = {"state": ending.state, "seconds": f"{ending.seconds:.1f}"} | ({"key": ending.key} if ending.key else {})
        self._put(f"the end of {ending.task}", partial(self._end, ending.task, tags, _STATUS[ending.state]))

    def results(self, results: Results) -> None:
        """Send the run's results."""
        measures = {
            f"test/{model}/{name}": value for model, found in results.measures.items() for name, value in found.items()
        }
        point = Point("", "", 0, measures, results.time)
        self._put("the results", partial(self._server.points, self._parent, [point]))
        for name, content in results.files.items():
            self._put(name, partial(self._server.file, self._parent, name, content.decode()))
        keys = json.dumps(results.keys, indent=2)
        self._put("keys.json", partial(self._server.file, self._parent, "keys.json", keys))

    def news(self) -> list[str]:
        """Return what went wrong since this was asked last."""
        return self._sender.news()

    def close(self, status: str) -> None:
        """End the run and the trainings that still go on, and wait for what is still to be sent."""
        for task in sorted(self._running):
            self._put(f"the end of {task}", partial(self._end, task, {"state": status}, _STATUS[status]))
        self._put("the end of the run", partial(self._server.end, self._parent, _STATUS[status]))
        self._sender.close(PATIENCE[status])

    def _put(self, what: str, call: Callable[[], object]) -> None:
        self._sender.put(what, call)

    def _begin(self, task: str, title: str) -> None:
        tags = {PARENT: self._parent, "task": task} | ({"title": title} if title else {})
        self._ids[task] = self._server.begin(task, tags)

    def _send(self, task: str) -> None:
        """Send the epochs that wait, and those that come meanwhile. Only this thread takes any away."""
        waiting = self._waiting[task]
        while some := waiting[:_EPOCHS]:
            self._server.points(self._ids[task], some)
            del waiting[: len(some)]

    def _end(self, task: str, tags: Mapping[str, str], status: str) -> None:
        self._server.tags(self._ids[task], tags)
        self._server.end(self._ids[task], status)

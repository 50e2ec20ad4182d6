"""What a run's events say of its trainings, told to every log: each epoch of each training once."""

import time
from collections.abc import Callable, Iterable, Mapping

from pipeline.stage import Json
from pipeline.tracking.contract import Ending, Log, Point, Results

Event = Mapping[str, Json]
History = Callable[[str, str], Iterable[Mapping[str, Json]]]
"""Returns of a result, by the ids of its task and its key, what was kept of each epoch: `epoch` and measures."""

_NO_MEASURE = {"time", "epoch", "epochs"}


class Tracking:
    """A listener to events that tells logs of trainings.

    An epoch is told as it is done. Those that no event told of, because a kept result was reused, or a training went
    on from where another run left it, are told when its result is there, from the history that was kept with it.

    Args:
        history: What was kept of the epochs of a result.
        warn: Told what the logs could not take.
    """

    def __init__(self, history: History, warn: Callable[[str], None]) -> None:
        self._history = history
        self._warn = warn
        self._logs: list[Log] = []
        self._titles: Mapping[str, str] = {}
        self._told: dict[str, set[int]] = {}
        self._takers: dict[str, Callable[[Event], None]] = {
            "tasks_known": self._tasks_known,
            "task_progress": self._progress,
            "task_finished": self._result,
            "task_reused": self._result,
            "task_failed": self._failed,
            "task_dropped": self._failed,
            "task_lost": self._lost,
        }

    def add(self, log: Log) -> None:
        """Tell one more log from now on."""
        self._logs.append(log)

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        taker = self._takers.get(event["event"])
        if taker is not None and self._logs:
            taker(event)
            self._tell_news()

    def results(
        self, measures: Mapping[str, Mapping[str, float]], files: Mapping[str, bytes], keys: Mapping[str, str]
    ) -> None:
        """Tell what the run came to.

        Args:
            measures: By model, its measures on the test split.
            files: Of the run's folder, by name.
            keys: The recipe keys of all results, by task id.
        """
        results = Results(measures, files, keys, time.time())
        for log in self._logs:
            log.results(results)

    def close(self, status: str) -> None:
        """End all logs of a run that is `done`, `failed` or `interrupted`."""
        for log in self._logs:
            log.close(status)
        self._tell_news()

    def _tell_news(self) -> None:
        for message in [message for log in self._logs for message in log.news()]:
            self._warn(message)

    def _tasks_known(self, event: Event) -> None:
        self._titles = event["titles"]

    def _progress(self, event: Event) -> None:
        if "epoch" in event:
            self._tell([event], event["task"], event["time"])

    def _result(self, event: Event) -> None:
        task, state = event["task"], "reused" if event["event"] == "task_reused" else "done"
        self._tell(self._history(task, event["key"]), task, event["time"])
        self._end(Ending(task, state, event["key"], event["seconds"]))

    def _failed(self, event: Event) -> None:
        self._end(Ending(event["task"], event["event"].removeprefix("task_")))

    def _lost(self, event: Event) -> None:
        """Forget what was told of a result that is made again."""
        self._told.pop(event["task"], None)

    def _end(self, ending: Ending) -> None:
        if ending.task in self._told:
            for log in self._logs:
                log.ended(ending)

    def _tell(self, epochs: Iterable[Mapping[str, Json]], task: str, now: float) -> None:
        """Tell of those epochs that were not told before: a training that is begun again repeats some."""
        for facts in epochs:
            told = self._told.setdefault(task, set())
            if facts["epoch"] not in told:
                told.add(facts["epoch"])
                point = Point(task, self._titles.get(task, ""), facts["epoch"], _measures(facts), now)
                for log in self._logs:
                    log.point(point)


def _measures(facts: Mapping[str, Json]) -> dict[str, float]:
    """Return the numbers among what is known of an epoch."""
    return {
        name: float(value)
        for name, value in facts.items()
        if name not in _NO_MEASURE and isinstance(value, int | float) and not isinstance(value, bool)
    }

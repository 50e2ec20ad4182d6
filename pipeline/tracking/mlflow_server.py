"""An MLflow, as its own client knows it. The only module that imports MLflow, and only when a run asks for it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from pipeline.tracking.contract import Point
from pipeline.tracking.sender import reason_of

ENVIRONMENT = {
    # MLflow's own bounds would have a server that is not there waited for during more than four minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    # It would print into the middle of what is shown.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""What MLflow reads, where nobody has set it to something else."""

LONGEST = 500
"""Characters of a parameter that every MLflow takes."""
PARAMETERS, POINTS = 100, 1000
"""How many of each MLflow takes at once."""


class Server(Protocol):
    """What is wanted of an MLflow. Whatever goes wrong is raised."""

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Make a run, and return its id."""

    def parameters(self, run: str, values: Mapping[str, str]) -> None:
        """Add parameters to a run."""

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Add tags to a run."""

    def points(self, run: str, points: Sequence[Point]) -> None:
        """Add the measures of epochs to a run, 300 epochs at most."""

    def file(self, run: str, name: str, text: str) -> None:
        """Add a file to a run."""

    def end(self, run: str, status: str) -> None:
        """End a run as FINISHED, FAILED or KILLED."""

    def may_pass(self, error: Exception) -> bool:
        """Return whether an error is of a server that does not answer, and may later."""


class MlflowServer:
    """The MLflow at a place.

    Args:
        uri: The place.
        experiment: The experiment that runs join, made with the first.

    Raises:
        Exception: Whatever MLflow raises of a place that it knows nothing of.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import mlflow  # noqa: PLC0415  # an extra, and 1.3 s

        self._mlflow: Any = mlflow
        self._client: Any = mlflow.MlflowClient(uri)
        self._experiment = experiment

    def fault(self) -> str:
        """Return why no run can join the experiment; empty where nothing speaks against it. Changes nothing."""
        try:
            found = self._client.get_experiment_by_name(self._experiment)
        except Exception as error:  # noqa: BLE001  # of many kinds, by the kind of place
            return reason_of(error)
        return self._fault_of(found)

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Make a run, and return its id."""
        run = self._client.create_run(self._experiment_id(), tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    def parameters(self, run: str, values: Mapping[str, str]) -> None:
        """Add parameters to a run, each cut to what MLflow takes."""
        kind = self._mlflow.entities.Param
        parameters = (kind(name, _cut(value)) for name, value in values.items())
        while some := list(islice(parameters, PARAMETERS)):
            self._client.log_batch(run, params=some)

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Add tags to a run."""
        self._client.log_batch(run, tags=[self._mlflow.entities.RunTag(*item) for item in values.items()])

    def points(self, run: str, points: Sequence[Point]) -> None:
        """Add the measures of epochs to a run."""
        metrics = iter(list(self._metrics(points)))
        while some := list(islice(metrics, POINTS)):
            self._client.log_batch(run, metrics=some)

    def file(self, run: str, name: str, text: str) -> None:
        """Add a file to a run."""
        self._client.log_text(run, text, name)

    def end(self, run: str, status: str) -> None:
        """End a run as FINISHED, FAILED or KILLED."""
        self._client.set_terminated(run, status=status)

    def may_pass(self, error: Exception) -> bool:
        """Return whether an error is of a server that does not answer, and may later."""
        if isinstance(error, self._mlflow.MlflowException):
            status = error.get_http_status_code()
            return bool(status >= 500 or status == 429)
        return isinstance(error, OSError)

    def _metrics(self, points: Iterable[Point]) -> Iterable[Any]:
        for point in points:
            for name, value in point.measures.items():
                yield self._mlflow.entities.Metric(name, value, int(1000 * point.time), point.epoch)

    def _experiment_id(self) -> str:
        client = self._client
        found = client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return str(client.create_experiment(self._experiment))
            except self._mlflow.MlflowException:
                # Another run may have made it meanwhile.
                found = client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _fault_of(self, experiment: Any) -> str:
        if experiment is None or experiment.lifecycle_stage == "active":
            return ""
        return f"the experiment {self._experiment!r}, which is deleted: restore it, or name another"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."

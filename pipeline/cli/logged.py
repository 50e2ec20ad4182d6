"""What the `logging` section asks for: begun and ended with the run, and told what only the stages know."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.schema import Config
from pipeline.config import dump, leaves
from pipeline.errors import Fault, StoreError
from pipeline.events import Events
from pipeline.runs import CONFIG, RunFolder
from pipeline.stage import Json, stage_of
from pipeline.store import Store
from pipeline.tracking import Log, MlflowOptions, Tracking, missing_extras
from stages.parameters import resolved

if TYPE_CHECKING:
    from pipeline.cli.compose import Composition
    from pipeline.tracking.mlflow_server import MlflowServer

TRAINED = ("fold", "generalist", "specialist", "student")
"""The stages whose results keep a history of their training, and so do those that do them once more."""
MEASURES = ("accuracy", "nll", "ece")
"""What is told of each model on the test split; results.json has more."""
SENT = ("results.json", "report.html")
"""Files of the run's folder that are sent along."""
TENSORBOARD = "tensorboard"
"""Folder of TensorBoard's event files, in the run's."""

_URI = ("logging", "mlflow", "uri")


def faults_of(config: Config, *, reach: bool) -> list[Fault]:
    """Return what is wrong with what is asked for.

    Args:
        config: The config.
        reach: Whether the MLflow is asked if it is there.

    Returns:
        Location in the config and message of every fault.
    """
    faults = missing_extras(config.logging)
    wanted = config.logging.mlflow
    if wanted is None or faults or not reach:
        return faults
    try:
        fault = _server(wanted, config.name).fault()
    except Exception as error:  # noqa: BLE001  # MLflow's clients raise errors of many kinds
        fault = str(error)
    return [_unreachable(wanted, fault)] if fault else []


@contextmanager
def during(composition: "Composition", folder: RunFolder, events: Events) -> Iterator[Tracking]:
    """Log a run while it goes on.

    Args:
        composition: The run.
        folder: Its folder.
        events: Told of what could not be logged; what they tell is logged from now on.

    Raises:
        ConfigError: The MLflow does not take the run, or TensorBoard's files cannot be written.
    """

    def warn(message: str) -> None:
        events.tell("warning", message=message)

    tracking = Tracking(lambda task, key: _history(composition.store, task, key, warn), warn)
    events.add(tracking)
    status = "failed"
    try:
        _begin(tracking, composition, folder)
        yield tracking
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        tracking.close(status)


def tell_results(tracking: Tracking, files: Mapping[str, bytes], keys: Mapping[str, str]) -> None:
    """Tell what a run came to, if it reached its end.

    Args:
        tracking: Takes it.
        files: Of the run's folder.
        keys: The recipe keys of all results, by task id.
    """
    if "results.json" in files:
        measures = measured(json.loads(files["results.json"]))
        tracking.results(measures, {name: files[name] for name in SENT}, keys)


def measured(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the measures of each model on the test split; a student's name is what `export` calls its first."""
    models = {"generalist": results["generalist"], "ensemble": results["ensemble"]}
    models |= {f"student-{variant}": student for variant, student in results["students"].items()}
    return {name: {measure: model[measure] for measure in MEASURES} for name, model in models.items()}


def _begin(tracking: Tracking, composition: "Composition", folder: RunFolder) -> None:
    wanted = composition.config.logging
    if wanted.mlflow is not None:
        try:
            tracking.add(_mlflow(wanted.mlflow, composition, folder))
        except Exception as error:
            raise composition.loaded.error([_unreachable(wanted.mlflow, str(error))]) from error
    if wanted.tensorboard:
        place = (
            Path(wanted.tensorboard_folder, folder.path.name)
            if wanted.tensorboard_folder
            else folder.path / TENSORBOARD
        )
        try:
            tracking.add(_tensorboard(place, composition))
        except OSError as error:
            fault = f"must be where event files can be written; got '{place}': {error.strerror}"
            raise composition.loaded.error([(("logging", "tensorboard_folder"), fault)]) from error


def _mlflow(wanted: MlflowOptions, composition: "Composition", folder: RunFolder) -> Log:
    from pipeline.tracking.mlflow_runs import Mlflow  # noqa: PLC0415  # only where it is asked for

    config = resolved(composition.config)
    return Mlflow(
        _server(wanted, config.name),
        wanted.uri,
        folder.path.name,
        tags={"name": config.name, "seed": str(config.seed), "folder": str(folder.path.resolve())},
        parameters=leaves(config.model_dump(mode="json", by_alias=True)),
        files={CONFIG: dump(config)},
    )


def _tensorboard(folder: Path, composition: "Composition") -> Log:
    from pipeline.tracking.tensorboard_files import TensorBoard  # noqa: PLC0415  # only where it is asked for

    return TensorBoard(folder, dump(resolved(composition.config)))


def _server(wanted: MlflowOptions, name: str) -> "MlflowServer":
    from pipeline.tracking.mlflow_server import MlflowServer  # noqa: PLC0415  # only where it is asked for

    return MlflowServer(wanted.uri, wanted.experiment or name)


def _unreachable(wanted: MlflowOptions, fault: str) -> Fault:
    told = (fault.splitlines() or [""])[0]
    return _URI, f"must be of an MLflow that takes runs of this experiment; got '{wanted.uri}': {told}"


def _history(store: Store, task: str, key: str, warn: Callable[[str], None]) -> Sequence[Mapping[str, Json]]:
    """Return what was kept of each epoch of a training; nothing of what is no training."""
    if stage_of(task).removeprefix("refit-") not in TRAINED:
        return ()
    try:
        manifest = store.find(key)
        return store.facts(manifest).get("history", ()) if manifest is not None else ()
    except StoreError as error:
        # Whoever needs the result finds that too, and has it made again.
        warn(f"{task}: the history of its training cannot be logged: {error}")
        return ()

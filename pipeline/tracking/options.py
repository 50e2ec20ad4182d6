"""What is logged for other programs to show: the `logging` section of the config. Imports none of these."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.errors import Fault


def _without_credentials(value: str) -> str:
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:  # a token may stand where a name does
        # The config is written into the run's folder and its report; so the value is not told here either.
        rule = "hold no user or password, which would be kept"
        read = (
            "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD and MLFLOW_TRACKING_TOKEN are read where they are set"
        )
        raise ValueError(f"must {rule}; {read}")
    return value


class Section(BaseModel):
    """The base of this section and its parts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class MlflowOptions(Section):
    """The MLflow that takes the run, which needs the extra `mlflow`."""

    uri: Annotated[str, AfterValidator(_without_credentials)] = Field(
        min_length=1,
        description="Its tracking server, such as http://127.0.0.1:5000, or another place that MLflow can write to.",
    )
    experiment: str | None = Field(
        default=None,
        min_length=1,
        description="The experiment that the run joins, made if it is not there; by default the one of the run's name.",
    )


class LoggingOptions(Section):
    """Where trainings and results are shown beside the run's own report. It changes no result."""

    tensorboard: bool = Field(
        default=False, description="Whether TensorBoard's event files are written; needs the extra `tensorboard`."
    )
    tensorboard_folder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder in which each run makes one of its own name for them; by default `tensorboard` in the "
        "run's folder.",
    )
    mlflow: MlflowOptions | None = None


def missing_extras(options: LoggingOptions, find: Callable[[str], Any] = find_spec) -> list[Fault]:
    """Return what is asked for and not installed.

    Args:
        options: What is asked for.
        find: Returns a module's spec by its name, or None; must not import it.

    Returns:
        Location in the config and message of every fault.
    """
    asked = {"tensorboard": options.tensorboard, "mlflow": options.mlflow is not None}
    return [
        (
            ("logging", name),
            f"must have {name} installed; got none: pip install 'specialist-distillation[{name}]'",
        )
        for name, is_asked in asked.items()
        if is_asked and not _is_there(find(name))
    ]


def _is_there(spec: Any) -> bool:
    # A folder that happens to have the name is found too, but has no file to import.
    return spec is not None and spec.origin is not None

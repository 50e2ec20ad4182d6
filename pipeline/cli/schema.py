"""The schema of the config: the stages' parameters and the pipeline's own."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.executor import RayOptions
from pipeline.tracking import LoggingOptions
from pipeline.worker import CHECKPOINT_SECONDS
from stages.parameters import Parameters


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"must begin with a letter or digit and be of letters, digits, '.', '_' and '-'; got {name!r}")
    return name


class Config(Parameters):
    """The whole config file."""

    name: Annotated[str, AfterValidator(_file_name)] = Field(
        "run", max_length=100, description="Begins the name of the run's folder."
    )
    seed: int = Field(0, ge=0, description="Every random draw of the run is derived from it.")
    store: str = Field(".pipeline", min_length=1, description="Folder of all results, shared by any number of runs.")
    runs: str = Field("runs", min_length=1, description="Folder in which each run makes its own.")
    checkpoint_seconds: float = Field(
        CHECKPOINT_SECONDS,
        ge=0,
        description="How often a training keeps its state in the store, to go on from there after it was stopped.",
    )
    ray: RayOptions = Field(default=RayOptions(), description="Where the tasks run.")
    logging: LoggingOptions = LoggingOptions()

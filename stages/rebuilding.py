"""What is known of trained networks that are made again: by which module, and whose they are. Imports no torch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipeline.errors import StageError
from pipeline.stage import Artifact
from stages.learning import model_files
from stages.learning.errors import LearningError, in_a_line


def with_code(artifact: Artifact, modules: Mapping[str, str]) -> Artifact:
    """Return a trained network with the digest that the text of its module had.

    Args:
        artifact: The network; one that is no function's, or has the digest, is returned as it is.
        modules: What the run in which it was trained was planned with, by module.
    """
    description = artifact.facts["network"]
    code = modules.get(model_files.module_of(description["model"]["name"]))
    if code is None or "code" in description:
        return artifact
    return Artifact(artifact.arrays, {**artifact.facts, "network": {**description, "code": code}})


@contextmanager
def rebuilding(whose: str) -> Iterator[None]:
    """Say in one line of a network that cannot be made again within whose it is.

    Raises:
        StageError: As a LearningError was raised within.
    """
    try:
        yield
    except LearningError as error:
        raise StageError(f"{whose}: {in_a_line(error)}") from error

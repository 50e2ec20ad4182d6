"""A trial of a user's networks before a run: they are made, with their weights from files, and shown two images.

A run tries them as its stages `models` and `given`; this does the same on made-up pixels, without a store.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.errors import Fault, Location
from pipeline.stage import Artifact, Facts, Task, Work
from stages import given, given_files, network, tasks
from stages.learning import model_files
from stages.learning.errors import LearningError, in_a_line
from stages.parameters import Parameters

Trial = tuple[Location, Callable[..., Artifact], Task]
"""Where the config names a network, what tries it, and the task of a run that does."""


def faults_of(
    parameters: Parameters, known: Facts, class_names: Sequence[str], image_shape: Sequence[int]
) -> list[Fault]:
    """Return what is wrong with networks that functions make, or that have weights from files, by where they are named.

    Args:
        parameters: The parameters; they fit the classes and the images where `known` has networks that are there.
        known: What is known of the networks' files, as the tasks of a run are told it: of others nothing is tried.
        class_names: Of every class, in the order of the ids.
        image_shape: Height, width and channels.
    """
    facts = {"models": known, "data[train]": {"class_names": class_names, "image_shape": image_shape}}
    dataset = _made_up(class_names, image_shape)
    trials: list[Trial] = [
        (_place(task), network.check, task) for task in tasks.models(parameters, facts) if task.identity in known
    ]
    places = given_files.named(parameters)
    trials += [(place, given.load, task) for place, task in zip(places, tasks.given(parameters, facts), strict=False)]
    return [
        fault for place, function, task in trials if _may_fail(task) for fault in _tried(place, function, task, dataset)
    ]


def _place(task: Task) -> Location:
    """Return where the config says what a network is: of one with weights, either may be wrong."""
    return (task.identity, "model") if "weights" in task.settings else (task.identity, "model", "name")


def _may_fail(task: Task) -> bool:
    """Whether a network has weights from a file, or a function makes it."""
    found = task.arguments
    model = found.get("model")
    return bool(found.get("weights") or (model and model_files.module_of(model.name)))


def _tried(place: Location, function: Callable[..., Artifact], task: Task, dataset: Artifact) -> Iterator[Fault]:
    try:
        function(dataset=dataset, **task.arguments, work=Work())
    except LearningError as error:
        yield place, in_a_line(error)


def _made_up(class_names: Sequence[str], image_shape: Sequence[int]) -> Artifact:
    """Return a data set of two images, none of them held out."""
    images = np.random.default_rng(0).integers(0, 256, (2, *image_shape), dtype=np.uint8)
    n_channels = images.shape[3]
    return Artifact(
        {"images": images, "labels": np.zeros(2, dtype=np.int64), "holdout": np.zeros(2, dtype=np.bool_)},
        {"class_names": class_names, "mean": [0.5] * n_channels, "std": [0.25] * n_channels},
    )

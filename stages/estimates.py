"""What the tasks of each stage are expected to take, from the sizes of the data. Imports neither torch nor numpy.

Times are not known here: tasks of one kind are alike, so that what an earlier one took tells of the next.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from pipeline.recipe import canonical, plain, sha256
from pipeline.stage import Effort, Task
from specialists.enrichment import epoch_size
from stages import assumptions, contents, tables
from stages.learning import amounts
from stages.parameters import Parameters, TrainingParameters
from stages.tasks import Known, refit, shards_of, subsets_of, transfer_size

PROCESS_BYTES = 600_000_000
"""Resident memory of a process that has imported torch and the stages, as measured with torch 2.15 on a CPU."""

_UNLIKE = {"epochs", "learning_rate", "momentum", "weight_decay", "warmup", "temperature", "alpha"}
"""Settings of a training that do not change what one example costs."""


@dataclass(frozen=True)
class _Sizes:
    """The sizes that decide what tasks take.

    Attributes:
        digest: Of the data set.
        classes: Number of classes.
        training: Examples that teachers are trained on.
        transfer: Examples of the transfer set.
        holdout: Examples of the holdout.
        test: Examples of the test split, 0 where that is not known.
        image_bytes: Bytes of an image.
        class_bytes: What is said of a class among the facts takes at most: its name, and a number.
        subsets: By the name of a specialist, the number of its classes, where that is known.
    """

    digest: str
    classes: int
    training: int
    transfer: int
    holdout: int
    test: int
    image_bytes: int
    class_bytes: int
    subsets: Mapping[str, int]

    @property
    def images(self) -> int:
        """Bytes of the training half's images."""
        return (self.training + self.holdout) * self.image_bytes

    @property
    def of_classes(self) -> int:
        """Bytes at most of facts that say one thing of every class."""
        return self.classes * self.class_bytes


def effort(task: Task, parameters: Parameters, known: Known) -> Effort:
    """Return what a task is expected to take.

    Args:
        task: The task.
        parameters: The parameters of the run.
        known: Facts of the data set's `source` and halves, and of the subsets, as far as they are known.

    Returns:
        The effort; one that says nothing where the sizes are not known.
    """
    measure = _OTHERS.get(task.function) or _MEASURES.get(task.stage.removeprefix(refit.PREFIX))
    if measure is None or "data[train]" not in known:
        return Effort()
    known = assumptions.transfer(parameters, known["data[train]"]) | dict(known)
    if task.stage.startswith(refit.PREFIX):
        known = refit.with_everything(known)
    return measure(task, parameters, _sizes(parameters, known))


def _sizes(parameters: Parameters, known: Known) -> _Sizes:
    train = known["data[train]"]
    class_names, subsets = train["class_names"], subsets_of(known) if "subsets" in known else {}
    return _Sizes(
        known["source"]["digest"],
        len(class_names),
        train["transfer"],
        transfer_size(parameters, known),
        train["holdout"],
        known.get("data[test]", {}).get("test", 0),
        math.prod(train["image_shape"]),
        contents.NUMBER_BYTES + _longest(tuple(class_names)),
        {name: len(classes) for name, classes in subsets.items()},
    )


@lru_cache(maxsize=4)
def _longest(names: tuple[str, ...]) -> int:
    """Return the bytes of the longest name among facts: once, and not for each of the tasks of a run."""
    return max(len(canonical(name)) for name in names)


def _data(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    is_test, has_folds = task.identity == "test", "data.folds" in task.parameters
    n = sizes.test if is_test else sizes.training + sizes.holdout
    held = contents.half_bytes(n, sizes.image_bytes, is_test=is_test, has_folds=has_folds)
    memory = PROCESS_BYTES + 2 * n * sizes.image_bytes
    return Effort(_like(sizes.digest, task.identity), 1.0, *contents.bounds(held, sizes.of_classes), memory)


def _transfer(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    chosen = contents.ID_BYTES * sizes.transfer
    return Effort(_like(""), 1.0, *contents.bounds(chosen, sizes.of_classes), PROCESS_BYTES)


def _views(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted = parameters.data.view_augment
    drawn = amounts.row_bytes(padding=wanted.padding, rotate=wanted.rotate, cutout=wanted.cutout)
    n_bytes = sizes.transfer * (contents.ID_BYTES + drawn)
    return Effort(_like(""), sizes.transfer, *contents.bounds(n_bytes), PROCESS_BYTES)


def _models(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    kind = _like(task.parameters[f"{task.identity}.model"])
    return Effort(kind, 1.0, *contents.bounds(0), PROCESS_BYTES)


def _generalist(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted, epochs = parameters.generalist, task.parameters["generalist"].epochs
    return _training(sizes, wanted, epochs * sizes.training, wanted.model)


def _fold(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted, n_folds = parameters.generalist, parameters.data.folds or 1
    shown = sizes.training * (n_folds - 1) / n_folds
    training = _training(sizes, wanted, wanted.epochs * shown, wanted.model)
    least, most = contents.fold_bounds(sizes.training // n_folds, sizes.classes, wanted.epochs)
    return replace(training, least_bytes=least, most_bytes=most)


def _confusion(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    n = sizes.holdout or sizes.training
    memory = PROCESS_BYTES + sizes.holdout * sizes.image_bytes + n * 16 * sizes.classes
    kind = _like(sizes.digest, parameters.generalist.model, *(() if sizes.holdout else ("folds",)))
    return Effort(kind, n, *contents.bounds(contents.confusion_bytes(n, sizes.classes)), memory)


def _subsets(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    kind = _like(sizes.classes, parameters.specialists.method)
    listed = sum(2 + n for n in sizes.subsets.values()) * sizes.class_bytes
    return Effort(kind, 1.0, *contents.bounds(0, sizes.of_classes + listed), PROCESS_BYTES)


def _specialist(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted = parameters.specialists
    inside = max(1, round(sizes.training * len(task.parameters["subset"]) / sizes.classes))
    shown = task.parameters["specialists"].epochs * epoch_size(inside, wanted.fraction)
    return _training(sizes, wanted, shown, parameters.generalist.model, wanted.regularize)


def _calibration(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    memory = PROCESS_BYTES + sizes.holdout * (sizes.image_bytes + 16 * sizes.classes)
    kind = _like(sizes.digest, parameters.generalist.model)
    return Effort(kind, sizes.holdout, *contents.bounds(0), memory)


def _targets(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    start, stop = task.parameters["rows"]
    rows, name = stop - start, task.identity.partition("/")[0]
    kind = _like(sizes.digest, parameters.generalist.model, name == "generalist")
    memory = PROCESS_BYTES + sizes.images + rows * (sizes.image_bytes + 12 * sizes.classes)
    if name == "generalist":
        return Effort(kind, rows, *contents.bounds(rows * tables.row_bytes(sizes.classes)), memory)
    # On how many rows a specialist is active is seen when the generalist has scored them.
    outputs = sizes.subsets.get(name, sizes.classes) + 1
    return Effort(kind, rows, 0, _most_of_rows(rows, outputs, sizes), memory)


def _given(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like(sizes.digest, parameters.generalist.given), 1.0, memory=PROCESS_BYTES + 2 * sizes.images)


def _taken(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like("taken"), 1.0, memory=PROCESS_BYTES)


def _import(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like(""), 1.0, *contents.bounds(0, 2 * sizes.of_classes), PROCESS_BYTES)


def _imported(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    start, stop = task.parameters["rows"]
    rows = stop - start
    # How many of them the table has, and of how many classes, is seen when it is read.
    most, memory = _most_of_rows(rows, sizes.classes, sizes), PROCESS_BYTES + rows * 12 * sizes.classes
    return Effort(_like(sizes.classes), rows, 0, most, memory)


def _combined(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    start, stop = shards_of(sizes.transfer, sizes.classes)[int(task.identity.rpartition(".")[2])]
    rows, budget = stop - start, parameters.targets.bytes_per_row
    k = None if budget is None else tables.top_k_within(budget, sizes.classes)
    table = rows * tables.row_bytes(sizes.classes, k)
    memory = PROCESS_BYTES + 5 * 8 * rows * sizes.classes
    units = rows * (1 + len(sizes.subsets))
    kind = _like(sizes.classes, parameters.combine.divergence)
    return Effort(kind, units, *contents.bounds(table), memory)


def _student(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted, epochs = parameters.student, task.parameters["student"].epochs
    is_hard = task.identity.partition("/")[0] == "hard"
    return _training(sizes, wanted, epochs * sizes.transfer, is_hard, workers=wanted.workers)


def _sweep(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    # Of each student its settings, two figures, and their means over the seeds.
    grid = len(task.input_ids) * 12 * contents.NUMBER_BYTES
    return Effort(_like(""), 1.0, *contents.bounds(0, grid), PROCESS_BYTES)


def _evaluate(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    kind = _like(sizes.digest, parameters.generalist.model, parameters.student.model)
    memory = PROCESS_BYTES + sizes.test * (2 * sizes.image_bytes + 6 * 8 * sizes.classes)
    bounds = contents.evaluation_bounds(
        sizes.test,
        sizes.classes,
        sizes.image_bytes,
        n_variants=len(task.parameters["variants"]),
        n_seeds=len(parameters.seeds),
        subsets=list(sizes.subsets.values()),
        class_bytes=sizes.class_bytes,
    )
    return Effort(kind, sizes.test * (1 + len(sizes.subsets)), *bounds, memory)


def _training(sizes: _Sizes, training: TrainingParameters, n_shown: float, *others: object, workers: int = 1) -> Effort:
    """Return the effort of a training that shows so many examples in all; its result is as large as its network."""
    alike = {name: value for name, value in plain(training).items() if name not in _UNLIKE}
    alike = {name: alike[name] for name in ("model", "workers", *TrainingParameters.model_fields) if name in alike}
    memory = workers * (PROCESS_BYTES + 2 * sizes.images)
    return Effort(_like(sizes.digest, alike, *others), n_shown, memory=memory)


def _most_of_rows(rows: int, outputs: int, sizes: _Sizes) -> int:
    """Return the bytes at most of a table that may have all of these rows, and says which it has."""
    return contents.bounds(rows * (tables.row_bytes(outputs) + contents.ID_BYTES), outputs * sizes.class_bytes)[1]


def _like(*parts: object) -> str:
    """Return a short name for tasks that have all of this in common."""
    return sha256(canonical(plain(parts)))[:12]


_OTHERS: dict[str, Callable[[Task, Parameters, _Sizes], Effort]] = {"stages.given:use": _taken}
"""Of tasks that are not what their stage says."""

_MEASURES: dict[str, Callable[[Task, Parameters, _Sizes], Effort]] = {
    "data": _data,
    "transfer": _transfer,
    "views": _views,
    "models": _models,
    "given": _given,
    "generalist": _generalist,
    "fold": _fold,
    "confusion": _confusion,
    "subsets": _subsets,
    "specialist": _specialist,
    "calibration": _calibration,
    "targets": _targets,
    "import": _import,
    "imported": _imported,
    "combined": _combined,
    "student": _student,
    "sweep": _sweep,
    "evaluate": _evaluate,
}

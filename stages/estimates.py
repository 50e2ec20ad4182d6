"""What the tasks of each stage are expected to take, from the sizes of the data. Imports neither torch nor numpy.

Times are not known here: tasks of one kind are alike, so that what an earlier one took tells of the next.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipeline.recipe import canonical, plain, sha256
from pipeline.stage import Effort, Task
from specialists.enrichment import epoch_size
from stages import assumptions, tables
from stages.parameters import Parameters, TrainingParameters
from stages.tasks import Known, refit, shards_of, subset_name, transfer_size

PROCESS_BYTES = 600_000_000
"""Resident memory of a process that has imported torch and the stages, as measured with torch 2.15 on a CPU."""

_LABEL_BYTES = 8
_FLAG_BYTES = 1
_FOLD_BYTES = 8
_VIEW_BYTES = 8 + 3
"""Of a row of a view: the example's id, and three amounts."""

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
        subsets: By the name of a specialist, the number of its classes, where that is known.
    """

    digest: str
    classes: int
    training: int
    transfer: int
    holdout: int
    test: int
    image_bytes: int
    subsets: Mapping[str, int]

    @property
    def images(self) -> int:
        """Bytes of the training half's images."""
        return (self.training + self.holdout) * self.image_bytes


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
    return _Sizes(
        known["source"]["digest"],
        len(train["class_names"]),
        train["transfer"],
        transfer_size(parameters, known),
        train["holdout"],
        known.get("data[test]", {}).get("test", 0),
        math.prod(train["image_shape"]),
        {
            subset_name(subset["classes"]): len(subset["classes"])
            for subset in known.get("subsets", {}).get("subsets", ())
        },
    )


def _data(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    n, extra = (sizes.test, 0) if task.identity == "test" else (sizes.training + sizes.holdout, _FLAG_BYTES)
    if "data.folds" in task.parameters:
        extra += _FOLD_BYTES
    size = n * (sizes.image_bytes + _LABEL_BYTES + extra)
    memory = PROCESS_BYTES + 2 * n * sizes.image_bytes
    return Effort(_like(sizes.digest, task.identity), 1.0, size, size + 100 * sizes.classes, memory)


def _transfer(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    size = _LABEL_BYTES * sizes.transfer
    return Effort(_like(""), 1.0, size, size + 10 * sizes.classes, PROCESS_BYTES)


def _views(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    size = sizes.transfer * _VIEW_BYTES
    return Effort(_like(""), sizes.transfer, size, size, PROCESS_BYTES)


def _models(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like(task.parameters[f"{task.identity}.model"]), 1.0, 0, 1000, PROCESS_BYTES)


def _generalist(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted, epochs = parameters.generalist, task.parameters["generalist"].epochs
    return _training(sizes, wanted, epochs * sizes.training, wanted.model)


def _fold(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted, n_folds = parameters.generalist, parameters.data.folds or 1
    size = sizes.training // n_folds * (4 * sizes.classes + _LABEL_BYTES)
    shown = sizes.training * (n_folds - 1) / n_folds
    training = _training(sizes, wanted, wanted.epochs * shown, wanted.model)
    return replace(training, least_bytes=size, most_bytes=size + 4 * sizes.classes + _LABEL_BYTES)


def _confusion(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    n = sizes.holdout or sizes.training
    size = n * (4 * sizes.classes + _LABEL_BYTES) + 8 * sizes.classes**2
    memory = PROCESS_BYTES + sizes.holdout * sizes.image_bytes + n * 16 * sizes.classes
    kind = _like(sizes.digest, parameters.generalist.model, *(() if sizes.holdout else ("folds",)))
    return Effort(kind, n, size, size, memory)


def _subsets(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted = parameters.specialists
    return Effort(_like(sizes.classes, wanted.method), 1.0, 0, 1000 + 100 * sizes.classes, PROCESS_BYTES)


def _specialist(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted = parameters.specialists
    inside = max(1, round(sizes.training * len(task.parameters["subset"]) / sizes.classes))
    shown = task.parameters["specialists"].epochs * epoch_size(inside, wanted.fraction)
    return _training(sizes, wanted, shown, parameters.generalist.model, wanted.regularize)


def _calibration(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    memory = PROCESS_BYTES + sizes.holdout * (sizes.image_bytes + 16 * sizes.classes)
    return Effort(_like(sizes.digest, parameters.generalist.model), sizes.holdout, 0, 1000, memory)


def _targets(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    start, stop = task.parameters["rows"]
    rows, name = stop - start, task.identity.partition("/")[0]
    kind = _like(sizes.digest, parameters.generalist.model, name == "generalist")
    memory = PROCESS_BYTES + sizes.images + rows * (sizes.image_bytes + 12 * sizes.classes)
    if name == "generalist":
        size = rows * tables.row_bytes(sizes.classes)
        return Effort(kind, rows, size, size, memory)
    # On how many rows a specialist is active is seen when the generalist has scored them.
    outputs = sizes.subsets.get(name, sizes.classes) + 1
    return Effort(kind, rows, 0, rows * (tables.row_bytes(outputs) + _LABEL_BYTES), memory)


def _given(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like(sizes.digest, parameters.generalist.given), 1.0, memory=PROCESS_BYTES + 2 * sizes.images)


def _taken(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like("taken"), 1.0, memory=PROCESS_BYTES)


def _import(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like(""), 1.0, 0, 1000 + 100 * sizes.classes, PROCESS_BYTES)


def _imported(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    start, stop = task.parameters["rows"]
    rows = stop - start
    # How many of them the table has, and of how many classes, is seen when it is read.
    size = rows * (tables.row_bytes(sizes.classes) + _LABEL_BYTES)
    return Effort(_like(sizes.classes), rows, 0, size, PROCESS_BYTES + rows * 12 * sizes.classes)


def _combined(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    start, stop = shards_of(sizes.transfer, sizes.classes)[int(task.identity.rpartition(".")[2])]
    rows, budget = stop - start, parameters.targets.bytes_per_row
    k = None if budget is None else tables.top_k_within(budget, sizes.classes)
    size = rows * tables.row_bytes(sizes.classes, k)
    memory = PROCESS_BYTES + 5 * 8 * rows * sizes.classes
    units = rows * (1 + len(sizes.subsets))
    return Effort(_like(sizes.classes, parameters.combine.divergence), units, size, size, memory)


def _student(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    wanted, epochs = parameters.student, task.parameters["student"].epochs
    is_hard = task.identity.partition("/")[0] == "hard"
    return _training(sizes, wanted, epochs * sizes.transfer, is_hard, workers=wanted.workers)


def _sweep(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    return Effort(_like(""), 1.0, 0, 1000 + 300 * len(task.input_ids), PROCESS_BYTES)


def _evaluate(task: Task, parameters: Parameters, sizes: _Sizes) -> Effort:
    kind = _like(sizes.digest, parameters.generalist.model, parameters.student.model)
    memory = PROCESS_BYTES + sizes.test * (2 * sizes.image_bytes + 6 * 8 * sizes.classes)
    n_scores = 2 + len(task.parameters["variants"]) * len(parameters.seeds)
    size = sizes.test * (_LABEL_BYTES + 4 * sizes.classes * n_scores)
    units = sizes.test * (1 + len(sizes.subsets))
    return Effort(kind, units, size, size + 20 * sizes.classes**2, memory)


def _training(sizes: _Sizes, training: TrainingParameters, n_shown: float, *others: object, workers: int = 1) -> Effort:
    """Return the effort of a training that shows so many examples in all; its result is as large as its network."""
    alike = {name: value for name, value in plain(training).items() if name not in _UNLIKE}
    alike = {name: alike[name] for name in ("model", "workers", *TrainingParameters.model_fields) if name in alike}
    memory = workers * (PROCESS_BYTES + 2 * sizes.images)
    return Effort(_like(sizes.digest, alike, *others), n_shown, memory=memory)


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

"""The tasks of the data: its halves, the transfer set, the views, and the trial of networks on it."""

from pipeline.stage import Facts, Task
from stages import manual
from stages.learning.model_names import library_of
from stages.parameters import ModelParameters, Parameters
from stages.tasks.shared import Known, fitting_classes, model_content, model_file, without_path


def data(parameters: Parameters, known: Known) -> list[Task]:
    """List the two halves of the data set: apart, so that recipes show what the test split went into."""
    source, wanted = known["source"], parameters.data
    content = data_content(parameters, source)
    settings = {"source": wanted.source, "root": source["root"], "stamp": source["stamp"]}
    divided = {"data.holdout": wanted.holdout} if wanted.folds is None else {"data.folds": wanted.folds}
    train = content | divided | {"split": "train"}
    return [
        Task("data", "train", parameters=train, settings=settings),
        Task("data", "test", parameters=content | {"split": "test"}, settings=settings),
    ]


def data_content(parameters: Parameters, source: Facts) -> dict[str, object]:
    """Return the parameters that decide which examples a data set has, in their order."""
    content = {"data.kind": source["kind"], "data.digest": source["digest"]}
    options = {name: getattr(parameters.data, name) for name in ("size", "test")}
    return content | {f"data.{name}": value for name, value in options.items() if value is not None}


def transfer(parameters: Parameters, known: Known) -> list[Task]:
    """List the one choice of the transfer set, where that is not the whole training part without the holdout.

    Raises:
        MisfitError: As `subsets`.
    """
    wanted = parameters.data.transfer
    names = fitting_classes(parameters, known)  # the first to know the data, so that nothing is trained in vain
    if wanted.is_everything:
        return []
    left_out = manual.class_ids(wanted.omit or (), names)
    classes = manual.class_ids(wanted.classes, names) if wanted.classes else range(len(names))
    return [
        Task(
            "transfer",
            inputs={"dataset": "data[train]"},
            parameters={
                "data.transfer.classes": [c for c in classes if c not in left_out],
                "data.transfer.fraction": wanted.fraction,
            },
        )
    ]


def views(parameters: Parameters, known: Known) -> list[Task]:
    """List the views, each on its own, so that one more is one more task."""
    wanted = parameters.data
    key = "data.augment" if wanted.transfer.augment is None else "data.transfer.augment"
    return [
        Task(
            "views",
            str(view),
            inputs={"dataset": "data[train]"} | ({} if wanted.transfer.is_everything else {"transfer": "transfer"}),
            parameters={key: wanted.view_augment, "view": view},
        )
        for view in range(wanted.n_views)
    ]


def models(parameters: Parameters, known: Known) -> list[Task]:
    """List the trials of networks that are not this project's own: all before the first training, which may be long."""
    tried: dict[str, tuple[ModelParameters, bool]] = {
        "student": (parameters.student.model, parameters.student.shifts_logits)
    }
    if parameters.generalist.given is None:
        tried = {"generalist": (parameters.generalist.model, True)} | tried
    return [
        Task(
            "models",
            section,
            inputs={"dataset": "data[train]"},
            parameters={f"{section}.model": without_path(model), "needs_head": needs_head}
            | model_content(known, section),
            settings=model_file(known, section),
            packages=library_of(model.name),
        )
        for section, (model, needs_head) in tried.items()
        if ":" in model.name or model.weights
    ]

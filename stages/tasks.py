"""Which tasks each stage has, and what each of them reads. Imports nothing heavy: planning a run needs no torch.

Every function takes the parameters and the facts known so far (by task id), and returns the stage's tasks.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from pipeline.errors import MisfitError
from pipeline.recipe import canonical, sha256
from pipeline.stage import Facts, Task
from stages import candidates, given_files, manual
from stages.candidates import Candidate
from stages.parameters import (
    GivenSpecialist,
    ModelParameters,
    Parameters,
    StudentParameters,
    TrainingParameters,
    check_classes,
    default_count,
)

Known = Mapping[str, Facts]
Range = tuple[int, int]

SHARD_BYTES = 32 * 2**20
"""Size of a shard of the generalist's table. It decides the recipes, so no setting of the machine may change it."""


def data(parameters: Parameters, known: Known) -> list[Task]:
    """List the two halves of the data set: apart, so that recipes show what the test split went into."""
    source, wanted = known["source"], parameters.data
    content = data_content(parameters, source)
    settings = {"source": wanted.source, "root": source["root"], "stamp": source["stamp"]}
    train = content | {"data.holdout": wanted.holdout, "split": "train"}
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
    if wanted.is_everything:
        return []
    names = _fitting_classes(parameters, known)
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
    return [
        Task(
            "views",
            str(view),
            inputs={"dataset": "data[train]"}
            | ({} if parameters.data.transfer.is_everything else {"transfer": "transfer"}),
            parameters={"data.augment": parameters.data.augment, "view": view},
        )
        for view in range(parameters.data.views)
    ]


def models(parameters: Parameters, known: Known) -> list[Task]:
    """List the trials of networks that are not this project's own: all before the first training, which may be long."""
    tried: dict[str, ModelParameters] = {"student": parameters.student.model}
    if parameters.generalist.given is None:
        tried = {"generalist": parameters.generalist.model} | tried
    return [
        Task(
            "models",
            section,
            inputs={"dataset": "data[train]"},
            parameters={f"{section}.model": _bare(model), "is_teacher": section == "generalist"}
            | _model_content(known, section),
            settings=_model_file(known, section),
        )
        for section, model in tried.items()
        if ":" in model.name or model.weights
    ]


def given(parameters: Parameters, known: Known) -> list[Task]:
    """List the networks that are there already: all are looked at before the first training.

    Raises:
        MisfitError: What is said of them does not fit the data or the config; lists all faults.
    """
    there, train = known["models"].get("given", {}), known["data[train]"]
    if not there:
        return []
    class_names = train["class_names"]
    faults = check_classes(parameters, len(class_names), class_names)
    faults = faults or given_files.faults_of(parameters, there, class_names, train["image_shape"])
    if faults:
        raise MisfitError(faults)
    tasks: list[Task] = []
    if parameters.generalist.given is not None:
        start = {"is_start": parameters.specialists.trains}
        tasks.append(_given("generalist", there[given_files.GENERALIST], parameters, "generalist.from", start))
    places = given_files.places(parameters)
    for place, (name, specialist) in zip(places, _given_subsets(parameters, class_names).items(), strict=True):
        correction = {"specialists.from.prior_correction": specialist.prior_correction}
        others = {"subset": manual.class_ids(specialist.subset, class_names), **correction}
        tasks.append(_given(name, there[place], parameters, "specialists.from", others))
    return tasks


def generalist(parameters: Parameters, known: Known) -> list[Task]:
    """List the one training of the generalist, or the taking of one that is there."""
    wanted = parameters.generalist
    if wanted.given is not None:
        return [_taken("generalist", "", "generalist")]
    return [
        Task(
            "generalist",
            inputs={"dataset": "data[train]"},
            parameters={
                "generalist": wanted.model_copy(update={"model": _bare(wanted.model)}),
                "data.augment": parameters.data.augment,
            }
            | _model_content(known, "generalist"),
            settings=_memory(parameters) | _model_file(known, "generalist"),
            threads=wanted.threads,
        )
    ]


def confusion(parameters: Parameters, known: Known) -> list[Task]:
    """List the one measurement of what the generalist confuses on the holdout."""
    return [Task("confusion", inputs={"dataset": "data[train]", "generalist": "generalist"})]


def subsets(parameters: Parameters, known: Known) -> list[Task]:
    """List the one division of the classes. Of listed subsets it holds the class ids, whatever they were listed by.

    Raises:
        MisfitError: The parameters do not fit the classes of the data set, such as a listed class that it does not
            have; lists all faults.
    """
    wanted, class_names = parameters.specialists, _fitting_classes(parameters, known)
    count = default_count(len(class_names)) if wanted.count is None else wanted.count
    chosen: dict[str, object] = {"specialists.count": count, "specialists.size": wanted.size}
    if wanted.listed:
        chosen = {"specialists.subsets": manual.resolve(list(wanted.listed.values()), class_names)}
    return [
        Task("subsets", inputs={"confusion": "confusion"}, parameters=chosen | {"specialists.method": wanted.method})
    ]


def specialist(parameters: Parameters, known: Known) -> list[Task]:
    """List one training a subset, named by its classes: what the other subsets are does not matter to it."""
    wanted, class_names = parameters.specialists, known["data[train]"]["class_names"]
    there = _given_subsets(parameters, class_names)
    training = TrainingParameters(**{name: getattr(wanted, name) for name in TrainingParameters.model_fields})

    def task(name: str, classes: Sequence[int]) -> Task:
        title = ", ".join(class_names[c] for c in classes)
        if name in there:
            return _taken("specialist", name, name, title=title)
        return Task(
            "specialist",
            name,
            inputs={"dataset": "data[train]", "generalist": "generalist"},
            parameters={
                "specialists": training,
                "specialists.fraction": wanted.fraction,
                "specialists.regularize": wanted.regularize,
                "data.augment": parameters.data.augment,
                "subset": classes,
            },
            settings=_memory(parameters),
            threads=wanted.threads,
            title=title,
        )

    return [task(name, classes) for name, classes in _subsets(known).items()]


def calibration(parameters: Parameters, known: Known) -> list[Task]:
    """List the calibration of every teacher, where it is asked for: one more teacher is one more task."""
    teachers = {"generalist": "generalist"} | {name: f"specialist[{name}]" for name in _subsets(known)}
    return [
        Task("calibration", name, inputs={"dataset": "data[train]", "teacher": teacher})
        for name, teacher in teachers.items()
        if parameters.combine.calibrate
    ]


def targets(parameters: Parameters, known: Known) -> list[Task]:
    """List the scoring of every shard of every view: by the generalist, then by each specialist where it is active."""
    tasks: list[Task] = []
    for shard, (view, rows) in _shards(parameters, known).items():
        inputs = {"dataset": "data[train]", "view": f"views[{view}]"}
        common = {"rows": rows}
        tasks.append(
            Task("targets", f"generalist/{shard}", inputs=inputs | {"teacher": "generalist"}, parameters=common)
        )
        active = {"combine.active_classes": max(candidates.active_classes(parameters))}
        tasks.extend(
            Task(
                "targets",
                f"{name}/{shard}",
                inputs=inputs | {"teacher": f"specialist[{name}]", "generalist": f"targets[generalist/{shard}]"},
                parameters=common | active,
            )
            for name in _subsets(known)
        )
    return tasks


def imports(parameters: Parameters, known: Known) -> list[Task]:
    """List what tells of each imported table; its content decides the recipe, wherever it is kept."""
    tables = _imports(parameters, known)
    return [
        Task(
            "import",
            name,
            parameters={"targets.imported": table["digest"]},
            settings={"name": name, "store": table["store"], "record": table["record"]},
        )
        for name, table in tables.items()
    ]


def imported(parameters: Parameters, known: Known) -> list[Task]:
    """List the shards of each imported table."""
    return [
        Task(
            "imported",
            f"{name}/{shard}",
            inputs={"table": f"import[{name}]", "view": f"views[{view}]"},
            parameters={"rows": rows},
            settings={"store": table["store"], "record": table["record"]},
        )
        for name, table in _imports(parameters, known).items()
        for shard, (view, rows) in _shards(parameters, known).items()
    ]


def combined(parameters: Parameters, known: Known) -> list[Task]:
    """List the combination of every shard. Only a table that may lose something depends on the temperatures."""
    wanted = parameters.targets
    limits = {
        "targets.bytes_per_row": wanted.bytes_per_row,
        "targets.max_kl": wanted.max_kl,
        "temperatures": candidates.temperatures(parameters),
    }
    asked = candidates.active_classes(parameters)
    return [
        Task(
            "combined",
            _combined(parameters, active, shard),
            inputs={
                "generalist": f"targets[generalist/{shard}]",
                "specialists": [f"targets[{name}/{shard}]" for name in _subsets(known)],
            }
            | _calibrations(parameters, known)
            | _listed("imported", [f"imported[{name}/{shard}]" for name in parameters.targets.imported]),
            parameters={"combine.divergence": parameters.combine.divergence}
            | (limits if wanted.bytes_per_row is not None else {})
            # A specialist that was asked about more rows than this combination wants is heard on its own alone.
            | ({"combine.active_classes": active} if active < asked[-1] else {}),
        )
        for active, shard in product(asked, _shards(parameters, known))
    ]


def student(parameters: Parameters, known: Known) -> list[Task]:
    """List the distilled students and their controls: same seeds, model, views and steps, other targets."""
    shards = list(_shards(parameters, known))
    views = [f"views[{view}]" for view in range(parameters.data.views)]
    is_calibrated = parameters.combine.calibrate

    def targets_of(wanted: Candidate) -> list[str]:
        if wanted.variant == "distilled":
            active = candidates.combination_of(parameters, wanted.settings).active_classes
            return [f"combined[{_combined(parameters, active, shard)}]" for shard in shards]
        return [f"targets[generalist/{shard}]" for shard in shards] if wanted.variant == "generalist" else []

    def trained(wanted: Candidate) -> StudentParameters:
        student = candidates.student_of(parameters, wanted)
        return student.model_copy(update={"model": _bare(student.model)})

    return [
        Task(
            "student",
            wanted.name,
            inputs={"dataset": "data[train]", "views": views, "targets": targets_of(wanted)}
            # The combined table is of calibrated teachers; its control is to differ in nothing but the specialists.
            | ({"calibration": "calibration[generalist]"} if wanted.variant == "generalist" and is_calibrated else {}),
            parameters={"student": trained(wanted)} | _model_content(known, "student"),
            settings=_memory(parameters) | _model_file(known, "student"),
            seed_identity=str(wanted.seed),
            threads=parameters.student.threads,
        )
        for wanted in candidates.candidates(parameters)
    ]


def sweep(parameters: Parameters, known: Known) -> list[Task]:
    """List the one choice among the students, where several settings are tried."""
    if parameters.sweep is None:
        return []
    tried = candidates.candidates(parameters)
    return [
        Task(
            "sweep",
            inputs={"students": [wanted.task for wanted in tried]},
            parameters={
                "sweep.measure": parameters.sweep.measure,
                "candidates": [(wanted.variant, wanted.settings) for wanted in tried],
            },
        )
    ]


def evaluate(parameters: Parameters, known: Known) -> list[Task]:
    """List the one evaluation, the only task that reads the examples of the test split."""
    students = candidates.chosen(parameters, known)
    return [
        Task(
            "evaluate",
            inputs={
                "test": "data[test]",
                "generalist": "generalist",
                "specialists": [f"specialist[{name}]" for name in _subsets(known)],
                "students": [student.task for student in students],
            }
            | _calibrations(parameters, known),
            parameters={
                "variants": candidates.variants(parameters),
                "seeds": parameters.seeds,
                "combine": candidates.combination_of(parameters, students[0].settings),
            },
        )
    ]


def report(parameters: Parameters, known: Known) -> list[Task]:
    """List the one report, written anew by every run, since it says what that run reused."""
    subsets = list(_subsets(known))
    students = candidates.chosen(parameters, known)
    shards = list(_shards(parameters, known))
    tables = [f"targets[{name}/{shard}]" for name in ("generalist", *subsets) for shard in shards]
    active = candidates.combination_of(parameters, students[0].settings).active_classes
    return [
        Task(
            "report",
            inputs={
                "dataset": "data[train]",
                "test": "data[test]",
                "generalist": "generalist",
                "subsets": "subsets",
                "specialists": [f"specialist[{name}]" for name in subsets],
                "targets": [*tables, *(f"combined[{_combined(parameters, active, shard)}]" for shard in shards)],
                "students": [student.task for student in students if student.seed == parameters.seeds[0]],
                "evaluation": "evaluate",
            }
            | ({"sweep": "sweep"} if parameters.sweep else {})
            | _listed("imports", [f"import[{name}]" for name in parameters.targets.imported]),
            settings={"dropped": list(_found(known).keys() - _subsets(known).keys())},
        )
    ]


def shards_of(n_examples: int, n_classes: int, shard_bytes: int = SHARD_BYTES) -> list[Range]:
    """Return the ranges of examples that make the shards of one view.

    A row of the generalist's table takes 2 bytes a class and 8 for its maximum and logsumexp.
    """
    size = max(1, shard_bytes // (2 * n_classes + 8))
    return [(start, min(start + size, n_examples)) for start in range(0, n_examples, size)]


def _shards(parameters: Parameters, known: Known) -> dict[str, tuple[int, Range]]:
    """Return view and range of transfer set rows of every shard, by name: view, then part."""
    parts = shards_of(transfer_size(parameters, known), len(known["data[train]"]["class_names"]))
    return {
        f"{view}.{part}": (view, rows) for view, (part, rows) in product(range(parameters.data.views), enumerate(parts))
    }


def transfer_size(parameters: Parameters, known: Known) -> int:
    """Return the number of examples of the transfer set."""
    size: int = (
        known["data[train]"]["transfer"] if parameters.data.transfer.is_everything else known["transfer"]["rows"]
    )
    return size


def _fitting_classes(parameters: Parameters, known: Known) -> Sequence[str]:
    """Return the names of the classes.

    Raises:
        MisfitError: The parameters do not fit them; lists all faults.
    """
    class_names: Sequence[str] = known["data[train]"]["class_names"]
    faults = check_classes(parameters, len(class_names), class_names)
    if faults:
        raise MisfitError(faults)
    return class_names


def _combined(parameters: Parameters, active_classes: int, shard: str) -> str:
    """Return what sets a combination apart; the number of active classes where it is not the config's own."""
    own = active_classes == parameters.combine.active_classes
    return shard if own else f"active={active_classes}/{shard}"


def _calibrations(parameters: Parameters, known: Known) -> dict[str, list[str]]:
    """Return the input that calibrates the teachers, the generalist first; none where that is not asked for."""
    return _listed("calibrations", [task.id for task in calibration(parameters, known)])


def _listed(argument: str, task_ids: list[str]) -> dict[str, list[str]]:
    """Return an input that is left out where it is empty: what does not ask for it has the recipe it always had."""
    return {argument: task_ids} if task_ids else {}


def _imports(parameters: Parameters, known: Known) -> dict[str, Facts]:
    """Return what is known of the imported tables that the run uses, by name."""
    return {name: known["imported"][name] for name in parameters.targets.imported}


def _subsets(known: Known) -> dict[str, list[int]]:
    """Return the subsets by name: their sorted classes. Without those whose specialist this run has dropped."""
    dropped = known.get("dropped", {}).get("tasks", ())
    return {name: classes for name, classes in _found(known).items() if f"specialist[{name}]" not in dropped}


def _found(known: Known) -> dict[str, list[int]]:
    """Return all subsets by name."""
    return {subset_name(subset["classes"]): subset["classes"] for subset in known["subsets"]["subsets"]}


def subset_name(classes: Sequence[int]) -> str:
    """Return the name of a subset: its class ids where that stays readable, their digest where there are many."""
    name = "-".join(map(str, classes))
    return name if len(name) <= 40 else f"{len(classes)}-classes-{sha256(canonical(list(classes)))[:12]}"


def _given(
    name: str, network: Mapping[str, Any], parameters: Parameters, section: str, others: Mapping[str, object]
) -> Task:
    """Return the loading of a network that is there."""
    what: dict[str, object] = {f"{section}.content": network["content"]}
    if network["description"] is not None:
        what[f"{section}.description"] = network["description"]
    elif not network["weights"].startswith("python:"):
        what["generalist.model"] = _bare(parameters.generalist.model)
    return Task(
        "given",
        name,
        inputs={"dataset": "data[train]"},
        parameters={**what, **others},
        settings={"weights": network["weights"]},
    )


def _taken(stage: str, identity: str, name: str, *, title: str = "") -> Task:
    """Return what stands in the place of a training."""
    return Task(stage, identity, inputs={"given": f"given[{name}]"}, function="stages.given:use", title=title)


def _given_subsets(parameters: Parameters, class_names: Sequence[str]) -> dict[str, GivenSpecialist]:
    """Return the specialists that are there by name."""
    given = parameters.specialists.given
    return {subset_name(manual.class_ids(one.subset, class_names)): one for one in given}


def _bare(model: ModelParameters) -> ModelParameters:
    """Return a network's parameters without the path of its weights: a recipe has their digest."""
    return model.model_copy(update={"weights": None})


def _model_content(known: Known, section: str) -> dict[str, str]:
    """Return the digest of the files that a network is made of, where there are any."""
    files = known["models"].get(section)
    return {f"{section}.model.content": files["content"]} if files else {}


def _model_file(known: Known, section: str) -> dict[str, str]:
    """Return where the weights are that a network starts from, where it does."""
    files = known["models"].get(section)
    return {"weights": files["weights"]} if files and files["weights"] else {}


def _memory(parameters: Parameters) -> dict[str, float]:
    """Return what a training may take on its device: it decides no result."""
    return {"memory_budget": parameters.data.memory_budget}

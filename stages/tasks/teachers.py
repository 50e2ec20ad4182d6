"""The tasks of the teachers: those that are there, those that are trained, and what is measured of them."""

from collections.abc import Mapping, Sequence

from pipeline.errors import Location, MisfitError
from pipeline.stage import Task
from stages import given_files, manual
from stages.given_data import Teacher
from stages.given_files import Given
from stages.learning import model_files
from stages.learning.model_names import library_of
from stages.parameters import GivenSpecialist, Parameters, TrainingParameters, check_classes, default_count
from stages.tasks.shared import (
    Known,
    fitting_classes,
    memory,
    model_content,
    model_file,
    subset_name,
    subsets_of,
    where_any,
    without_path,
)


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
        tasks.append(_given("generalist", there[given_files.GENERALIST], parameters, known, "generalist.from", start))
    places = given_files.places(parameters)
    for place, (name, specialist) in zip(places, _given_subsets(parameters, class_names).items(), strict=True):
        correction = {"specialists.from.prior_correction": specialist.prior_correction}
        others = {"subset": manual.class_ids(specialist.subset, class_names), **correction}
        tasks.append(_given(name, there[place], parameters, known, "specialists.from", others))
    return tasks


def fold(parameters: Parameters, known: Known) -> list[Task]:
    """List one training of a generalist for each fold that it leaves out, where there are folds."""
    n_folds = parameters.data.folds or 0
    return [
        _over_all_classes("fold", parameters, known, identity=str(number), others={"fold": number})
        for number in range(n_folds)
    ]


def generalist(parameters: Parameters, known: Known) -> list[Task]:
    """List the one training of the generalist, or the taking of one that is there."""
    if parameters.generalist.given is not None:
        return [_taken("generalist", "", "generalist")]
    return [_over_all_classes("generalist", parameters, known)]


def confusion(parameters: Parameters, known: Known) -> list[Task]:
    """List the one measurement of what the generalist confuses on the holdout, or those of the folds out of theirs."""
    folds = [task.id for task in fold(parameters, known)]
    if folds:
        inputs = {"dataset": "data[train]", "folds": folds}
        return [Task("confusion", inputs=inputs, function="stages.confusion:gather")]
    return [Task("confusion", inputs={"dataset": "data[train]", "generalist": "generalist"})]


def subsets(parameters: Parameters, known: Known) -> list[Task]:
    """List the one division of the classes. Of listed subsets it holds the class ids, whatever they were listed by.

    Raises:
        MisfitError: The parameters do not fit the classes of the data set, such as a listed class that it does not
            have; lists all faults.
    """
    wanted, class_names = parameters.specialists, fitting_classes(parameters, known)
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
            settings=memory(parameters),
            threads=wanted.threads,
            title=title,
            packages=_library(known["models"].get("given", {}).get(given_files.GENERALIST), parameters),
        )

    return [task(name, classes) for name, classes in subsets_of(known).items()]


def calibration(parameters: Parameters, known: Known) -> list[Task]:
    """List the calibration of every teacher, where it is asked for: one more teacher is one more task."""
    teachers = {"generalist": "generalist"} | {name: f"specialist[{name}]" for name in subsets_of(known)}
    return [
        Task("calibration", name, inputs={"dataset": "data[train]", "teacher": teacher})
        for name, teacher in teachers.items()
        if parameters.combine.calibrate
    ]


def calibrations(parameters: Parameters, known: Known) -> dict[str, list[str]]:
    """Return the input that calibrates the teachers, the generalist first; none where that is not asked for."""
    return where_any("calibrations", [task.id for task in calibration(parameters, known)])


def _over_all_classes(
    stage: str, parameters: Parameters, known: Known, *, identity: str = "", others: Mapping[str, object] | None = None
) -> Task:
    """Return a training of the generalist's network."""
    wanted = parameters.generalist
    return Task(
        stage,
        identity,
        inputs={"dataset": "data[train]"},
        parameters={
            "generalist": wanted.model_copy(update={"model": without_path(wanted.model)}),
            "data.augment": parameters.data.augment,
            **(others or {}),
        }
        | model_content(known, "generalist"),
        settings=memory(parameters) | model_file(known, "generalist"),
        threads=wanted.threads,
        packages=library_of(wanted.model.name),
        # 1: judged by the shares of the data, as it is returned; 2: of what is shown again, another view.
        revision=2 if wanted.sampling == "balanced" else 0,
    )


def _library(network: Given | None, parameters: Parameters) -> tuple[str, ...]:
    """Return the library that makes a network that is there already, or else that of the generalist."""
    if network is None or (network["description"] is None and not network["weights"].startswith("python:")):
        return library_of(parameters.generalist.model.name)
    return () if network["description"] is None else library_of(network["description"]["model"]["name"])


def _given(
    name: str, network: Given, parameters: Parameters, known: Known, section: str, others: Mapping[str, object]
) -> Task:
    """Return the loading of a network that is there."""
    is_function = network["weights"].startswith("python:")  # its name is no path: a module may have several
    what: dict[str, object] = {f"{section}.content": network["content"]}
    if network["description"] is not None:
        what[f"{section}.description"] = network["description"]
    elif not is_function:
        what["generalist.model"] = without_path(parameters.generalist.model)
        module = model_files.module_of(parameters.generalist.model.name)
        what |= {"generalist.model.code": known["models"]["modules"][module]} if module else {}
    return Task(
        "given",
        name,
        inputs={"dataset": "data[train]"},
        parameters={**what, **others} | ({f"{section}.weights": network["weights"]} if is_function else {}),
        settings={} if is_function else {"weights": network["weights"]},
        packages=_library(network, parameters),
    )


def _taken(stage: str, identity: str, name: str, *, title: str = "") -> Task:
    """Return what stands in the place of a training."""
    return Task(stage, identity, inputs={"given": f"given[{name}]"}, function="stages.given:use", title=title)


def given_teachers(parameters: Parameters, class_names: Sequence[str]) -> dict[Location, Teacher]:
    """Return the teachers that are there, by where the config names them."""
    found = {
        place: Teacher(name, [class_names[c] for c in manual.class_ids(one.subset, class_names)], bool(one.trained_on))
        for place, (name, one) in zip(
            given_files.places(parameters), _given_subsets(parameters, class_names).items(), strict=True
        )
    }
    generalist = Teacher("generalist", is_attested=bool(parameters.generalist.trained_on))
    return ({given_files.GENERALIST: generalist} if parameters.generalist.given is not None else {}) | found


def _given_subsets(parameters: Parameters, class_names: Sequence[str]) -> dict[str, GivenSpecialist]:
    """Return the specialists that are there by name."""
    given = parameters.specialists.given
    return {subset_name(manual.class_ids(one.subset, class_names)): one for one in given}

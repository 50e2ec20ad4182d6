"""The tasks of the students, and of what is said of them."""

from pipeline.stage import Task
from stages import candidates
from stages.candidates import Candidate
from stages.learning.model_names import library_of
from stages.parameters import Parameters, StudentParameters
from stages.tasks.shared import (
    Known,
    combined_name,
    found_subsets,
    memory,
    model_content,
    model_file,
    subsets_of,
    view_shards,
    where_any,
    without_path,
)
from stages.tasks.teachers import calibrations, fold, given_teachers


def student(parameters: Parameters, known: Known) -> list[Task]:
    """List the distilled students and their controls: same seeds, model, views and steps, other targets."""
    shards = list(view_shards(parameters, known))
    views = [f"views[{view}]" for view in range(parameters.data.n_views)]
    is_calibrated = parameters.combine.calibrate

    def targets_of(wanted: Candidate) -> list[str]:
        if wanted.variant == "distilled":
            active = candidates.combination_of(parameters, wanted.settings).active_classes
            return [f"combined[{combined_name(parameters, active, shard)}]" for shard in shards]
        return [f"targets[generalist/{shard}]" for shard in shards] if wanted.variant == "generalist" else []

    def trained(wanted: Candidate) -> StudentParameters:
        student = candidates.student_of(parameters, wanted)
        return student.model_copy(update={"model": without_path(student.model)})

    return [
        Task(
            "student",
            wanted.name,
            inputs={"dataset": "data[train]", "views": views, "targets": targets_of(wanted)}
            # The combined table is of calibrated teachers; its control is to differ in nothing but the specialists.
            | ({"calibration": "calibration[generalist]"} if wanted.variant == "generalist" and is_calibrated else {}),
            parameters={"student": trained(wanted)} | model_content(known, "student"),
            settings=memory(parameters) | model_file(known, "student"),
            seed_identity=str(wanted.seed),
            threads=parameters.student.threads,
            workers=parameters.student.workers,
            packages=library_of(parameters.student.model.name),
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
                "specialists": [f"specialist[{name}]" for name in subsets_of(known)],
                "students": [*(student.task for student in students), *candidates.refitted(parameters)],
            }
            | calibrations(parameters, known),
            parameters={
                "variants": candidates.evaluated(parameters),
                "seeds": parameters.seeds,
                "combine": candidates.combination_of(parameters, students[0].settings),
            },
            settings=memory(parameters),
        )
    ]


def report(parameters: Parameters, known: Known) -> list[Task]:
    """List the one report, written anew by every run, since it says what that run reused."""
    subsets = list(subsets_of(known))
    students = candidates.chosen(parameters, known)
    shards = list(view_shards(parameters, known))
    tables = [f"targets[{name}/{shard}]" for name in ("generalist", *subsets) for shard in shards]
    active = candidates.combination_of(parameters, students[0].settings).active_classes
    folds = [task.id for task in fold(parameters, known)]
    return [
        Task(
            "report",
            inputs={
                "dataset": "data[train]",
                "test": "data[test]",
                "generalist": "generalist",
                "subsets": "subsets",
                "specialists": [f"specialist[{name}]" for name in subsets],
                "targets": [*tables, *(f"combined[{combined_name(parameters, active, shard)}]" for shard in shards)],
                "students": [
                    *(student.task for student in students if student.seed == parameters.seeds[0]),
                    *candidates.refitted(parameters)[:1],
                ],
                "evaluation": "evaluate",
            }
            | ({"sweep": "sweep"} if parameters.sweep else {})
            | ({"confusion": "confusion", **where_any("folds", folds)} if folds else {})
            | where_any("imports", [f"import[{name}]" for name in parameters.targets.imported]),
            settings={
                "dropped": list(found_subsets(known).keys() - subsets_of(known).keys()),
                "modules": known["models"].get("modules", {}),
                "given": list(given_teachers(parameters, known["data[train]"]["class_names"]).values()),
            },
        )
    ]

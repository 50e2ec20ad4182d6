"""The tasks of the refit."""

import pytest

from pipeline.recipe import task_seed
from stages import STAGES, candidates
from stages.learning.history import best_epoch
from tests.stages.tasks.listing import KNOWN, STAGE, all_tasks, listed, recipes, with_changes

REFIT = [stage.name for stage in STAGES if stage.name.startswith("refit-")]


def history(*accuracies):
    return {"history": [{"epoch": i, "accuracy": a, "nll": 1.0} for i, a in enumerate(accuracies, start=1)]}


def of_refit(known=KNOWN, **changes):
    tasks = [listed(stage, known, refit=True, **changes) for stage in REFIT]
    return {task_id: task for found in tasks for task_id, task in found.items()}


def test_nothing_is_trained_again_unless_asked_for():
    assert [listed(stage) for stage in REFIT] == [{}] * 7
    for stage in ("data", "views", "generalist", "specialist", "targets", "combined", "student"):
        assert recipes(stage) == recipes(stage, refit=True)
    for stage in ("evaluate", "report"):
        assert "refit" not in str(recipes(stage))
        assert "refit" in str(recipes(stage, refit=True))


def test_every_stage_of_the_refit_is_of_the_version_of_its_like():
    for name in REFIT:
        like = STAGE[name.removeprefix("refit-")]
        assert (STAGE[name].function, STAGE[name].version, STAGE[name].gpu) == (like.function, like.version, like.gpu)
        assert STAGE[name].like == like.name


def test_what_a_student_needs_is_made_again_of_all_examples_for_it_alone():
    tasks = of_refit(data__views=1)
    assert list(tasks) == [
        "refit-data[train]",
        "refit-views[0]",
        "refit-generalist",
        "refit-specialist[0-1]",
        "refit-specialist[2-3]",
        "refit-targets[generalist/0.0]",
        "refit-targets[0-1/0.0]",
        "refit-targets[2-3/0.0]",
        "refit-combined[0.0]",
        "refit-student[distilled]",
    ]
    assert tasks["refit-data[train]"].parameters["data.holdout"] == 0.0
    assert tasks["refit-targets[0-1/0.0]"].parameters["rows"] == (0, 300)
    for task in tasks.values():
        assert all(name in tasks for name in task.input_ids)


@pytest.mark.parametrize("seeds", [[0], [3, 4]])
def test_every_task_of_the_refit_draws_what_its_like_drew(seeds):
    likes = {task.id: task for task in all_tasks(seeds=seeds)}
    for task_id, task in of_refit(seeds=seeds).items():
        assert task_seed(task, 7) == task_seed(likes[task_id.removeprefix("refit-")], 7)


def test_refit_is_evaluated_and_reported_last_and_decides_nothing():
    seen = set()
    for task in all_tasks(refit=True, seeds=[3, 4]):
        assert task.stage.startswith("refit-") or task.stage in {"evaluate", "report"} or "refit" not in str(task)
        assert set(task.input_ids) <= seen
        seen.add(task.id)
    evaluated = listed("evaluate", refit=True, seeds=[3, 4])["evaluate"]
    assert evaluated.parameters["variants"] == ("distilled", "hard", "generalist", "refit")
    assert evaluated.inputs["students"][-2:] == ["refit-student[distilled/3]", "refit-student[distilled/4]"]
    reported = listed("report", refit=True, seeds=[3, 4])["report"]
    assert reported.inputs["students"][-1] == "refit-student[distilled/3]"


def test_refit_takes_what_the_sweep_chose():
    chosen = {"distilled": {"temperature": 2.0, "active_classes": 3}, "generalist": {"temperature": 4.0}, "hard": {}}
    known = KNOWN | {"sweep": {"chosen": chosen}}
    tasks = of_refit(known, sweep={"temperature": [2.0, 4.0], "active_classes": [1, 3]}, data__views=1)
    assert tasks["refit-student[distilled]"].parameters["student"].temperature == 2.0
    assert tasks["refit-targets[0-1/0.0]"].parameters["combine.active_classes"] == 3
    assert tasks["refit-student[distilled]"].inputs["targets"] == ["refit-combined[0.0]"]


def test_refit_takes_as_many_epochs_as_were_best_of_each_training():
    best = {"keep": "best", "epochs": 3}
    known = KNOWN | {
        "generalist": history(0.5, 0.9, 0.7),
        "specialist[0-1]": history(0.9, 0.5, 0.5),
        "specialist[2-3]": history(0.1, 0.2, 0.3),
        "student[distilled/3]": history(0.5, 0.6, 0.1),
        "student[distilled/4]": history(0.9, 0.6, 0.1),
    }
    tasks = of_refit(known, generalist=best, specialists=best, student=best, seeds=[3, 4])
    trained = {
        name: next(value for path, value in task.parameters.items() if path in {"generalist", "specialists", "student"})
        for name, task in tasks.items()
        if task.stage in {"refit-generalist", "refit-specialist", "refit-student"}
    }
    assert {name: (training.epochs, training.keep) for name, training in trained.items()} == {
        "refit-generalist": (2, "last"),
        "refit-specialist[0-1]": (1, "last"),
        "refit-specialist[2-3]": (3, "last"),
        "refit-student[distilled/3]": (2, "last"),
        "refit-student[distilled/4]": (1, "last"),
    }


def test_refit_of_trainings_that_keep_the_last_epoch_is_as_long_as_they_are():
    tasks = of_refit(KNOWN | {"generalist": history(0.9, 0.1)}, generalist={"epochs": 2})
    assert tasks["refit-generalist"].parameters["generalist"].epochs == 2


def test_refit_keeps_the_temperatures_that_were_fitted_on_the_holdout():
    tasks = of_refit(combine={"calibrate": True}, data__views=1)
    calibrations = ["calibration[generalist]", "calibration[0-1]", "calibration[2-3]"]
    assert tasks["refit-combined[0.0]"].inputs["calibrations"] == calibrations
    assert not any(task_id.startswith("refit-calibration") for task_id in tasks)


def test_refit_takes_teachers_that_are_trained_already_as_they_are():
    tasks = of_refit(generalist={"from": "teacher.pth"}, data__views=1)
    assert tasks["refit-generalist"].inputs == {"given": "given[generalist]"}
    assert tasks["refit-generalist"].function == "stages.given:use"


@pytest.mark.parametrize("seeds", [[0], [3, 4]])
def test_refitted_students_are_named_alike_wherever_they_are_listed(seeds):
    found = listed("refit-student", refit=True, seeds=seeds)
    assert list(found) == candidates.refitted(with_changes(refit=True, seeds=seeds))


def test_best_epoch_is_the_most_accurate_and_of_equal_ones_the_likeliest_and_first():
    epochs = [{"accuracy": a, "nll": n} for a, n in ((0.5, 0.1), (0.9, 0.3), (0.9, 0.2), (0.9, 0.2))]
    assert best_epoch(epochs) == 3

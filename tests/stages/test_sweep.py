"""Which students a sweep tries, and how it chooses."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline.stage import Artifact, Work
from specialists.active import active_set
from stages import candidates, combined, soft_targets, sweep, targets, tasks
from stages.parameters import Parameters, check_classes

KNOWN = {
    "models": {},
    "data[train]": {"transfer": 240, "class_names": list("abcdeg"), "image_shape": [8, 8, 1]},
    "subsets": {"subsets": [{"classes": [0, 1]}, {"classes": [2, 3]}]},
}


def wanted(**changes):
    return Parameters.model_validate({"data": {"source": "npz:tiny.npz", "views": 1}, **changes})


def student(accuracy, nll):
    return Artifact(facts={"holdout": {"accuracy": accuracy, "nll": nll}})


def choose(points, measure="accuracy"):
    """Return the stage's facts for students given by variant, temperature, accuracy and NLL."""
    return sweep.choose(
        students=[student(accuracy, nll) for *_, accuracy, nll in points],
        candidates=[(variant, {"temperature": temperature}) for variant, temperature, *_ in points],
        measure=measure,
        work=Work(),
    ).facts


def test_every_variant_tries_the_settings_that_mean_something_to_it():
    parameters = wanted(sweep={"temperature": [2.0, 4.0], "learning_rate": [0.1], "active_classes": [1, 2]})
    tried = {}
    for candidate in candidates.candidates(parameters):
        tried.setdefault(candidate.variant, []).append(candidate.settings)
    assert {variant: len(settings) for variant, settings in tried.items()} == {
        "distilled": 4,
        "generalist": 2,
        "hard": 1,
    }
    assert tried["hard"] == [{"learning_rate": 0.1}]


def test_seeds_share_everything_but_their_draws():
    found = tasks.student(wanted(seeds=[0, 5], controls=["hard"]), KNOWN)
    assert [task.id for task in found] == [
        "student[distilled/0]", "student[distilled/5]", "student[hard/0]", "student[hard/5]",
    ]  # fmt: skip
    assert [task.seed_identity for task in found] == ["0", "5", "0", "5"]
    assert found[0].inputs == found[1].inputs


def test_swept_student_is_the_student_of_its_settings():
    """A setting that was tried is reused as soon as the config says it."""
    (swept,) = tasks.student(wanted(sweep={"temperature": [2.0], "alpha": [0.5]}, controls=[]), KNOWN)
    (plain,) = tasks.student(wanted(student={"temperature": 2.0, "alpha": 0.5}, controls=[]), KNOWN)
    assert swept.id == "student[distilled/temperature=2,alpha=0.5]"
    assert (swept.parameters, swept.inputs, swept.seed_identity) == (
        plain.parameters,
        plain.inputs,
        plain.seed_identity,
    )


def test_values_that_differ_late_are_trainings_of_their_own():
    found = tasks.student(wanted(sweep={"temperature": [2.0, 2.00000001, 2.5e-2], "alpha": [1]}, controls=[]), KNOWN)
    assert [task.id for task in found] == [
        "student[distilled/temperature=2,alpha=1]",
        "student[distilled/temperature=2.00000001,alpha=1]",
        "student[distilled/temperature=0.025,alpha=1]",
    ]


def test_specialists_are_asked_once_for_all_numbers_of_active_classes():
    parameters = wanted(sweep={"active_classes": [1, 3]}, combine={"active_classes": 1}, controls=[])
    asked = {
        task.arguments["active_classes"] for task in tasks.targets(parameters, KNOWN) if "generalist" in task.inputs
    }
    assert asked == {3}
    found = {task.id: task.arguments.get("active_classes") for task in tasks.combined(parameters, KNOWN)}
    assert found == {"combined[0.0]": 1, "combined[active=3/0.0]": None}
    read = [task.inputs["targets"] for task in tasks.student(parameters, KNOWN)]
    assert read == [["combined[0.0]"], ["combined[active=3/0.0]"]]


def test_evaluation_is_of_what_was_chosen():
    parameters = wanted(sweep={"temperature": [2.0, 4.0], "active_classes": [1, 3]}, seeds=[0, 1], controls=["hard"])
    chosen = {"distilled": {"temperature": 4.0, "active_classes": 3}, "hard": {}}
    (task,) = tasks.evaluate(parameters, KNOWN | {"sweep": {"chosen": chosen}})
    assert task.inputs["students"] == [
        "student[distilled/temperature=4,active_classes=3/0]",
        "student[distilled/temperature=4,active_classes=3/1]",
        "student[hard/0]",
        "student[hard/1]",
    ]
    assert task.arguments["combine"].active_classes == 3


def test_no_sweep_is_no_task():
    assert tasks.sweep(wanted(), KNOWN) == []


@pytest.mark.parametrize(("measure", "best"), [("accuracy", 2.0), ("nll", 4.0)])
def test_choice_is_the_best_on_the_holdout_over_seeds(measure, best):
    points = [("distilled", 1.0, 0.5, 0.9)] * 2
    points += [("distilled", 2.0, 0.9, 0.8), ("distilled", 2.0, 0.7, 0.6)]
    points += [("distilled", 4.0, 0.75, 0.5), ("distilled", 4.0, 0.75, 0.5)]
    found = choose(points, measure)
    assert found["chosen"] == {"distilled": {"temperature": best}}
    assert found["grid"]["distilled"][1]["accuracy"] == pytest.approx(0.8)
    assert [seed["nll"] for seed in found["grid"]["distilled"][1]["seeds"]] == [0.8, 0.6]


def test_equal_accuracies_are_told_apart_by_nll():
    found = choose([("hard", 1.0, 0.8, 0.7), ("hard", 2.0, 0.8, 0.6), ("hard", 3.0, 0.8, 0.6)])
    assert found["chosen"] == {"hard": {"temperature": 2.0}}


def test_sweep_of_nothing_is_refused():
    with pytest.raises(ValidationError, match=r"must list values of one of temperature, alpha"):
        wanted(sweep={"measure": "nll"})


def test_repeated_values_are_refused():
    with pytest.raises(ValidationError, match=r"must name each entry once; got 2\.0"):
        wanted(sweep={"temperature": [2.0, 2.0]})


def test_swept_values_are_checked_against_the_classes():
    parameters = wanted(
        sweep={"active_classes": [1, 9], "temperature": [0.5, 2.0]},
        targets={"bytes_per_row": 44},
        specialists={"count": 2},
    )
    faults = dict(check_classes(parameters, 20))
    assert "must be at least 1 where" in faults["sweep", "temperature", 0]
    assert ("sweep", "active_classes", 1) not in faults
    assert "at most 5" in dict(check_classes(parameters, 5))["sweep", "active_classes", 1]


def test_combination_of_fewer_active_classes_is_as_if_scored_for_them(
    dataset, two_views, generalist_tables, specialist_nets, specialist_tables
):
    """Equal tables give equal bits: the rows left out are as if they had never been asked about."""

    def scored(net, active_classes):
        return targets.score(
            dataset=dataset,
            view=two_views[0],
            teacher=net,
            rows=(0, 240),
            generalist=generalist_tables[0],
            active_classes=active_classes,
            work=Work(),
        )

    def narrowed(table):
        keep = np.isin(table.arrays["rows"], fewer[table.facts["teacher"]].arrays["rows"])
        return Artifact({name: array[keep] for name, array in table.arrays.items()}, table.facts)

    wide = specialist_tables[0]
    fewer = {net.facts["name"]: scored(net, 1) for net in specialist_nets}
    found = combined.combine(
        generalist=generalist_tables[0], specialists=wide, divergence="forward", active_classes=1, work=Work()
    )
    expected = combined.combine(
        generalist=generalist_tables[0],
        specialists=[narrowed(table) for table in wide],
        divergence="forward",
        work=Work(),
    )
    assert all(np.array_equal(found.arrays[name], expected.arrays[name]) for name in expected.arrays)
    subsets = [torch.tensor(net.facts["subset"]) for net in specialist_nets]
    active = active_set(soft_targets.decode(generalist_tables[0]), subsets, 1)
    assert [len(table.arrays["rows"]) for table in fewer.values()] == active.sum(dim=0).tolist()

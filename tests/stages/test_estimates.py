"""What tasks are expected to take. What they do take is compared with it in tests/pipeline/cli/test_sizes.py."""

import pytest
import torch

from pipeline.graph import Graph
from pipeline.stage import Task
from pipeline.store import Store
from specialists.dustbin import enriched_epoch
from stages import STAGES, assumptions, estimates
from stages.parameters import Parameters

SOURCE = {"source": {"digest": "d" * 64}}


def parameters(**sections):
    return Parameters.model_validate({"data": {"source": "npz:x.npz"}} | sections)


def known(wanted, n_classes=10, n=100):
    data = assumptions.data(
        wanted.data.holdout,
        class_names=[str(c) for c in range(n_classes)],
        class_counts=[n] * n_classes,
        test=50,
        image_shape=[8, 8, 1],
    )
    return SOURCE | data | assumptions.subsets(wanted, n_classes)


SECTIONS = {"generalist": "generalist", "specialist": "specialists", "student": "student"}


def training(wanted, stage, identity="", **others):
    """Return a task that trains as the config says."""
    section = SECTIONS[stage.removeprefix("refit-")]
    return Task(stage, identity, parameters={section: getattr(wanted, section)} | others)


@pytest.mark.parametrize(
    ("transfer", "rows"), [({}, 850), ({"fraction": 0.1}, 85), ({"omit": [0]}, 765), ({"classes": [0, 1]}, 170)]
)
def test_students_and_tables_are_as_large_as_the_transfer_set_and_teachers_are_not(transfer, rows):
    data = {"source": "npz:x.npz", "transfer": transfer}
    wanted = parameters(data=data, generalist={"epochs": 7}, student={"epochs": 3})
    facts = known(wanted)
    assert estimates.effort(training(wanted, "generalist"), wanted, facts).units == 7 * 850
    assert estimates.effort(training(wanted, "student", "hard"), wanted, facts).units == 3 * rows
    assert estimates.effort(Task("views", "0"), wanted, facts).units == rows
    assert estimates.effort(Task("transfer"), wanted, facts).units == 1
    counted = facts | {"transfer": {"rows": 80}}
    assert estimates.effort(Task("views", "0"), wanted, counted).units == (80 if transfer else 850)


def test_units_of_a_training_are_the_examples_it_shows():
    wanted = parameters(generalist={"epochs": 7}, student={"epochs": 3}, specialists={"epochs": 5, "fraction": 0.5})
    facts = known(wanted)
    assert estimates.effort(training(wanted, "generalist"), wanted, facts).units == 7 * 850
    assert estimates.effort(training(wanted, "student", "hard"), wanted, facts).units == 3 * 850
    task = training(wanted, "specialist", "0-1", subset=[0, 1])
    assert estimates.effort(task, wanted, facts).units == 5 * 340


@pytest.mark.parametrize(
    ("n_inside", "fraction", "shown"), [(2, 0.5, 400), (7, 0.5, 1400), (3, 0.1, 3000), (9, 0.9, 1000)]
)
def test_a_specialist_is_shown_what_its_epochs_are_and_so_are_others_again_where_they_are_few(
    n_inside, fraction, shown
):
    data = {"source": "npz:x.npz", "folds": 4}
    wanted = parameters(data=data, specialists={"epochs": 5, "fraction": fraction})
    subset, labels = range(n_inside), torch.arange(10).repeat(100)
    task = training(wanted, "specialist", subset=subset)
    assert estimates.effort(task, wanted, known(wanted)).units == 5 * shown
    assert len(enriched_epoch(labels, torch.tensor(subset), fraction, torch.Generator())) == shown


@pytest.mark.parametrize(
    ("section", "is_like"),
    [
        ({"epochs": 9}, True),
        ({"learning_rate": 0.5}, True),
        ({"batch_size": 32}, False),
        ({"threads": 2}, False),
        ({"precision": "bf16"}, False),
        ({"model": {"name": "mlp"}}, False),
    ],
)
def test_trainings_are_alike_where_an_example_costs_the_same(section, is_like):
    before, after = parameters(), parameters(generalist=section)
    kinds = {estimates.effort(training(wanted, "generalist"), wanted, known(wanted)).kind for wanted in (before, after)}
    assert (len(kinds) == 1) == is_like


def test_workers_take_the_memory_of_a_process_each_and_another_time():
    one, two = (parameters(student={"workers": n}) for n in (1, 2))
    alone, both = (
        estimates.effort(training(wanted, "student", "hard"), wanted, known(wanted)) for wanted in (one, two)
    )
    assert both.memory == 2 * alone.memory
    assert (alone.units, alone.kind) != (both.units, both.kind)
    assert alone.kind == estimates.effort(training(parameters(), "student", "hard"), parameters(), known(one)).kind


def test_nothing_is_expected_of_a_stage_or_sizes_that_are_not_known():
    wanted = parameters()
    for task, facts in ((Task("another"), known(wanted)), (Task("generalist"), SOURCE)):
        effort = estimates.effort(task, wanted, facts)
        assert (effort.kind, effort.most_bytes, effort.memory) == ("", None, None)


def test_folds_are_as_many_generalists_on_all_folds_but_one_and_hold_nothing_out():
    wanted = parameters(data={"source": "npz:x.npz", "folds": 4}, generalist={"epochs": 7})
    facts = known(wanted)
    assert (facts["data[train]"]["transfer"], facts["data[train]"]["holdout"]) == (1000, 0)
    assert estimates.effort(training(wanted, "generalist"), wanted, facts).units == 7 * 1000
    fold = estimates.effort(Task("fold", "0"), wanted, facts)
    assert (fold.units, fold.kind) == (7 * 750, estimates.effort(training(wanted, "generalist"), wanted, facts).kind)
    assert fold.least_bytes == 250 * (4 * 10 + 8)
    gathered = Task("confusion", function="stages.confusion:gather")
    assert estimates.effort(gathered, wanted, facts).units == 1000


def test_a_refit_is_of_all_examples():
    wanted = parameters(refit=True, generalist={"epochs": 7}, student={"epochs": 3})
    facts = known(wanted)
    assert estimates.effort(training(wanted, "refit-generalist"), wanted, facts).units == 7 * 1000
    assert estimates.effort(training(wanted, "refit-student", "distilled"), wanted, facts).units == 3 * 1000
    assert estimates.effort(Task("refit-views", "0"), wanted, facts).units == 1000
    assert estimates.effort(training(wanted, "generalist"), wanted, facts).units == 7 * 850


@pytest.mark.parametrize("stage", ["refit-generalist", "refit-specialist", "refit-student"])
def test_a_refit_is_as_long_as_its_task_says_and_costs_what_its_like_does(stage):
    wanted = parameters(refit=True, **{name: {"epochs": 8, "keep": "best"} for name in SECTIONS.values()})
    facts = known(wanted)
    section = SECTIONS[stage.removeprefix("refit-")]
    shorter = getattr(wanted, section).model_copy(update={"epochs": 2, "keep": "last"})
    whole, quarter = (
        estimates.effort(Task(stage, "0-1", parameters={section: trained, "subset": [0, 1]}), wanted, facts)
        for trained in (getattr(wanted, section), shorter)
    )
    assert (quarter.kind, 4 * quarter.units) == (whole.kind, whole.units)


def test_every_kept_stage_is_measured(tmp_path):
    wanted = parameters(refit=True, combine={"calibrate": True}, student={"model": {"name": "torchvision:resnet18"}})
    graph = Graph(STAGES, wanted, seed=0, store=Store.open(str(tmp_path)), known={})
    facts = known(wanted) | {"source": {"kind": "npz", "digest": "d" * 64, "root": "/", "stamp": {}}, "models": {}}
    tasks = graph.imagine(facts)
    unmeasured = {task.stage for task in tasks.values() if not estimates.effort(task, wanted, facts).kind}
    assert unmeasured == {"report"}

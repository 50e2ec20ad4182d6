"""What is said of the parameters once the data set is known."""

from itertools import product

import numpy as np
import pytest

from specialists.errors import SpecialistsError
from specialists.subsets import confusable_subsets
from stages.parameters import (
    CombineParameters,
    DataParameters,
    Parameters,
    SpecialistsParameters,
    TransferParameters,
    check_classes,
    check_images,
    check_together,
)

DATA = DataParameters(source="sklearn:digits")


def specialists(**values):
    return Parameters(data=DATA, specialists=SpecialistsParameters(**values))


@pytest.mark.parametrize(
    ("transfer", "faults"),
    [
        ({}, []),
        ({"classes": [0, "c"], "fraction": 0.5}, []),
        ({"classes": [0, "d", 7, "a"]}, [("classes", 1), ("classes", 2), ("classes", 3)]),
        ({"omit": [1, 1]}, [("omit", 1)]),
        ({"omit": ["a", "b", "c"]}, [("omit",)]),
    ],
)
def test_check_classes_names_what_the_transfer_set_cannot_have(transfer, faults):
    wanted = Parameters(
        data=DataParameters(source="sklearn:digits", transfer=TransferParameters(**transfer)),
        specialists=SpecialistsParameters(count=1),
    )
    found = check_classes(wanted, 3, list("abc"))
    assert [place for place, _ in found] == [("data", "transfer", *place) for place in faults]


@pytest.mark.parametrize("values", [{"count": 5}, {"count": 5, "size": 9}, {"count": 1, "size": 2}])
def test_check_classes_takes_what_the_classes_allow(values):
    assert check_classes(specialists(**values), 10) == []


@pytest.mark.parametrize(
    ("values", "classes", "location", "message"),
    [
        (
            {"count": 6},
            11,
            ("specialists", "count"),
            (
                "must be at most 5, so that each has 2 of the 11 classes; got 6; "
                "list more with specialists.method manual"
            ),
        ),
        ({"size": 10}, 10, ("specialists", "size"), "must be less than 10, the number of classes; got 10"),
        (
            {"count": 1},
            2,
            ("data", "source"),
            "must have 3 classes or more, for a specialist needs 2 and must leave one out; got 2",
        ),
    ],
)
def test_check_classes_names_the_fault(values, classes, location, message):
    assert check_classes(specialists(**values), classes) == [(location, message)]


def test_check_classes_names_all_faults():
    parameters = Parameters(
        data=DATA, specialists=SpecialistsParameters(size=8, count=3), combine=CombineParameters(active_classes=9)
    )
    assert check_classes(parameters, 4) == [
        (
            ("specialists", "count"),
            ("must be at most 2, so that each has 2 of the 4 classes; got 3; list more with specialists.method manual"),
        ),
        (("specialists", "size"), "must be less than 4, the number of classes; got 8"),
        (("combine", "active_classes"), "must be at most 4, the number of classes; got 9"),
    ]


def test_check_classes_agrees_with_the_clustering():
    for classes, count, size in product(range(3, 8), range(1, 6), (None, 2, 3, 4, 5, 6, 7)):
        named = {location[1] for location, _ in check_classes(specialists(count=count, size=size), classes)}
        try:
            confusable_subsets(np.eye(classes), count, size=size, seed=0)
            refused = set()
        except SpecialistsError as error:
            refused = {line.split()[0] for line in str(error).splitlines()}
        assert named == refused


def test_check_classes_names_the_faults_of_listed_subsets():
    parameters = specialists(method="manual", subsets=[[3, 12], [1, "one"], [0, 1, 2, 3]])
    assert check_classes(parameters, 4) == [
        (("specialists", "subsets", 0, 1), "must be a class id within 0..3; got 12"),
        (("specialists", "subsets", 2), "must leave out one of the 4 classes or more; got 4 of them"),
    ]


@pytest.mark.parametrize(
    ("augment", "faults"),
    [
        ({"shift": 7, "cutout": 7, "rotate": 180}, []),
        ({"shift": 8}, ["shift"]),
        ({"shift": 9, "cutout": 1024}, ["shift", "cutout"]),
    ],
)
def test_check_images_names_what_could_leave_nothing_of_an_image(augment, faults):
    for section in ({"augment": augment}, {"transfer": {"augment": augment}}):
        parameters = Parameters.model_validate({"data": {"source": "npz:x", **section}})
        found = check_images(parameters, [8, 10, 3])
        within = ("data", "augment") if "augment" in section else ("data", "transfer", "augment")
        assert [place for place, _ in found] == [(*within, name) for name in faults]
        assert all("smaller side, 8, or nothing may be left of one; got" in message for _, message in found)


def with_all_that_needs_a_holdout(**data):
    best = {"keep": "best"}
    return Parameters.model_validate(
        {
            "data": {"source": "npz:x", **data},
            "generalist": best | {"from": "teacher.pth"},
            "specialists": best,
            "combine": {"calibrate": True},
            "student": best | {"match_frequencies": True},
            "sweep": {"alpha": [0.5, 0.9]},
        }
    )


def test_check_together_names_all_that_needs_a_holdout_where_there_are_folds():
    assert check_together(with_all_that_needs_a_holdout()) == []
    assert check_together(Parameters(data=DataParameters(source="npz:x", folds=3))) == []
    told = dict(check_together(with_all_that_needs_a_holdout(folds=3)))
    assert list(told) == [
        ("generalist", "keep"),
        ("specialists", "keep"),
        ("student", "keep"),
        ("generalist", "from"),
        ("combine", "calibrate"),
        ("student", "match_frequencies"),
        ("sweep",),
    ]
    assert told["student", "keep"] == (
        "must be last with data.folds, for nothing is held out to find the best epoch by; got best"
    )
    assert told["generalist", "from"] == (
        "must be left out with data.folds, whose generalists must be trained as this one is; got teacher.pth"
    )


def test_check_together_names_all_that_a_refit_cannot_be_had_with():
    data = {"source": "npz:x", "transfer": {"omit": [1]}}
    others = {"data": data, "targets": {"imported": ["clip"]}, "student": {"match_frequencies": True}}
    assert check_together(Parameters.model_validate(others)) == []
    assert check_together(Parameters(data=DataParameters(source="npz:x"), refit=True)) == []
    told = dict(check_together(Parameters.model_validate(others | {"refit": True})))
    assert told["targets", "imported"] == "must be left out with refit, whose views have more examples; got clip"
    rule = "must have augment alone with refit, whose student is trained on all examples; got omit"
    assert told["data", "transfer"] == rule
    assert list(told) == [("data", "transfer"), ("targets", "imported"), ("student", "match_frequencies")]
    folds = Parameters.model_validate({"data": {"source": "npz:x", "folds": 3}, "refit": True})
    rule = "must be false with data.folds, where all examples are trained on already; got true"
    assert check_together(folds) == [(("refit",), rule)]


@pytest.mark.parametrize(("name", "other"), [("omit", {}), ("classes", {"fraction": 0.5})])
def test_check_together_refuses_balanced_sampling_of_classes_that_cannot_be_shown(name, other):
    data = {"source": "npz:x", "transfer": {name: [1], **other}}
    balanced = {"sampling": "balanced"}
    assert check_together(Parameters.model_validate({"data": data})) == []
    assert check_together(Parameters.model_validate({"data": {"source": "npz:x"}, "student": balanced})) == []
    rule = f"must be data with data.transfer.{name}, for a class that is left out cannot be shown; got balanced"
    hint = "student.match_frequencies may be meant"
    found = check_together(Parameters.model_validate({"data": data, "student": balanced}))
    assert found == [(("student", "sampling"), f"{rule}; {hint}")]


def test_check_together_refuses_balanced_sampling_with_soft_targets_of_which_a_part_is_kept():
    targets = {"bytes_per_row": 100}
    config = {"data": {"source": "npz:x"}, "targets": targets}
    assert check_together(Parameters.model_validate(config)) == []
    ((place, told),) = check_together(Parameters.model_validate(config | {"student": {"sampling": "balanced"}}))
    assert place == ("student", "sampling")
    assert told.startswith("must be data with targets.bytes_per_row, for soft targets of which a part is kept")

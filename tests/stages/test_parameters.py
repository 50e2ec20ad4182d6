from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pipeline.config import dump, load
from pipeline.errors import ConfigError
from specialists.errors import SpecialistsError
from specialists.subsets import confusable_subsets
from stages.learning.source_names import VISION_SETS
from stages.parameters import (
    AUGMENTATIONS,
    AugmentParameters,
    CombineParameters,
    DataParameters,
    ModelParameters,
    Parameters,
    SmallModelParameters,
    SpecialistsParameters,
    StudentParameters,
    TeacherParameters,
    TrainingParameters,
    TransferParameters,
    check_classes,
    resolve_precision,
    resolved,
)

DATA = DataParameters(source="sklearn:digits")

SECTIONS = [
    AugmentParameters,
    CombineParameters,
    DataParameters,
    ModelParameters,
    Parameters,
    SmallModelParameters,
    SpecialistsParameters,
    StudentParameters,
    TeacherParameters,
    TrainingParameters,
    TransferParameters,
]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_described(section):
    assert [name for name, field in section.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_refuses_unknown_keys(section):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        section.model_validate({"nonsense": 1})


def test_parameters_have_defaults_for_all_but_the_source():
    parameters = Parameters.model_validate({"data": {"source": "sklearn:digits"}})
    assert parameters == Parameters(data=DATA)
    teacher, specialists, student = parameters.generalist, parameters.specialists, parameters.student
    assert (teacher.epochs, teacher.learning_rate, teacher.model.width) == (20, 0.1, 32)
    assert (specialists.epochs, specialists.learning_rate, specialists.size) == (10, 0.02, None)
    assert (student.epochs, student.model.width, student.alpha, student.temperature) == (60, 8, 0.9, 4.0)
    assert parameters.controls == ("hard", "generalist")


@pytest.mark.parametrize(
    ("given", "width"),
    [({}, 32), ({"name": "mlp"}, 32), ({"name": "resnet20"}, None), ({"name": "mlp", "hidden": [30, 30]}, None)],
)
def test_networks_have_a_width_where_they_have_a_use_for_it(given, width):
    model = ModelParameters(**given)
    assert model.width == width
    assert ModelParameters(**model.model_dump()) == model


def test_parameters_keep_a_students_width_small_when_only_its_model_is_named():
    parameters = Parameters.model_validate(
        {
            "data": {"source": "sklearn:digits"},
            "student": {"model": {"name": "mlp"}},
            "generalist": {"model": {}},
        }
    )
    assert (parameters.student.model.width, parameters.generalist.model.width) == (8, 32)


def test_parameters_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        DATA.views = 3


def test_specialists_have_all_fields_of_a_training():
    wanted = SpecialistsParameters(momentum=0.5)
    training = TrainingParameters(**{name: getattr(wanted, name) for name in TrainingParameters.model_fields})
    assert (training.epochs, training.momentum) == (10, 0.5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_may_be_named(name):
    named = DataParameters(source="sklearn:digits", augment=name).augment
    assert named == AugmentParameters(**AUGMENTATIONS[name])
    assert (named == AugmentParameters()) == (name == "none")


def test_an_unknown_name_of_an_augmentation_is_told():
    with pytest.raises(ValidationError, match=r"must be one of none, .*got 'color'; did you mean 'colour'\?"):
        DataParameters(source="sklearn:digits", augment="color")


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


def test_transfer_set_is_told_by_what_is_in_it_or_by_what_is_not():
    with pytest.raises(ValidationError, match=r"must be left out where data.transfer.classes is given; got"):
        TransferParameters(classes=[1], omit=[2])
    with pytest.raises(ValidationError, match="must list at least one class"):
        TransferParameters(classes=[])
    assert TransferParameters().is_everything
    assert not TransferParameters(fraction=0.5).is_everything


def test_labels_are_not_smoothed_where_soft_targets_take_their_place():
    with pytest.raises(ValidationError, match=r"must be none with specialists.label_smoothing.*; got soft_targets"):
        SpecialistsParameters(label_smoothing=0.1, regularize="soft_targets")
    assert SpecialistsParameters(label_smoothing=0.1).label_smoothing == 0.1


@pytest.mark.parametrize("source", ["sklearn:digits", "npz:a/b c.npz", r"npz:C:\x.npz", "python:my.data:load"])
def test_source_of_the_right_shape_is_taken(source):
    assert DataParameters(source=source).source == source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{source: 'skleran:digits'}",
            (
                "data.source: must start with one of sklearn, torchvision, folder, npz, python, then a colon; "
                "got 'skleran:digits'; did you mean 'sklearn'?"
            ),
        ),
        (
            "{source: digits}",
            "data.source: must start with one of sklearn, torchvision, folder, npz, python, then a colon; got 'digits'",
        ),
        (
            "{source: 'torchvision:EMNIST:letter'}",
            (
                f"data.source: must name one of {', '.join(VISION_SETS)} after 'torchvision:'; "
                "got 'EMNIST:letter'; did you mean 'EMNIST:letters'?"
            ),
        ),
        (
            "{source: 'npz:x', size: 32}",
            "data.size: must be left out but with a source of folder; got 32 with npz:x",
        ),
        (
            "{source: 'folder:x', download: true}",
            "data.download: must be left out but with a source of torchvision; got True with folder:x",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: resnet20, width: 4}}",
            "student.model.width: must be left out but with a model of cnn or mlp; got 4 with resnet20",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: cnn, dropout: 0.5}}",
            "student.model.dropout: must be left out but with a model of mlp; got 0.5 with cnn",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: mlp, width: 4, hidden: [4]}}",
            "student.model.hidden: must be left out where width is given; got both",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: mlp, hidden: []}}",
            "student.model.hidden: must list at least one layer; got []",
        ),
        ("{source: 'npz:'}", "data.source: must name something after 'npz:'; got 'npz:'"),
        (
            "{source: 'python:my.data'}",
            "data.source: must be python:MODULE:FACTORY, such as python:my.data:load; got 'python:my.data'",
        ),
        (
            "{source: 'python:my..data:f'}",
            ("data.source: must be python:MODULE:FACTORY, such as python:my.data:load; got 'python:my..data:f'"),
        ),
        ("{source: 'npz:x', holdout: 0.6}", "data.holdout: must be at most 0.5; got 0.6"),
        ("{source: 'npz:x', augment: {shift: 128}}", "data.augment.shift: must be at most 127; got 128"),
        (
            "{source: 'npz:x'}\ncontrols: [hard, hard]",
            "controls: must name each entry once; got 'hard' more than once",
        ),
        (
            "{source: 'npz:x'}\ncontrols: [hrad]",
            "controls[0]: must be 'hard' or 'generalist'; got 'hrad'; did you mean 'hard'?",
        ),
        (
            "{source: 'npz:x'}\ncontrols: hard",
            "controls: must be a list, such as [a, b]; got 'hard'; did you mean [hard]?",
        ),
        ("{source: 'npz:x'}\nspecialists: {size: 1}", "specialists.size: must be at least 2; got 1"),
        ("{source: 'npz:x'}\nspecialists: {fraction: 1}", "specialists.fraction: must be less than 1; got 1"),
        ("{source: 'npz:x'}\nstudent: {batch_size: 1}", "student.batch_size: must be at least 2; got 1"),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual}",
            "specialists.subsets: must be given with method manual, and with no other; got nothing",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {subsets: [[1, 2]]}",
            (
                "specialists.subsets: must be given with method manual, and with no other; "
                "got a list with method confusion; did you mean method: manual?"
            ),
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, true]]}",
            "specialists.subsets[0][1]: must be a class id, an integer, or a class name, text; got True",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, 2], [3]]}",
            "specialists.subsets[1]: must list at least two classes; got [3]",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: []}",
            "specialists.subsets: must list at least one subset; got []",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, 2]], count: 3}",
            (
                "specialists.subsets: must be as many as specialists.count says, 3; got 1; "
                "set specialists.count to 1 or leave it out"
            ),
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, 2], [3, 4, 5]], size: 2}",
            (
                "specialists.subsets: must be of specialists.size classes each, 2; got one of 3; "
                "set specialists.size to null or leave it out"
            ),
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manul}",
            (
                "specialists.method: must be 'confusion', 'covariance', 'random' or 'manual'; got 'manul'; "
                "did you mean 'manual'?"
            ),
        ),
        (
            "{source: 'npz:x'}\ncombine: {divergence: reversed}",
            "combine.divergence: must be 'forward' or 'reverse'; got 'reversed'; did you mean 'reverse'?",
        ),
    ],
)
def test_parameters_name_the_fault(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {text}")
    with pytest.raises(ConfigError) as caught:
        load(path, Parameters)
    assert str(caught.value).split(": ", 1)[1] == message


def test_controls_may_be_none():
    parameters = Parameters.model_validate({"data": {"source": "sklearn:digits"}, "controls": []})
    assert parameters.controls == ()


def specialists(**values):
    return Parameters(data=DATA, specialists=SpecialistsParameters(**values))


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


def test_listed_subsets_say_how_many_they_are():
    wanted = SpecialistsParameters(method="manual", subsets=[[3, 5, 8], [4, "nine"]])
    assert (wanted.count, wanted.size, wanted.subsets) == (2, None, ((3, 5, 8), (4, "nine")))
    assert SpecialistsParameters(method="manual", subsets=[[1, 2]], count=1, size=2).count == 1


def test_check_classes_names_the_faults_of_listed_subsets():
    parameters = specialists(method="manual", subsets=[[3, 12], [1, "one"], [0, 1, 2, 3]])
    assert check_classes(parameters, 4) == [
        (("specialists", "subsets", 0, 1), "must be a class id within 0..3; got 12"),
        (("specialists", "subsets", 2), "must leave out one of the 4 classes or more; got 4 of them"),
    ]


@pytest.mark.parametrize(
    ("flags", "devices", "precision"),
    [
        ("fpu avx512_bf16 amx_bf16 amx_tile", 0, "bf16"),
        ("fpu avx512_bf16 amx_tile", 0, "fp32"),
        ("fpu", 1, "bf16"),
        (None, None, "fp32"),
    ],
)
def test_resolve_precision_looks_at_the_hardware(tmp_path, flags, devices, precision):
    cpuinfo, gpus = tmp_path / "cpuinfo", tmp_path / "gpus"
    if flags is not None:
        cpuinfo.write_text(f"model name\t: \u20ac\nflags\t\t: {flags}\n", encoding="utf-8")
        gpus.mkdir()
        for device in range(devices):
            (gpus / str(device)).mkdir()
    assert resolve_precision("auto", str(cpuinfo), str(gpus)) == precision


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resolve_precision_leaves_a_choice_alone(tmp_path, precision):
    assert resolve_precision(precision, str(tmp_path / "none"), str(tmp_path / "none")) == precision


def test_resolved_replaces_auto_alone():
    parameters = Parameters(
        data=DATA,
        generalist=TeacherParameters(precision="auto"),
        specialists=SpecialistsParameters(precision="fp32"),
        student=StudentParameters(precision="auto", epochs=3),
    )
    there = resolved(parameters, "bf16")
    assert (there.generalist.precision, there.specialists.precision) == ("bf16", "fp32")
    assert there.student == StudentParameters(precision="bf16", epochs=3)
    assert resolved(parameters).student.precision == resolve_precision("auto")
    assert resolved(there) == there


def valid(section: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    """Draw some values of each number that has a range, and defaults for the rest."""
    ranges = {
        "epochs": st.integers(1, 10**6),
        "learning_rate": st.floats(min_value=1e-300, max_value=1e300),
        "weight_decay": st.floats(min_value=0, max_value=1),
        "alpha": st.floats(0, 1),
        "temperature": st.floats(min_value=1e-9, max_value=1e9),
        "size": st.none() | st.integers(2, 10**9),
        "precision": st.sampled_from(["fp32", "bf16", "auto"]),
    }
    return st.builds(section, **{name: ranges[name] for name in section.model_fields if name in ranges})


def listed_subsets():
    member = st.integers(0, 10**6) | st.text(st.characters(exclude_categories=("Cs",)))
    return st.lists(st.lists(member, min_size=2, max_size=4), min_size=1, max_size=4)


@settings(deadline=None)
@given(
    st.builds(
        Parameters,
        data=st.builds(
            DataParameters,
            source=st.text(st.characters(exclude_categories=("Cs",)), min_size=1).map("npz:".__add__),
        ),
        generalist=valid(TeacherParameters),
        specialists=valid(SpecialistsParameters)
        | st.builds(SpecialistsParameters, method=st.just("manual"), subsets=listed_subsets()),
        student=valid(StudentParameters),
        controls=st.permutations(["hard", "generalist"]).map(tuple) | st.just(()),
    )
)
def test_parameters_survive_a_dump(tmp_path_factory, parameters):
    path = tmp_path_factory.getbasetemp() / "parameters.yaml"
    path.write_bytes(dump(parameters).encode())
    assert load(path, Parameters).model == parameters

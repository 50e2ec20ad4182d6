"""The sections of the config: what they hold, and what they are by default."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pipeline.config import dump, load
from pipeline.config_schema import section_at
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
    """A field says what it is, unless it is a section: that may say so itself."""
    words = {name: field.description or section_at(section, (name,)) for name, field in section.model_fields.items()}
    assert [
        name for name, said in words.items() if said is section or not (isinstance(said, str) or said.__doc__)
    ] == []


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


def test_folds_stand_in_the_place_of_the_holdout():
    dealt = DataParameters(source="sklearn:digits", folds=5)
    assert (dealt.folds, dealt.holdout, DATA.folds, DATA.holdout) == (5, 0.0, None, 0.15)
    assert DataParameters(**dealt.model_dump()) == dealt


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


def test_controls_may_be_none():
    parameters = Parameters.model_validate({"data": {"source": "sklearn:digits"}, "controls": []})
    assert parameters.controls == ()


def test_listed_subsets_say_how_many_they_are():
    wanted = SpecialistsParameters(method="manual", subsets=[[3, 5, 8], [4, "nine"]])
    assert (wanted.count, wanted.size, wanted.subsets) == (2, None, ((3, 5, 8), (4, "nine")))
    assert SpecialistsParameters(method="manual", subsets=[[1, 2]], count=1, size=2).count == 1


def valid(section: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    """Draw some values of each number that has a range, and defaults for the rest."""
    ranges = {
        "epochs": st.integers(1, 10**5),
        "learning_rate": st.floats(min_value=1e-300, max_value=1000),
        "weight_decay": st.floats(min_value=0, max_value=1),
        "alpha": st.floats(0, 1),
        "temperature": st.floats(min_value=0.01, max_value=1000),
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

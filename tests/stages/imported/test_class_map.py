import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.imported.class_map import ClassMap, class_map

NAMES = ["cat", "dog", "car", "truck"]


def faults(listed, names=NAMES):
    return class_map(listed, names)[1]


def test_without_a_list_columns_are_the_classes_in_order():
    assert class_map(None, NAMES) == (ClassMap((0, 1, 2, 3), None), [])


def test_all_classes_in_another_order_are_put_in_order():
    assert class_map(["truck", 0, "dog", 2], NAMES) == (ClassMap((1, 2, 3, 0), None), [])


def test_dustbin_comes_last_wherever_it_was():
    assert class_map([None, 3, "cat"], NAMES) == (ClassMap((2, 1, 0), (0, 3)), [])


@given(st.permutations([*range(6), None]), st.integers(2, 6))
def test_every_output_is_the_column_of_its_class(order, n):
    listed = [member for member in order if member is None or member < n - 1]
    found, wrong = class_map(listed, [f"class {c}" for c in range(6)])
    assert wrong == []
    assert [listed[column] for column in found.columns] == [*found.subset, None]
    assert list(found.subset) == sorted(found.subset)


def test_all_unknown_and_repeated_classes_are_told():
    assert faults([0, "cat", "cta", 7, -1, None]) == [
        "classes[1] must be listed once; got 'cat' again",
        "classes[2] must be the name of a class; got 'cta'; did you mean 'cat'?",
        "classes[3] must be a class id within 0..3; got 7",
        "classes[4] must be a class id within 0..3; got -1",
    ]


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ([], "classes must list a class; got none"),
        ([None], "classes must list a class; got none"),
        ([0, None, None], "classes must have one null at most, the dustbin; got 2"),
        ([0, 1, 2, 3, None], "classes must have no null beside all 4 classes, for it would stand for none; got one"),
        ([0, 1], "a null, the column of all other classes, where they leave out some of the 4; got 2 classes alone"),
    ],
)
def test_dustbin_is_there_where_it_stands_for_something(listed, told):
    (fault,) = faults(listed)
    assert fault.endswith(told)


def test_class_whose_name_another_has_needs_its_id():
    assert faults(["ox", 1, None], ["ox", "ox", "cow"])[0].startswith("classes[0] must be a class id, for several")

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.labels import fitted, listed, listed_within


def test_label_that_fits_stays() -> None:
    assert fitted(["distilled/0", "hard/0"], 12) == {"distilled/0": "distilled/0", "hard/0": "hard/0"}


def test_words_are_cut_and_numbers_are_not() -> None:
    label = "generalist/temperature=2.5,alpha=0.9/0"
    assert fitted([label], 30) == {label: "genera/temper=2.5,alpha=0.9/0"}


def test_numbers_without_words_lose_their_middle() -> None:
    label = "-".join(map(str, range(30)))
    assert fitted([label], 20) == {label: "0-1-2-3-4-…-27-28-29"}


def test_labels_that_would_come_out_alike_show_from_where_they_differ() -> None:
    labels = ["photographs-of-catfish/0/0/0/0/0", "photographs-of-cattle/0/0/0/0/0"]
    assert list(fitted(labels, 20).values()) == ["photog…fish/0/0/0/0…", "photog…tle/0/0/0/0/0"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["cat", "exactly 14 let"], ["cat", "exactly 14 let"]),
        (["one of a kind that is long"], ["one of …s long"]),
        (["genus species 07 (L., 1758)", "genus species 08 (L., 1758)"], ["genu…07 (L., …", "genu…08 (L., …"]),
        (["short", "a name that is much longer"], ["short", "a name …longer"]),
        (["x" * 20 + "1" + "y" * 20, "x" * 20 + "2" + "y" * 20], ["xxxx…1yyyyyyy…", "xxxx…2yyyyyyy…"]),
        (
            ["a picture of a plant, number 35", "a picture of a plant, number 41", "something else, number forty"],
            ["a pictu…ber 35", "a pictu…ber 41", "somethi… forty"],
        ),
        # A letter of Chinese takes two columns, a family that four signs make up as well.
        (["北京市朝阳区的植物", "北京市海淀区的植物"], ["北京…朝阳区的…", "北京…海淀区的…"]),
        (["\U0001f468\u200d\U0001f469\u200d\U0001f467" * 3], ["\U0001f468\u200d\U0001f469\u200d\U0001f467" * 3]),
    ],
)
def test_long_names_lose_what_does_not_tell_them_apart(names: list[str], expected: list[str]) -> None:
    assert list(fitted(names, 14).values()) == expected


def test_letters_that_several_signs_make_up_are_not_taken_apart() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert list(fitted([family * 20], 10).values()) == [f"{family * 2}…{family * 2}"]
    assert list(fitted(["e\u0301" * 20], 10).values()) == ["e\u0301" * 5 + "…" + "e\u0301" * 4]


def test_names_that_differ_nowhere_in_reach_end_in_their_places() -> None:
    # What is alike begins and ends them, and what differs is told by neither.
    names = ["ab#c…#1" + "x" * 20, "ab#c…#1" + "x" * 21, "ab#c…#1" + "x" * 22]
    assert list(fitted(names, 10).values()) == ["ab#c…#1…#0", "ab#c…#1…#1", "ab#c…#1…#2"]


def test_a_place_that_another_is_called_by_is_left_to_it() -> None:
    names = ["xxxxxxx…#1", "x" * 20, "x" * 21]
    assert list(fitted(names, 10).values()) == ["xxxxxxx…#1", "xxxxxxx…#2", "xxxxxxx…#3"]


LETTERS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]) | st.sampled_from("北京🌻 "), min_size=1)


@settings(deadline=None)  # the first look at a letter's width reads a table
@given(st.lists(LETTERS, unique=True, max_size=20), st.integers(8, 20))
def test_labels_are_as_narrow_as_asked_for_and_none_is_another(labels: list[str], columns: int) -> None:
    found = fitted(labels, columns)
    assert list(found) == labels
    assert all(cell_len(short) <= columns for short in found.values())
    assert all(found[label] == label for label in labels if cell_len(label) <= columns)
    assert len(set(found.values())) == len(labels)


@settings(deadline=None)  # the first look at a letter's width reads a table
@given(st.lists(st.text("ab ", min_size=1, max_size=40), unique=True, max_size=30), st.integers(6, 20))
def test_names_of_few_letters_stay_apart(names: list[str], columns: int) -> None:
    short = fitted(names, columns)
    assert all(len(name) <= columns for name in short.values())
    assert len(set(short.values())) == len(names)


def test_lists_say_how_many_are_left_out() -> None:
    names = ["cat", "dog", "北京"]
    assert listed_within(names, 14) == "cat, dog, 北京"
    assert listed_within(names, 13) == "3 classes"
    assert listed(names, lambda text: cell_len(text) <= 13, more=", +{}") == "cat, dog, +1"
    assert listed(names, lambda text: len(text) <= 14) == "cat, dog, 北京"
    assert listed_within([*names, "a fourth"], 20) == "cat, dog and 2 more"
    assert listed_within([*names, "a fourth"], 18) == "cat and 3 more"


@pytest.mark.parametrize("columns", range(14, 40))
def test_settings_of_a_sweep_stay_apart(columns: int) -> None:
    labels = [f"distilled/temperature={t:g},alpha=0.9/{seed}" for t in (2, 4, 8) for seed in (0, 1)]
    assert len(set(fitted(labels, columns).values())) == len(labels)


def test_many_settings_stay_apart_where_there_is_little_room() -> None:
    labels = [
        f"distilled/active_classes={a},alpha={b},learning_rate={c}" for a in range(9) for b in range(9) for c in "ab"
    ]
    assert len(set(fitted(labels, 22).values())) == len(labels)
    assert len(set(fitted(["A" * 13, "A" * 14], 12).values())) == 2

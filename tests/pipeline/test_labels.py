import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.labels import fitted


def test_label_that_fits_stays() -> None:
    assert fitted(["distilled/0", "hard/0"], 12) == {"distilled/0": "distilled/0", "hard/0": "hard/0"}


def test_words_are_cut_and_numbers_are_not() -> None:
    label = "generalist/temperature=2.5,alpha=0.9/0"
    assert fitted([label], 30) == {label: "genera/temper=2.5,alpha=0.9/0"}


def test_numbers_without_words_lose_their_middle() -> None:
    label = "-".join(map(str, range(30)))
    assert fitted([label], 20) == {label: "0-1-2-3-...-27-28-29"}


def test_labels_that_would_come_out_alike_show_from_where_they_differ() -> None:
    labels = ["photographs-of-catfish/0/0/0/0/0", "photographs-of-cattle/0/0/0/0/0"]
    assert fitted(labels, 20) == {labels[0]: "photo...fish/0/0/0/0", labels[1]: "photo...tle/0/0/0/0/0"[:20]}


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1), unique=True, max_size=2))
def test_labels_are_as_narrow_as_asked_for_and_of_two_none_is_the_other(labels: list[str]) -> None:
    found = fitted(labels, 12)
    assert list(found) == labels
    assert all(len(short) <= 12 for short in found.values())
    if len(labels) == 2 and all(len(label) > 12 for label in labels):
        assert found[labels[0]] != found[labels[1]]


@pytest.mark.parametrize("columns", range(14, 40))
def test_settings_of_a_sweep_stay_apart(columns: int) -> None:
    labels = [f"distilled/temperature={t:g},alpha=0.9/{seed}" for t in (2, 4, 8) for seed in (0, 1)]
    assert len(set(fitted(labels, columns).values())) == len(labels)

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


@given(
    st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1), unique=True, max_size=20)
)
def test_labels_are_as_narrow_as_asked_for_and_none_is_another(labels: list[str]) -> None:
    found = fitted(labels, 12)
    assert list(found) == labels
    assert all(len(short) <= 12 for short in found.values())
    assert len(set(found.values())) == len(labels)


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

"""Names where there is little room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.report.names import told_apart


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["cat", "exactly 14 let"], ["cat", "exactly 14 let"]),
        (["one of a kind that is long"], ["one of …s long"]),
        (["genus species 07 (L., 1758)", "genus species 08 (L., 1758)"], ["…07…", "…08…"]),
        (["short", "a name that is much longer"], ["short", "a name …longer"]),
        (["x" * 20 + "1" + "y" * 20, "x" * 20 + "2" + "y" * 20], ["xxxxxxx…0", "xxxxxxx…1"]),
    ],
)
def test_long_names_lose_what_does_not_tell_them_apart(names, expected):
    assert told_apart(names, 14) == expected


@given(st.lists(st.text("ab ", min_size=1, max_size=40), unique=True, max_size=30), st.integers(6, 20))
def test_names_fit_and_those_that_fitted_stay_where_all_do(names, n):
    short = told_apart(names, n)
    assert len(short) == len(names)
    assert all(len(name) <= n for name in short)
    if all(len(name) <= n for name in names):
        assert short == names
    else:
        assert len(set(short)) == len(names)

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.visible import visible, visible_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mRED\x1b[0m", r"\x1b[31mRED\x1b[0m"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028\udcff", r"\u2028\udcff"),
        (r"a\b", r"a\b"),
        ("Käse, 漢字, \N{FAMILY}, 100 %", "Käse, 漢字, \N{FAMILY}, 100 %"),
    ],
)
def test_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text())
def test_visible_leaves_nothing_that_steers_and_all_that_does_not(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in shown)
    assert visible(shown) == shown
    shown.encode()


def test_visible_lines_keeps_lines_apart() -> None:
    assert visible_lines("a\x1b\n b\r\n") == "a\\x1b\n b\\r\n"

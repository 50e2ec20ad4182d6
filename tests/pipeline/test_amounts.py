import pytest

from pipeline.amounts import digits, duration, rough_count, rough_duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (80, "1 min 20 s"),
        (3599.6, "1 h"), (3660, "1 h 1 min"), (7200, "2 h"), (360000, "100 h"),
    ],
)  # fmt: skip
def test_duration_is_what_people_say(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9951, "10 kB"), (999_499, "999 kB"),
        (999_600, "1.0 MB"), (1.25e9, "1.2 GB"), (4e12, "4.0 TB"), (4e15, "4000 TB"),
    ],
)  # fmt: skip
def test_size_is_in_the_largest_unit(n_bytes: float, text: str) -> None:
    assert size(n_bytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (9.4, "9 s"), (59.6, "1 min"), (80, "1 min 20 s")])
def test_rough_duration_has_no_tenths(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0"), (94_186, "94,186"), (999_999, "999,999"), (11_234_567, "11.2 M"), (7e10, "70.0 G")]
)
def test_rough_count_has_seven_columns(n: int, text: str) -> None:
    assert rough_count(n) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.008843, "0.0088"),
        (1.25, "1.2"),
        (99.4, "99"),
        (123.4, "123"),
        (0, "0.0"),
        (0.25, "0.25"),
        (0.0051, "0.0051"),
        (0.2, "0.20"),
    ],
)
def test_digits_are_so_many_but_before_the_point_all(value: float, text: str) -> None:
    assert digits(value, 2) == text

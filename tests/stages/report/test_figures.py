"""Drawings: that they show what they are given."""

import re
import xml.etree.ElementTree as ET
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from pipeline.counted import counted
from stages.learning.metrics import reliability
from stages.report import confusion, figures, svg

COUNTS = np.array([[5, 1, 0, 0], [0, 6, 0, 0], [2, 0, 4, 0], [0, 0, 0, 6]])
NAMES = ["a", "b", "c", "<d>"]
FINITE = st.floats(-1e6, 1e6)


def parsed(drawing):
    """Return a drawing as a tree: it has to be XML."""
    return ET.fromstring(str(drawing))


def of_class(drawing, name):
    return [one for one in parsed(drawing).iter() if name in (one.get("class") or "").split()]


@given(st.text(), st.text())
def test_element_escapes_words_and_attributes(words, attribute):
    printable = [text for text in (words, attribute) if re.fullmatch(r"[\x20-\x7e\xa0-\ud7ff]*", text)]
    if len(printable) == 2:
        found = parsed(svg.element("text", words, data_tip=attribute, class_=None))
        assert (found.text or "", found.get("data-tip")) == (words, attribute)
        assert found.get("class") is None


def test_element_takes_elements_as_they_are():
    assert svg.element("g", svg.element("a", "<"), 3, x=1.23456) == Markup('<g x="1.23"><a>&lt;</a>3</g>')


@given(FINITE, FINITE)
def test_ticks_are_round_and_within(low, high):
    found = svg.ticks(low, high)
    if low >= high:
        assert found == [low]
        return
    room = 1e-6 * max(abs(low), abs(high), 1e-300)
    assert all(low - room <= value <= high + room for value in found)
    assert len(found) <= 11
    assert found == sorted(set(found))


def test_ticks_of_usual_ranges():
    assert svg.ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert svg.ticks(-3, 12) == [0, 5, 10]
    assert "-0" not in str(svg.ticks(-3, 12))


@given(FINITE, FINITE, st.floats(0, 1))
def test_linear_maps_ends_to_ends(low, high, share):
    scale = svg.linear(low, high, 10, 20)
    assert scale(low) == 10
    if high - low > 1e-3:
        assert scale(low + share * (high - low)) == pytest.approx(10 + 10 * share, abs=1e-3)


@pytest.mark.parametrize(
    "words", ["S1: 0, 1, 2, 3, 8", "W" * 30, "i" * 30, "\u6f22" * 30, "S12: grandfather clock, iguana", ""]
)
def test_fitted_text_is_no_wider_than_its_room(words):
    found = svg.cut(words, 120)
    assert svg.width_of(found) <= 120
    assert found == words or (found.endswith("…") and words.startswith(found[:-1]) and svg.width_of(words) > 120)
    assert svg.cut(words, 1e9) == words


def test_counted():
    assert [counted(n, "class", "classes") for n in (0, 1, 2000)] == ["0 classes", "1 class", "2,000 classes"]
    assert [counted(n, "specialist") for n in (1, 2)] == ["1 specialist", "2 specialists"]


def test_intervals_reach_from_low_to_high_around_zero():
    rows = [("x", {"mean": 0.01, "low": -0.01, "high": 0.03}), ("y", {"mean": -0.02, "low": -0.03, "high": -0.01})]
    drawing = figures.intervals(rows, label="points")
    zero = float(of_class(drawing, "zero")[0].get("x1"))
    first, second = of_class(drawing, "interval")
    assert float(first.get("x1")) < zero < float(first.get("x2"))
    assert float(second.get("x2")) < zero
    tips = [one.get("data-tip") for one in of_class(drawing, "dot")]
    assert tips == ["x: +1 (\N{MINUS SIGN}1 to +3)", "y: \N{MINUS SIGN}2 (\N{MINUS SIGN}3 to \N{MINUS SIGN}1)"]


def test_intervals_of_equal_models_are_drawn():
    nothing = {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert len(of_class(figures.intervals([("x", nothing)], label="points"), "dot")) == 1


def test_dumbbells_show_before_and_after_and_what_is_missing():
    drawing = figures.dumbbells(
        [("x", "x in full", 0.8, 0.9), ("y", "y", None, None), ("z", "z", 1.0, 1.0)], label="accuracy"
    )
    rings, dots = of_class(drawing, "ring"), of_class(drawing, "dot")
    assert float(rings[0].get("cx")) < float(dots[0].get("cx"))
    assert rings[1].get("cx") == dots[1].get("cx")
    assert "no test examples" in str(drawing)
    assert of_class(figures.dumbbells([("y", "y", None, None)], label="accuracy"), "dot") == []


def test_gains_go_up_and_losses_down():
    rows = [
        {"specialists": 0, "examples": 9, "gained": 0, "relative": None},
        {"specialists": 1, "examples": 9, "gained": 4, "relative": 0.5},
        {"specialists": 2, "examples": 9, "gained": -2, "relative": -0.25},
    ]
    drawing = figures.gains(rows)
    zero = float(of_class(drawing, "zero")[0].get("y1"))
    _, up, down = of_class(drawing, "bar")
    assert float(up.get("y")) + float(up.get("height")) == pytest.approx(zero, abs=0.02)
    assert float(down.get("y")) == pytest.approx(zero, abs=0.02)
    assert up.get("data-tip") == "1 specialist: +4 of 9 examples, +50.00 % of the generalist's right answers"


def test_reliability_has_a_dot_for_each_bin_that_has_examples():
    log_probs = np.log([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    found = reliability(log_probs, np.array([0, 1, 0]))
    drawing = figures.reliability("student", found, 0.25)
    tips = {one.get("data-tip") for one in of_class(drawing, "dot")}
    assert tips == {"2 examples: 90.0 % sure, 50.0 % right", "1 example: 60.0 % sure, 100.0 % right"}
    assert "ECE 0.2500" in str(drawing)


def test_curves_have_a_point_an_epoch_and_differ_in_style():
    histories = {f"net {i}": [{"accuracy": 0.5 + 0.01 * e} for e in range(3 + i)] for i in range(72)}
    drawing = figures.curves(histories, "accuracy", label="accuracy")
    lines = of_class(drawing, "curve")
    assert [len(one.get("points").split()) for one in lines] == [3 + i for i in range(72)]
    assert len({one.get("class") for one in lines}) == 72
    legend = figures.legend(list(histories))
    assert [one.get("class") for one in of_class(legend, "curve")] == [one.get("class") for one in lines]


@pytest.mark.parametrize("n", [2, 6, 7, 12, 61])
def test_each_six_curves_differ_in_dashes_as_in_colour(n):
    styles = [one.get("class").split() for one in of_class(figures.legend([f"net {i}" for i in range(n)]), "curve")]
    for start in range(0, n, 6):
        row = styles[start : start + 6]
        assert len({dashes for _, _, dashes, *_ in row}) == len({colour for _, colour, *_ in row}) == len(row)


def test_style_has_all_colours_and_dashes_of_curves():
    css = files("stages.report").joinpath("templates/style.css").read_text()
    patterns = [re.search(rf"\.d{i} {{ stroke-dasharray: ([\d. ]+); }}", css)[1] for i in range(1, 6)]
    assert len(set(patterns)) == 5
    assert ".d0" not in css
    assert all(f".s{i} {{" in css for i in range(6))


def test_curves_of_one_epoch_are_drawn():
    assert len(of_class(figures.curves({"net": [{"nll": 0.0}]}, "nll", label="NLL"), "dot")) == 1


def test_class_order_is_subset_by_subset():
    assert confusion.class_order(6, [[0, 3], [3, 4]]) == [0, 3, 4, 1, 2, 5]


def test_matrix_shades_every_count_and_frames_what_stands_together():
    drawing = confusion.matrix(COUNTS, NAMES, [[0, 2], [1, 2]])
    squares = {kind: sum(one.get("d").count("M") for one in of_class(drawing, kind)) for kind in ("hit", "miss")}
    assert squares == {"hit": 4, "miss": 2}
    assert len(of_class(drawing, "frame")) == 2
    assert len(of_class(confusion.matrix(COUNTS, NAMES, [[0, 2], [0, 3]]), "frame")) == 1
    texts = [one.text for one in parsed(drawing).iter() if one.tag == "text"]
    assert texts.count("<d>") == 2
    assert sorted(text for text in texts if text.isdigit()) == ["1", "2", "4", "5", "6", "6"]


def test_hover_data_has_the_counts_in_the_order_of_the_matrix():
    found = confusion.hover_data(COUNTS, NAMES, [[0, 2]])
    assert found["names"] == ["a", "c", "b", "<d>"]
    assert found["rows"][1] == {0: 2, 1: 4}
    assert found["totals"] == [6, 6, 6, 6]


def test_largest_mistakes_come_first():
    found = confusion.largest(COUNTS, NAMES, [[0, 1]])
    assert found == [
        {"true": "c", "predicted": "a", "count": 2, "total": 6, "both": False},
        {"true": "a", "predicted": "b", "count": 1, "total": 6, "both": True},
    ]


def test_matrix_of_a_thousand_classes_is_small_and_names_no_class():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000), 50)
    predicted = np.where(rng.random(len(labels)) < 0.7, labels, rng.integers(0, 1000, len(labels)))
    counts = np.zeros((1000, 1000), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    drawing = confusion.matrix(counts, [f"name {c}" for c in range(1000)], [])
    assert len(drawing) < 700_000
    assert "name 7" not in drawing

"""Figures over seeds."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import seeds

VALUES = np.random.default_rng(0).normal(0.8, 0.1, 5).tolist()
OTHERS = np.random.default_rng(1).normal(0.7, 0.1, 5).tolist()


def test_interval_of_paired_differences_is_students():
    found = seeds.paired(VALUES, OTHERS)
    oracle = stats.ttest_rel(VALUES, OTHERS).confidence_interval(0.95)
    differences = np.subtract(VALUES, OTHERS)
    expected = {
        "mean": differences.mean(),
        "deviation": differences.std(ddof=1),
        "low": oracle.low,
        "high": oracle.high,
    }
    assert found == pytest.approx(expected)
    text = " ".join(f"{100 * found[name]:+.2f}" for name in ("mean", "low", "high"))
    assert seeds.interval(found, 100, 2) == "{} ({} to {})".format(*text.split())


def test_seeds_that_agree_have_an_interval_without_width():
    assert seeds.paired([0.5, 0.5], [0.25, 0.25]) == {"mean": 0.25, "deviation": 0.0, "low": 0.25, "high": 0.25}


def test_one_seed_has_neither_deviation_nor_interval():
    assert seeds.paired([0.5], [0.25]) == {"mean": 0.25}
    assert seeds.interval({"mean": 0.25}, 100, 1) == "+25.0"
    assert seeds.spread([0.5], 2) == ["0.50", "-"]
    assert seeds.over_seeds([{"accuracy": 0.5, "nll": 1.0, "ece": 0.1}])["nll"] == {
        "mean": 1.0, "deviation": None, "values": [1.0]
    }  # fmt: skip


def test_model_over_seeds_has_mean_and_deviation():
    models = [{"accuracy": value, "nll": 1.0, "ece": 0.1, "parameters": 7} for value in VALUES]
    found = seeds.over_seeds(models)
    accuracy = found["accuracy"]
    assert (accuracy["mean"], accuracy["deviation"]) == pytest.approx((np.mean(VALUES), np.std(VALUES, ddof=1)))
    assert accuracy["values"] == VALUES
    assert found["parameters"] == 7
    others = [{"accuracy": value, "nll": 1.0} for value in OTHERS]
    assert seeds.difference(models, others)["accuracy"] == seeds.paired(VALUES, OTHERS)
    assert seeds.spread(VALUES, 3) == [f"{np.mean(VALUES):.3f}", f"{np.std(VALUES, ddof=1):.3f}"]

"""Runs side by side."""

import numpy as np
import pytest
from scipy import stats

from pipeline.errors import StageError
from pipeline.stage import Artifact
from stages import side_by_side
from stages.learning import metrics
from stages.report.comparison_page import write_page

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 300)


def log_probs(skill):
    logits = RNG.normal(0, 1, (300, 3)) + skill * np.eye(3)[LABELS]
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def run(name, *, skill=1.0, seed=0, setting="x", test="t", variants=("distilled", "hard")):
    """Return a made-up run whose students are better the more skill they have."""
    scores = {"generalist": log_probs(2), "ensemble": log_probs(2)} | {
        f"student-{v}": log_probs(skill) for v in variants
    }
    shared = {"ece": 0.1, "milliseconds_per_image": 1.0, "milliseconds_alone": 2.0}
    facts = {
        name: shared | {"accuracy": metrics.accuracy(s, LABELS), "nll": metrics.nll(s, LABELS)}
        for name, s in scores.items()
    }
    students = {v: facts[f"student-{v}"] for v in variants}
    whole = {
        "students": students,
        "variants": list(variants),
        "seeds": [0],
        **{n: facts[n] for n in ("generalist", "ensemble")},
    }
    return side_by_side.scored(name, seed, setting, test, Artifact({"labels": LABELS, **scores}, whole))


def test_differences_are_paired_with_the_first_run():
    first, second = run("a", skill=0.5), run("b", skill=3.0)
    found = {one.model: one for one in side_by_side.differences([first, second])}
    assert set(found) == {"student", "control: labels alone", "generalist", "ensemble"}
    student = found["student"]
    lead = second.facts["student"]["accuracy"] - first.facts["student"]["accuracy"]
    assert student.accuracy.mean == pytest.approx(lead)
    assert 0 < student.accuracy.low < lead < student.accuracy.high
    assert student.nll.mean == pytest.approx(second.facts["student"]["nll"] - first.facts["student"]["nll"], abs=1e-6)
    assert student.nll.high < 0
    assert not student.same


def test_a_run_does_not_differ_from_itself():
    first = run("a")
    for one in side_by_side.differences([first, first]):
        assert one.same
        assert one.accuracy == one.nll == (0, 0, 0)


def test_models_that_one_run_lacks_are_left_out():
    found = side_by_side.differences([run("a"), run("b", variants=("distilled", "generalist"))])
    assert [one.model for one in found] == ["student", "generalist", "ensemble"]


def test_students_of_several_seeds_are_compared_seed_by_seed():
    labels = LABELS
    scores = {"generalist": log_probs(2), "ensemble": log_probs(2), "student-distilled": log_probs(1)}
    facts = {
        "students": {"distilled": {}},
        "variants": ["distilled"],
        "seeds": [0, 7],
        "generalist": {},
        "ensemble": {},
    }
    two = [
        side_by_side.scored(
            name, 0, "", "t", Artifact({"labels": labels, **scores, "student-distilled/7": log_probs(skill)}, facts)
        )
        for name, skill in (("a", 0.5), ("b", 4.0))
    ]
    found = {one.model: one for one in side_by_side.differences(two)}
    expected = [metrics.accuracy(run.log_probs["student"][7], labels) for run in two]
    assert found["student"].accuracy.mean == pytest.approx((expected[1] - expected[0]) / 2)
    assert not found["student"].same
    assert found["generalist"].same


STUDENTS = {seed: log_probs(1 + seed) for seed in range(4)}


def run_of(name, *seeds):
    """Return a run with students of some seeds, each the same in every run."""
    first, *others = seeds
    arrays = {"student-distilled": STUDENTS[first]} | {f"student-distilled/{seed}": STUDENTS[seed] for seed in others}
    arrays |= {"generalist": STUDENTS[0], "ensemble": STUDENTS[0], "labels": LABELS}
    teachers = {"generalist": {}, "ensemble": {}}
    facts = {"students": {"distilled": {}}, "variants": ["distilled"], "seeds": list(seeds), **teachers}
    return side_by_side.scored(name, 0, "", "t", Artifact(arrays, facts))


@pytest.mark.parametrize(
    ("ours", "theirs", "compared", "unused"),
    [
        ((0, 1), (1, 0), [0, 1], ([], [])),
        ((0, 2, 3), (0, 1), [0], ([2, 3], [1])),
        ((0,), (0, 1, 2), [0], ([], [1, 2])),
        ((2, 0), (0, 1, 2), [2, 0], ([], [1])),
    ],
)
def test_students_are_paired_by_their_seeds_and_not_by_their_places(ours, theirs, compared, unused):
    found = side_by_side.differences([run_of("a", *theirs), run_of("b", *ours)])[0]
    assert (found.model, found.seeds, found.unused, found.unused_against) == ("student", compared, *unused)
    assert found.same
    assert found.accuracy == (0, 0, 0)


@pytest.mark.parametrize(("ours", "theirs"), [((2, 3), (0, 1)), ((3,), (0, 1, 2)), ((1,), (0,))])
def test_students_without_a_seed_in_common_are_all_compared_unpaired(ours, theirs):
    found = side_by_side.differences([run_of("a", *theirs), run_of("b", *ours)])[0]
    mean, other = (np.mean([metrics.accuracy(STUDENTS[seed], LABELS) for seed in seeds]) for seeds in (ours, theirs))
    assert found.accuracy.mean == pytest.approx(mean - other)
    assert found.accuracy.low < found.accuracy.mean < found.accuracy.high
    assert (found.seeds, found.against, found.same) == (list(ours), list(theirs), False)
    assert found.unused == found.unused_against == []
    assert found.is_over_seeds == (len(ours) > 1)


def test_runs_on_other_examples_are_not_paired():
    with pytest.raises(StageError, match="the test split must be that of a; got another of b, c"):
        side_by_side.differences([run("a"), run("b", test="u"), run("c", test="v")])


def test_over_seeds_takes_runs_that_differ_in_the_seed_alone():
    runs = [run("a", seed=0), run("b", seed=1), run("c", seed=2), run("d", setting="y"), run("e", seed=2)]
    (group,) = side_by_side.over_seeds(runs)
    assert group.runs == ["a", "b", "e"]  # of one seed the last: it is the same run again
    accuracies = [one.facts["student"]["accuracy"] for one in (runs[0], runs[1], runs[4])]
    found = group.means["student"]["accuracy"]
    assert found == pytest.approx({"mean": np.mean(accuracies), "deviation": np.std(accuracies, ddof=1)})
    leads = [
        one.facts["student"]["nll"] - one.facts["control: labels alone"]["nll"] for one in (runs[0], runs[1], runs[4])
    ]
    found = group.leads["control: labels alone"].nll
    assert found.mean == pytest.approx(np.mean(leads))
    low, high = stats.t.interval(
        0.95, len(leads) - 1, np.mean(leads), stats.sem(leads)
    )  # whatever another test split says
    assert found.high - found.low > high - low


def test_page_escapes_what_it_shows():
    runs = [run("<b>a</b>"), run("b")]
    page = write_page(
        {"<b>a</b>": "A", "b": "B"},
        {"x": ["<i>1</i>", "2"]},
        runs,
        side_by_side.differences(runs),
        parts=[],
        notes=["<s>"],
        unpaired="<u>",
    )
    assert "<b>a</b>" not in page
    assert "&lt;b&gt;a&lt;/b&gt;" in page
    assert "<i>" not in page
    assert "<u>" not in page
    assert "<s>" not in page
    assert page.count("<svg") == 8

import re
from itertools import product
from pathlib import Path

import pytest

from stages.report.verdict import verdict

TABLE = Path(__file__).with_name("verdicts.txt")
"""Of every outcome of the two comparisons, by signs of accuracy and NLL: the answer and the headline."""

SIGNS = {"+": 1, "0": 0, "-": -1}
OUTCOMES = ("++", "+-", "0+", "00", "0-", "-+", "--", "none")
"""Better in both; more often right with worse probabilities; ...; none where the control was not trained."""


def outcome(told):
    """Return a difference whose intervals are on the sides that are told; of NLL, less is better."""
    accuracy, nll = (SIGNS[sign] for sign in told)
    return _around(0.05 * accuracy) | {"nll": _around(-0.05 * nll)}


def _around(mean):
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


def differences(generalist, hard):
    named = {"generalist": generalist, "hard": hard}
    return {name: outcome(told) for name, told in named.items() if told != "none"}


def rows():
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [re.split(r" *\| *", line) for line in lines if not line.startswith("#")]


def test_every_outcome_of_both_comparisons_is_in_the_table():
    assert [tuple(row[:2]) for row in rows()] == list(product(OUTCOMES, OUTCOMES))


@pytest.mark.parametrize(("generalist", "hard", "answer", "headline"), rows())
def test_verdict_is_one_statement_of_both_comparisons(generalist, hard, answer, headline):
    found = verdict(differences(generalist, hard))
    assert re.sub(r" \([^)]*\)", "", found.headline) == headline
    assert found.answer == answer


@pytest.mark.parametrize(("certain", "uncertain"), [("++", "+0"), ("--", "-0")])
def test_accuracy_decides_where_the_nll_may_be_chance(certain, uncertain):
    for other in OUTCOMES:
        for one, two in ((verdict(differences(certain, other)), verdict(differences(uncertain, other))),
                         (verdict(differences(other, certain)), verdict(differences(other, uncertain)))):  # fmt: skip
            assert (one.answer, one.headline) == (two.answer, two.headline)


def test_verdict_tells_what_is_certain_beside_each_word_and_all_figures_below():
    found = verdict({"generalist": outcome("+-"), "hard": outcome("0+")})
    assert found.headline == (
        "With the specialists the student is more often right, with worse probabilities, than with the generalist"
        " alone (+5.00 points, NLL +0.0500), and has better probabilities than with labels alone (NLL \u22120.0500)."
    )
    assert found.reason == (
        "The student minus the same one with the generalist alone: +5.00 points of accuracy (95 % interval +3.00 to"
        " +7.00), NLL +0.0500 (95 % interval +0.0300 to +0.0700). Neither interval includes zero. The student minus the"
        " same one with labels alone: +0.00 points of accuracy (95 % interval \u22122.00 to +2.00), which may be"
        " chance; NLL \u22120.0500 (95 % interval \u22120.0700 to \u22120.0300), which is better, by more than chance."
        " Whether another use of the specialists' cost would do more, such as training the generalist for longer, is"
        " not measured here."
    )


def test_verdict_says_what_to_do_where_a_control_is_missing():
    assert "list `generalist` under `controls`" in verdict({"hard": outcome("00")}).reason
    assert "list `hard` under `controls`" in verdict({"generalist": outcome("00")}).reason
    both = verdict({})
    assert "list `generalist` under `controls`" in both.reason
    assert "list `hard` under `controls`" in both.reason


def test_gain_is_told_with_what_is_not_measured_and_a_missing_control_apart_from_it():
    gained, open_ = (verdict({"generalist": outcome(lead)}).reason for lead in ("++", "00"))
    missing = "list `hard` under `controls`, and it is trained beside it."
    assert open_.endswith(missing)
    assert f"{missing} Whether another use of the specialists' cost would do more, " in gained
    assert gained.endswith(" is not measured here.")


def test_imported_tables_share_the_verdict():
    found = verdict({"generalist": outcome("++")}, [{"name": "clip"}])
    assert found.headline.startswith("With the specialists and the imported tables the student is better than")

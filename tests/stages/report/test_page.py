"""The page for people."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pipeline import amounts
from pipeline.stage import Artifact, RunSummary, TaskSummary
from stages.given_data import trained_on
from stages.report import by_class, examples, words
from stages.report.page import typeset
from stages.report.timeline import timeline
from tests.stages.report.conftest import RUN, TASKS

NASTY = [
    "<script>alert(1)</script>",
    '"onload="alert(2)',
    "</script><img src=x onerror=alert(3)>",
    "'&amp;{{7*7}}",
    "\u202ex",
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Structure(HTMLParser):
    """Collects what a browser would see: tags that are open at the end, names of tags and of attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_shows_on_screens_where_a_table_goes_on_beyond_its_edge(page):
    (style,) = re.findall(r"@media not print \{\s*\.scroll \{(.*?)\}\s*\}", page, re.DOTALL)
    layers = style.split(",\n")
    assert [layer.rstrip(" ;").rsplit(" ", 1)[1] for layer in layers] == ["local", "local", "scroll", "scroll"]
    assert '<div class="scroll"><table' in page
    assert '<div class="scroll matrix-view"><svg' in page


def test_page_is_well_formed_and_needs_nothing_beside_it(page):
    seen = Structure(page)
    assert seen.open == []
    ids = [value for name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in seen.attributes:
        if name == "href":
            assert value == "data:," or value.removeprefix("#") in ids
        assert name != "src" or value.startswith("data:image/png;base64,")
    assert not re.search(r"https?://", page)
    assert "url(" not in page
    assert "@import" not in page


def test_page_has_every_figure(page):
    seen = Structure(page)
    labels = [value for name, value in seen.attributes if name == "aria-label"]
    for label in ("Confusion matrix", "Reliability of student", "seconds since the run began", "NLL on the holdout",
                  "points of accuracy more", "ring: generalist", "specialists whose subset holds"):  # fmt: skip
        assert any(found.startswith(label) for found in labels), label
    assert seen.tags.count("figure") == 12
    assert len([label for label in labels if label.startswith("Reliability")]) == 5


def test_page_shows_every_model_class_and_result(page):
    text = " ".join(Structure(page).text)
    for expected in ("control: labels alone", "control: generalist alone", "class 3",
                     "specialist[2-3]", "data[train] (reused)", "name: tiny", "S2", "1 class in none"):  # fmt: skip
        assert expected in text, expected


def test_names_are_shown_as_they_are_and_never_run(write, measure, test_half):
    named = Artifact(test_half.arrays, test_half.facts | {"class_names": NASTY})
    page = write(measure(test=named), names=NASTY, run=RunSummary("<b>", 3, "<i>", TASKS))["report.html"].decode()
    seen = Structure(page)
    assert seen.open == []
    assert seen.tags.count("script") == 2  # the confusion counts, and the page's own
    assert "onerror" not in dict(seen.attributes)
    assert "onload" not in dict(seen.attributes)
    assert not {"b", "i"} & {tag for tag in seen.tags if seen.tags.count(tag) == 1}
    text = "".join(seen.text)
    for name in NASTY:
        assert name in text
    hover = re.search(r'<script type="application/json" id="confusion">(.*?)</script>', page)
    assert sorted(json.loads(hover[1])["names"]) == sorted(NASTY)


def test_page_is_written_without_controls_and_with_one_specialist(write, measure, specialist_nets):
    alone = measure(specialists=specialist_nets[:1], variants=("distilled",))
    page = write(alone, subsets=([0, 1],))["report.html"].decode()
    assert "cannot be said" in page
    assert "control: " not in page
    assert ">S2<" not in page
    assert page.count(">ensemble<") >= 2
    assert not re.search(r"\b1 (more )?(specialists|examples|epochs)\b", page)


@pytest.mark.parametrize(("method", "is_told"), [("confusion", True), ("random", False), ("manual", False)])
def test_page_says_what_the_subsets_were_found_by_where_they_were_found(write, evaluation, method, is_told):
    page = write(evaluation, method=method)["report.html"].decode()
    assert ("found by these very predictions" in page) == is_told


def test_page_of_a_run_that_did_nothing_says_so(write, evaluation):
    reused = RunSummary("tiny", 3, "", [TASKS[0]])
    page = write(evaluation, run=reused)["report.html"].decode()
    assert "Everything was in the store already" in page
    assert "seconds since the run began" not in page


def test_confusion_is_told_of_the_subsets_that_have_a_specialist(write, measure, specialist_nets):
    alone = measure(specialists=specialist_nets[:1])
    whole = write(alone, subsets=([0, 1],))["report.html"].decode()
    page = write(alone, dropped=["2-3"])["report.html"].decode()
    assert page.count('class="frame"') == whole.count('class="frame"') == 1
    mistakes = [re.findall(r'<td class="left">(yes|no)</td>', one) for one in (page, whole)]
    assert mistakes[0] == mistakes[1] != []


def test_long_lists_of_classes_and_tasks_are_folded(write, evaluation):
    many = [TaskSummary(f"targets[{i}]", "a" * 64, f"{i:064}", (), 0.1, 1, "2026-01-01T00:00:00+00:00", 1.0 + i)
            for i in range(500)]  # fmt: skip
    page = write(evaluation, run=RunSummary("tiny", 3, "", many))["report.html"].decode()
    assert "and 100 more of this stage" in page
    assert "task-targets[399]" in page
    assert "task-targets[400]" not in page


def test_timeline_keeps_tasks_apart_that_ran_together():
    assert timeline(TASKS[:1]) is None
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', timeline(TASKS))
    assert len(bars) == 3
    (_, first, _), (_, second, _) = bars[1:]
    assert first != second
    assert timeline([*TASKS[1:3], RUN.tasks[1]]).count("<rect") == 3


def test_what_was_prepared_has_a_bar_of_its_own_and_is_told_beside_the_costs(write, evaluation):
    compiled = TaskSummary("combined[0.0]", "3" * 64, "4" * 64, (), 0.5, 9, "2026-01-01T00:00:09+00:00", 30.0,
                           {"compiling kernels": 20.3})  # fmt: skip
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="[\d.]+" class="bar s1( light)?"',
                      timeline([compiled]))  # fmt: skip
    (start, width, light), (left, length, lighter) = bars
    assert (light, lighter) == ("", " light")
    assert float(left) + float(length) == pytest.approx(float(start), abs=0.02)
    assert float(length) / float(width) == pytest.approx(20.3 / 0.5, rel=0.01)
    files = write(evaluation, run=RunSummary("tiny", 3, "", [*TASKS, compiled]))
    assert json.loads(files["results.json"])["prepared"] == {"compiling kernels": 20.3}
    page = files["report.html"].decode()
    told = "20\N{NO-BREAK SPACE}s compiling kernels, summed over the processes"
    assert f"in all; beside that, {told}</span>" in page
    assert f"<small>and {told}</small>" in page
    assert f"Lighter: {told}, which counts for no task." in page


def test_examples_are_told_to_let_classes_take_turns(page):
    assert "true class gained or lost most, one class after another, with the probabilities of classes" in page


def test_examples_say_what_the_models_say(evaluation, specialist_nets):
    names = [f"class {c}" for c in range(5)]
    found = list(examples.examples(evaluation, [net.facts for net in specialist_nets], names))
    assert len(found) == len(evaluation.arrays["shown"]) == 12
    for row, example in zip(evaluation.arrays["shown"], found, strict=True):
        label = evaluation.arrays["labels"][row]
        assert example.label == example.classes[example.truth] == names[label]
        combined = next(column for column in example.columns if column.name == "ensemble")
        assert combined.probs[example.truth] == pytest.approx(np.exp(evaluation.arrays["ensemble"][row, label]))
        for column in example.columns:
            assert sum(p for p in column.probs if p is not None) == pytest.approx(1, abs=1e-6)
        specialists = [column for column in example.columns if column.name.startswith("S")]
        assert len(specialists) + example.n_hidden == evaluation.arrays["active"][row].sum()


def test_examples_say_whose_answer_is_right(evaluation, specialist_nets):
    found = list(
        examples.examples(evaluation, [net.facts for net in specialist_nets], [f"class {c}" for c in range(5)])
    )
    kinds = {(False, True): "put right", (True, False): "made wrong", (True, True): "right before and after",
             (False, False): "wrong before and after"}  # fmt: skip
    for row, example in zip(evaluation.arrays["shown"], found, strict=True):
        before, after, student = (
            bool(evaluation.arrays[model][row].argmax() == evaluation.arrays["labels"][row])
            for model in ("generalist", "ensemble", "student-distilled")
        )
        assert example.outcome == f"teachers: {kinds[before, after]}; student: {'right' if student else 'wrong'}"


def test_gains_are_told_in_words_where_there_are_none(write, evaluation):
    facts = json.loads(json.dumps(evaluation.facts))
    for row in facts["ensemble"]["by_cover"]:
        row["gained"] = 0
    page = write(Artifact(evaluation.arrays, facts))["report.html"].decode()
    assert "None, and none fewer: by however many specialists" in page
    assert 'aria-label="specialists whose subset holds the true class"' not in page


def test_classes_with_long_names_are_told_apart(write, measure, test_half):
    long = [f"a very long name of a class such as species {c:02} (Linnaeus, 1758)" for c in range(5)]
    named = Artifact(test_half.arrays, test_half.facts | {"class_names": long})
    page = write(measure(test=named), names=long)["report.html"].decode()
    drawn = re.search(r'<svg[^>]*class="figure matrix".*?</svg>', page, re.DOTALL)[0]
    assert all(f">a ve…{c:02} (Linn…</text>" in drawn for c in range(5))
    assert ">S2: a …02 (…, +1</text>" in page
    assert f'data-tip="S2: {long[2]}, {long[3]}"' in page
    mistakes = page.partition("Most frequent mistakes")[2].partition("</table>")[0]
    assert re.search(r'data-tip="a very long name[^"]*">a ver…0\d \(Linnae…</td>', mistakes)


BETTER, WORSE, EITHER = (0.01, 0.02), (-0.02, -0.01), (-0.01, 0.01)
"""Ends of intervals of a lead in accuracy; of NLL less is better."""


def _interval(low, high):
    return {"mean": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("accuracy", "nll", "told"),
    [
        (BETTER, WORSE, " is more often right than the generalist alone, and its probabilities are better: "),
        (BETTER, BETTER, " is more often right than the generalist alone, but its probabilities are worse: "),
        (WORSE, WORSE, " is less often right than the generalist alone, but its probabilities are better: "),
        (WORSE, BETTER, " is less often right than the generalist alone, and its probabilities are worse: "),
        (BETTER, EITHER, " is more often right than the generalist alone; whether its probabilities are better is"),
        (WORSE, EITHER, " is less often right than the generalist alone; whether its probabilities are better is"),
        (EITHER, WORSE, " has better probabilities than the generalist alone; whether it is right more often is"),
        (EITHER, BETTER, " has worse probabilities than the generalist alone; whether it is right more often is"),
        (EITHER, EITHER, " is better than the generalist alone is not shown: "),
    ],
)
def test_box_says_whether_the_ensemble_is_better_than_the_generalist(accuracy, nll, told):
    found = words.of_teachers({"ensemble": {"lead": _interval(*accuracy) | {"nll": _interval(*nll)}}})
    assert told in found
    assert f"points of accuracy (95 % interval {words.points(accuracy[0])} to" in found
    assert f"(95 % interval {words.nats(nll[0])} to" in found


@pytest.mark.parametrize(("n_seeds", "width", "is_told"), [(1, 0.5, False), (2, 0.19, False), (2, 0.21, True)])
def test_intervals_that_say_nothing_for_want_of_seeds_are_told(n_seeds, width, is_told):
    told = words.too_wide({"hard": _interval(0.0, 0.1), "generalist": _interval(-0.1, width - 0.1)}, n_seeds)
    assert ("2 seeds that differ so much are too few" in told) == is_told
    assert bool(told) == is_told
    assert words.too_wide({}, 3) == ""


def test_a_wide_interval_that_excludes_zero_says_what_it_says():
    assert words.too_wide({"hard": _interval(0.1, 0.6)}, 3) == ""


def test_box_names_the_specialists_that_the_run_went_on_without(write, measure, specialist_nets):
    page = write(measure(specialists=specialist_nets[:1]), dropped=["2-3"])["report.html"].decode()
    box = page.partition('<div class="verdict')[2].partition("</div>")[0]
    assert "1 of 2 specialists failed, and the run went on without: S2 for class 2, class 3." in box
    row = re.search(r"<td>S2 \(dropped\)</td>.*?</tr>", page, re.DOTALL)[0]
    assert row.count("<td>–</td>") == 3
    assert "none to count" not in row


def test_missing_specialists_are_told_with_short_names_and_nothing_where_none_is():
    names = [f"a very long name of a class such as species {c:02} (Linnaeus, 1758)" for c in range(30)]
    kept = {"state": "trained", "names": names[20:]}
    lost = [{"state": "dropped", "names": names[:20]}, {"state": "dropped", "names": names[3:5]}]
    assert words.without([kept], names) == ""
    assert words.without([kept, *lost], names) == (
        "2 of 3 specialists failed, and the run went on without: S2 for a ver…00 (Linnae… and 19 more;"
        " S3 for a ver…03 (Linnae… and 1 more. The same run again tries once more."
    )


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("list `hard` under `controls`", "list <code>hard</code> under <code>controls</code>"),
        ("<b> & `a<b`", "&lt;b&gt; &amp; <code>a&lt;b</code>"),
        ("95 % of 3 h 5 min or 1 min 20 s", "95_% of 3_h_5_min or 1_min_20_s"),
        ("12 s, 4.2 kB and 3 seeds; 2 points", "12_s, 4.2_kB and 3 seeds; 2_points"),
        ("a lone ` stays", "a lone ` stays"),
    ],
)
def test_sentences_are_typeset(sentence, expected):
    assert typeset(sentence) == expected.replace("_", "\N{NO-BREAK SPACE}")


def test_box_and_costs_have_no_backticks_and_no_lone_units(page):
    text = re.sub(r"<(script|style|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert "`" not in text
    assert "<code>seeds: [0, 1, 2]</code>" in text
    assert not re.search(r">[^<>]*\d (%|s|ms|kB|MB|bytes)\b[^<>]*<(?!/text)", text.partition("<h2")[0])


def test_models_are_in_one_order_in_all_tables(results):
    assert by_class.models(results) == ["generalist", "ensemble", *results["students"]]
    assert next(iter(results["students"])) == "distilled"


def test_top_5_is_left_out_where_it_is_all_classes(write, evaluation):
    assert ">top 5<" not in write(evaluation)["report.html"].decode()


def test_bytes_and_times_are_written_as_in_the_terminal(files, page):
    results = json.loads(files["results.json"])
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert f"rows in {amounts.size(results['targets']['bytes'])};" in page
    assert f", of {amounts.duration(sum(task.seconds for task in TASKS))} in all" in page


def test_a_difference_is_told_with_its_interval():
    found = _interval(-0.01, 0.03)
    assert words.told(found) == "+1.00 points of accuracy (95 % interval \N{MINUS SIGN}1.00 to +3.00)"
    assert words.spanned(found, words.nats) == "+0.0100 (\N{MINUS SIGN}0.0100 to +0.0300)"


@pytest.mark.parametrize(
    ("words_of", "value", "expected"),
    [
        (words.times, 3.14, "3.1 times"),
        (words.times, 220.4, "220 times"),
        (words.percent, None, "none to count"),
        (words.points, -0.0123, "\N{MINUS SIGN}1.23"),
        (words.nats, 0.01234, "+0.0123"),
        (words.model_name, "distilled", "student"),
        (words.model_name, "hard", "control: labels alone"),
        (words.taught_by, "refit", "refit"),
        (words.cover, [0, 1, 1, 2], "1 class in 2 subsets each, 2 classes in 1 subset each, 1 class in none."),
    ],
)
def test_numbers_in_words(words_of, value, expected):
    assert words_of(value) == expected


def test_classes_are_listed_with_what_every_model_gets_right(files, page):
    results = json.loads(files["results.json"])
    listed = by_class.rows(results)
    shares = [row.shares[0] for row in listed]
    assert shares == sorted(shares)
    assert sum(row.examples for row in listed) == results["data"]["test"]
    assert {row.name: row.cover for row in listed} == dict(
        zip(results["data"]["classes"], [1, 1, 1, 1, 0], strict=True)
    )
    models = [results["generalist"], results["ensemble"], *results["students"].values()]
    for position, accuracy in enumerate(model["accuracy"] for model in models):
        right = sum(row.examples * row.shares[position] for row in listed)
        assert right / results["data"]["test"] == pytest.approx(accuracy)
    body = page.partition("Class by class")[2].partition("</table>")[0]
    assert body.count("<tr>") == 1 + len(listed)
    assert words.percent(shares[0]).replace(" ", "\N{NO-BREAK SPACE}") in body


def test_classes_without_examples_come_last_and_have_no_share():
    per_class = {"examples": [0, 2], "generalist": [None, 0.5], "ensemble": [None, 1.0], "students": {}}
    listed = by_class.rows(
        {"per_class": per_class, "students": {}, "subsets": {"cover": [0, 1]}, "data": {"classes": ["a", "b"]}}
    )
    assert [(row.name, row.shares) for row in listed] == [("b", (0.5, 1.0)), ("a", (None, None))]


def test_given_teachers_that_may_know_the_holdout_are_told_beside_what_it_measures(write, evaluation, dataset):
    def shown(seen):
        return " ".join(write(evaluation, seen=seen)["report.html"].decode().split())

    here = trained_on(dataset)
    holdout, test = "Figures on the holdout may look better than they are", "Figures on the test split may look better"
    confusion, beside = "The generalist may confuse more, and other classes, than the holdout shows", 'id="given"'
    page = shown({"generalist": here | {"held_out": "0"}, "0-1": here})
    assert "<li>The given generalist was trained on these data without holding out what this run does" in page
    assert [text in page for text in (holdout, test, confusion)] == [True, False, True]
    page = shown({"2-3": here | {"examples": "0"}, "0-1": None})
    assert "<li>Nothing says what the given specialist for class 0, class 1 was trained on: if on" in page
    assert "<li>The given specialist for class 2, class 3 was trained on other data than these" in page
    assert [text in page for text in (holdout, test, confusion)] == [True, True, False]
    assert "<code>trained_on: training</code> beside <code>weights</code>" in page
    assert not [line for line in page.split("<") if line.startswith("li>") and "`" in line]
    page = shown({"generalist": None, "0-1": None, "2-3": None})
    assert page.count("<li>Nothing says what the given generalist and specialists for class 0, class 1; class 2") == 1
    page = shown({"generalist": here, "0-1": here})
    assert [text in page for text in (beside, holdout, test, confusion)] == [False] * 4

"""What a run leaves behind."""

import json
import re

import pytest
import torch
from safetensors.numpy import load

from pipeline.errors import StageError
from pipeline.stage import Artifact
from stages import network
from stages.given_data import trained_on

MODEL = {"accuracy", "top5", "balanced_accuracy", "nll", "ece"}
SPEED = {"milliseconds_per_image", "milliseconds_alone"}
SIZE = {"parameters", "bytes"} | SPEED


def test_write_leaves_four_files(files):
    assert set(files) == {"results.json", "report.html", "student.safetensors", "student.json"}


def test_results_have_every_part_and_no_other(results):
    assert {name: set(value) if isinstance(value, dict) else value for name, value in results.items()} == {
        "version": 1,
        "name": "tiny",
        "seed": 3,
        "seeds": [0],
        "data": {"classes", "train", "transfer", "holdout", "test"},
        "subsets": {"method", "mass", "cover"},
        "generalist": MODEL | SIZE,
        "specialists": results["specialists"],
        "ensemble": MODEL | SPEED | {"mean_active", "by_cover", "lead"},
        "changed": {"right", "wrong", "another"},
        "per_class": {"examples", "generalist", "ensemble", "students"},
        "measured_on": {"device", "threads", "torch"},
        "students": {"distilled", "hard", "generalist"},
        "differences": {"hard", "generalist"},
        "targets": {"rows", "bytes", "forward_passes", "forward_passes_if_all", "combined"},
        "seconds": {"data", "generalist", "specialist"},
        "prepared": set(),
        "reused": ["data[train]"],
    }


def test_results_have_every_key_within_their_parts(results):
    for student in results["students"].values():
        assert set(student) == MODEL | SIZE | {"agreement"}
    for difference in (results["ensemble"]["lead"], *results["differences"].values()):
        assert set(difference) == {"mean", "low", "high", "nll", "method"}
        assert set(difference["nll"]) == {"mean", "low", "high"}
    for row in results["ensemble"]["by_cover"]:
        assert set(row) == {"specialists", "examples", "gained", "relative"}
    for specialist in results["specialists"]:
        accuracies = {"conditional_accuracy", "generalist_conditional_accuracy", "dustbin_recall"}
        assert set(specialist) == {"classes", "names", "state"} | accuracies
    counts = {"train": 240, "transfer": 240, "holdout": 60, "test": 100}
    assert results["data"] == {"classes": [f"class {c}" for c in range(5)]} | counts


def test_specialists_are_those_of_the_subsets_in_their_order(write, evaluation):
    rule = r"must be those of the subsets, in their order, \[\[2, 3\], \[0, 1\]\]; got \[\[0, 1\], \[2, 3\]\]"
    with pytest.raises(StageError, match=rule):
        write(evaluation, subsets=([2, 3], [0, 1]))


def test_results_list_students_as_they_were_asked_for(write, evaluation):
    kept = Artifact(evaluation.arrays, json.loads(json.dumps(evaluation.facts, sort_keys=True)))
    results = json.loads(write(kept)["results.json"])
    assert list(results["students"]) == ["distilled", "hard", "generalist"]
    assert list(results["differences"]) == ["hard", "generalist"]


def test_results_count_the_forward_passes(results, specialist_tables):
    lazily = 480 + sum(table.facts["rows"] for tables in specialist_tables for table in tables)
    found = results["targets"]
    assert (found["forward_passes"], found["rows"], found["forward_passes_if_all"]) == (lazily, lazily, 3 * 480)
    assert lazily < 3 * 480


def test_results_say_how_the_combined_table_is_kept_and_why(results, page, combined_tables):
    found = results["targets"]["combined"]
    assert found["bytes"] == sum(table.facts["bytes"] for table in combined_tables)
    assert found["encoding"] == {"name": "dense", "because": "no limit is set for the 18 bytes of a dense row"}
    assert " dense; every class of a row is kept, for targets.bytes_per_row sets no limit." in page


def test_student_files_rebuild_the_student(files, students, test_half):
    description = json.loads(files["student.json"])
    assert description["weights"] == "student.safetensors"
    assert description["class_names"] == [f"class {c}" for c in range(5)]
    rebuilt = Artifact(load(files[description["weights"]]), {"network": description})
    images = torch.from_numpy(test_half.arrays["images"])
    assert torch.equal(network.predict(rebuilt, images), network.predict(students["distilled"], images))
    assert sum(p.numel() for p in network.from_artifact(rebuilt).parameters()) == description["parameters"]


def test_page_says_that_labels_alone_taught_better(write, evaluation):
    told = []
    for high in (-0.01, 0.01):
        facts = json.loads(json.dumps(evaluation.facts))
        facts["differences"]["hard"] |= {"mean": -0.05, "low": -0.09, "high": high}
        page = write(Artifact(evaluation.arrays, facts))["report.html"].decode()
        told.append(
            bool(re.search(r"<strong>With the specialists the student [^<]*than with labels alone \(\W5.00", page))
        )
    assert told == [True, False]


def test_calibration_is_reported(write, measure, calibrations):
    files = write(measure(calibrations=calibrations))
    ensemble = json.loads(files["results.json"])["ensemble"]
    assert set(ensemble) == MODEL | SPEED | {"mean_active", "by_cover", "lead", "temperatures", "uncalibrated"}
    assert set(ensemble["temperatures"]) == {"generalist", "0-1", "2-3"}
    page = files["report.html"].decode()
    for number in (*ensemble["temperatures"].values(), ensemble["uncalibrated"]["nll"], ensemble["nll"]):
        assert f"{number:.3f}" in page


def test_page_says_where_there_is_nothing_to_divide_by(write, evaluation):
    nothing = {"conditional_accuracy": None, "generalist_conditional_accuracy": None, "dustbin_recall": None}
    facts = evaluation.facts | {
        "specialists": [specialist | nothing for specialist in evaluation.facts["specialists"]],
        "ensemble": evaluation.facts["ensemble"]
        | {"by_cover": [{"specialists": 1, "examples": 3, "gained": 2, "relative": None}]},
    }
    files = write(Artifact(evaluation.arrays, facts))
    assert json.loads(files["results.json"])["ensemble"]["by_cover"][0]["relative"] is None
    page = files["report.html"].decode()
    assert page.count("none to count") == 6
    assert page.count("no test examples") == 2
    assert "None" not in page


def test_sweep_and_seeds_are_in_results_and_on_the_page(write, measure, students, train_student):
    trained = {"distilled": [students["distilled"], students["generalist"]]}
    evaluation = measure(variants=("distilled",), seeds=(0, 4), trained=trained)
    seeds = [{"accuracy": 0.5, "nll": 1.0}, {"accuracy": 0.75, "nll": 1.0}]
    points = [
        {"settings": {"temperature": t}, "accuracy": 0.5 + t / 10, "nll": 1.0, "seeds": seeds} for t in (2.0, 4.0)
    ]
    facts = {"measure": "accuracy", "grid": {"distilled": points}, "chosen": {"distilled": {"temperature": 4.0}}}
    files = write(evaluation, sweep=Artifact(facts=facts))
    results, page = json.loads(files["results.json"]), files["report.html"].decode()
    assert results["sweep"] == facts
    assert results["seeds"] == [0, 4]
    assert set(results["students"]["distilled"]) == MODEL | SIZE | {"agreement", "deviation", "seeds"}
    assert "Settings that were tried" in page
    assert page.count("<td>chosen</td>") == 1
    assert page.count("± 17.68") == 2  # the holdout's accuracy at each temperature
    deviation = 100 * results["students"]["distilled"]["deviation"]["accuracy"]
    assert f"± {deviation:.2f}" in page
    assert "over 2 seeds of the students" in page
    assert "<p>temperature 4 is the largest that was tried: a larger one may be better.</p>" in page
    assert "Seed 3; the students were trained with each of the seeds 0, 4.</p>" in page


def test_imported_teachers_are_named_and_share_the_verdict(write, evaluation, results):
    facts = {"name": "clip", "digest": "d" * 64, "subset": None, "rows": 300, "examples": 300, "any_view": True}
    files = write(evaluation, imports=[Artifact(facts=facts | {"data": {}})])
    assert json.loads(files["results.json"]) == results | {"imported": [facts]}
    page = " ".join(files["report.html"].decode().split())
    assert "learned from imported soft targets: clip" in page
    assert "specialists and the imported tables" in page


def test_results_say_what_given_teachers_were_trained_on(write, evaluation, dataset):
    here = trained_on(dataset)
    files = write(evaluation, seen={"generalist": here | {"held_out": "0"}, "0-1": here, "2-3": None})
    given = json.loads(files["results.json"])["given"]
    assert [(one["teacher"], one["trained_on"]) for one in given] == [
        ("generalist", "other_holdout"),
        ("0-1", "these"),
        ("2-3", "unknown"),
    ]
    assert [one["warning"] is None for one in given] == [False, True, False]
    assert given[2]["warning"].startswith("nothing says what the given specialist for class 2, class 3 was trained on")
    assert all(set(one) == {"teacher", "trained_on", "warning"} for one in given)

"""What a run leaves behind."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from pipeline.stage import Artifact, RunSummary
from stages import network, report

RUN = RunSummary(name="tiny", seed=3, seconds={"data": 0.1, "generalist": 2.0}, reused=["data[train]"])
MODEL = {"accuracy", "top5", "balanced_accuracy", "nll", "ece"}
SIZE = {"parameters", "bytes", "milliseconds_per_image"}


@pytest.fixture(scope="module")
def tables(generalist_tables, specialist_tables):
    return [*generalist_tables, *(table for of_view in specialist_tables for table in of_view)]


@pytest.fixture(scope="module")
def write(dataset, test_half, generalist_net, specialist_nets, tables, students):
    """Return the function that writes a run's files for an evaluation, naming the classes as told."""

    def write(evaluation, *, names=None, subsets=([0, 1], [2, 3])):
        known = dataset.facts | ({"class_names": names} if names else {})
        return report.write(
            dataset=Artifact(facts=known),
            test=Artifact(facts=test_half.facts),
            generalist=generalist_net,
            subsets=Artifact(
                facts={
                    "method": "confusion",
                    "subsets": [{"classes": classes, "mass": 0.4} for classes in subsets],
                    "cover": [1, 1, 1, 1, 0],
                }
            ),
            specialists=specialist_nets[: len(subsets)],
            targets=tables,
            student=students["distilled"],
            evaluation=evaluation,
            run=RUN,
        )

    return write


@pytest.fixture(scope="module")
def files(write, evaluation):
    return write(evaluation)


@pytest.fixture(scope="module")
def results(files):
    return json.loads(files["results.json"])


def test_write_leaves_four_files(files):
    assert set(files) == {"results.json", "report.html", "student.safetensors", "student.json"}


def test_results_have_every_part_and_no_other(results):
    assert {name: set(value) if isinstance(value, dict) else value for name, value in results.items()} == {
        "version": 1,
        "name": "tiny",
        "seed": 3,
        "data": {"classes", "train", "holdout", "test"},
        "subsets": {"method", "mass", "cover"},
        "generalist": MODEL | SIZE,
        "specialists": results["specialists"],
        "ensemble": MODEL | {"mean_active", "by_cover"},
        "students": {"distilled", "hard", "generalist"},
        "differences": {"hard", "generalist"},
        "targets": {"rows", "bytes", "forward_passes", "forward_passes_if_all"},
        "seconds": {"data", "generalist"},
        "reused": ["data[train]"],
    }


def test_results_have_every_key_within_their_parts(results):
    for student in results["students"].values():
        assert set(student) == MODEL | SIZE | {"agreement"}
    for difference in results["differences"].values():
        assert set(difference) == {"mean", "low", "high", "method"}
    for row in results["ensemble"]["by_cover"]:
        assert set(row) == {"specialists", "examples", "gained", "relative"}
    for specialist in results["specialists"]:
        accuracies = {"conditional_accuracy", "generalist_conditional_accuracy", "dustbin_recall"}
        assert set(specialist) == {"classes", "names", "state"} | accuracies
    assert results["data"] == {"classes": [f"class {c}" for c in range(5)], "train": 240, "holdout": 60, "test": 100}


def test_results_count_the_forward_passes(results, specialist_tables):
    lazily = 480 + sum(table.facts["rows"] for tables in specialist_tables for table in tables)
    found = results["targets"]
    assert (found["forward_passes"], found["rows"], found["forward_passes_if_all"]) == (lazily, lazily, 3 * 480)
    assert lazily < 3 * 480


def test_student_files_rebuild_the_student(files, students, test_half):
    description = json.loads(files["student.json"])
    assert description["weights"] == "student.safetensors"
    assert description["class_names"] == [f"class {c}" for c in range(5)]
    rebuilt = Artifact(load(files[description["weights"]]), {"network": description})
    images = torch.from_numpy(test_half.arrays["images"])
    assert torch.equal(network.predict(rebuilt, images), network.predict(students["distilled"], images))
    assert sum(p.numel() for p in network.from_artifact(rebuilt).parameters()) == description["parameters"]


def test_page_escapes_class_names(write, measure, test_half):
    names = ["<script>alert(1)</script>", '"onload="x', "b", "c", "d"]
    named = Artifact(test_half.arrays, test_half.facts | {"class_names": names})
    page = write(measure(test=named), names=names)["report.html"].decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert '"onload' not in page


def test_page_shows_every_model_and_specialist(files):
    page = files["report.html"].decode()
    for text in ("student, distilled", "student, control: hard", "specialist 0-1", "class 2, class 3", "data[train]"):
        assert text in page


def test_page_is_written_without_controls_and_with_one_specialist(write, measure, specialist_nets):
    alone = measure(specialists=specialist_nets[:1], variants=("distilled",))
    page = write(alone, subsets=([0, 1],))["report.html"].decode()
    assert "against the control" not in page
    assert "specialist 2-3" not in page


def test_calibration_is_reported(write, measure, calibrations):
    files = write(measure(calibrations=calibrations))
    ensemble = json.loads(files["results.json"])["ensemble"]
    assert set(ensemble) == MODEL | {"mean_active", "by_cover", "temperatures", "uncalibrated"}
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
    assert "undefined" in page
    assert page.count("none to count") == 6
    assert "None" not in page


def test_page_puts_the_classes_of_a_subset_side_by_side(write, evaluation):
    grouped = report._ordered_confusion(
        list("abcde"), Artifact(facts={"subsets": [{"classes": [0, 3]}, {"classes": [3, 4]}]}), evaluation
    )
    assert grouped["names"] == ["a", "d", "e", "b", "c"]
    counts = np.array(evaluation.facts["confusion"])
    assert grouped["rows"][1][2] == counts[3, 4]
    assert grouped["totals"] == [20] * 5

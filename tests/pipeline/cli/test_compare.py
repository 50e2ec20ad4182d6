import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.cli.compare import NEUTRAL, differing
from pipeline.config import leaves
from pipeline.stage import Unrecorded
from stages.parameters import StudentParameters
from stages.parameters.teachers import GivenSpecialist, TeacherParameters
from tests.pipeline.cli.conftest import Command, make_arrays, make_project

LONGER = ("--set", "student.epochs=2")


@pytest.fixture(scope="module")
def three_runs_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs: one with another seed, one with a longer training of the students."""
    folder = make_project(tmp_path_factory.mktemp("compare"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, change in (("first", "seed=0"), ("reseeded", "seed=1"), ("longer", "student.epochs=3")):
            assert main(["run", "tiny.yaml", "--set", f"name={name}", "--set", change]) == 0
    return folder


@pytest.fixture
def three_runs(three_runs_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own with the three runs, to which it may add others."""
    folder = tmp_path / "compare"
    shutil.copytree(three_runs_once, folder)
    monkeypatch.chdir(folder)
    return folder


def test_compare_shows_settings_scores_and_differences(three_runs: Path, command: Command) -> None:
    done = command("compare", "first", "longer")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[0] for line in lines[:2]] == ["A:", "B:"]
    assert ["student.epochs", "1", "3"] in lines
    assert ["name", "'first'", "'longer'"] in lines
    assert ["B", "generalist", "same", "network"] in lines
    assert "(paired bootstrap)" in done.out
    assert "seeds:" not in done.out


def settings_of(**sections: Any) -> dict[str, str]:
    return leaves({"name": "x", "student": {"epochs": 3}, **sections})


def test_section_that_only_some_runs_have_is_one_setting() -> None:
    sweep = {"alpha": None, "temperature": [2, 4], "measure": "nll"}
    found = differing([settings_of(sweep=None), settings_of(sweep=sweep), settings_of()])
    assert found == {"sweep": ["null", "{measure: 'nll', temperature: [2, 4]}", "(none)"]}
    assert differing([settings_of(sweep=sweep), settings_of(sweep={**sweep, "alpha": [1]})]) == {
        "sweep.alpha": ["null", "[1]"]
    }


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_interval_is_broken(three_runs: Path, command: Command, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = command("compare", "first", "longer").out.splitlines()
    broken = [line for line in lines if line.count("(") != line.count(")")]
    assert broken == []
    assert len([line for line in lines if " to " in line]) == (4 if width == 60 else 2)


def test_compare_knows_seeds(three_runs: Path, command: Command) -> None:
    found = json.loads(command("compare", "first", "reseeded", "longer", "--json").out)
    assert found["settings"]["seed"] == ["0", "1", "0"]
    assert [run["letter"] for run in found["runs"]] == ["A", "B", "C"]
    (group,) = found["seeds"]
    assert [name.split("-")[0] for name in group["runs"]] == ["first", "reseeded"]
    accuracies = [run["models"]["student"]["accuracy"] for run in found["runs"][:2]]
    assert group["means"]["student"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    differences = {(one["run"].split("-")[0], one["model"]): one for one in found["differences"]}
    assert differences["reseeded", "student"]["accuracy"]["mean"] == pytest.approx(accuracies[1] - accuracies[0])
    out = command("compare", "first", "reseeded").out
    assert "seeds: A, B" in out
    assert "(Student's): over fewer than 3 seeds they are too wide to say much (give more)\n" in out


def test_settings_that_change_no_result_make_no_other_run(three_runs: Path, command: Command) -> None:
    place = three_runs / "elsewhere"
    place.mkdir()
    shutil.copy(three_runs / "tiny.npz", place)
    changes = ["seed=2", "name=again", f"data.root={place}", "student.cuda_graph=false", "data.memory_budget=1.0"]
    assert command("run", "tiny.yaml", *(word for one in changes for word in ("--set", one))).code == 0
    (group,) = json.loads(command("compare", "first", "again", "--json").out)["seeds"]
    assert len(group["runs"]) == 2


def test_settings_that_no_recipe_holds_make_no_other_run() -> None:
    sections = (TeacherParameters, GivenSpecialist, StudentParameters)
    fields = [item for section in sections for item in section.model_fields.items()]
    unrecorded = {name: mark for name, field in fields for mark in field.metadata if isinstance(mark, Unrecorded)}
    found = {name for name, mark in unrecorded.items() if len(mark.values) > 1}  # one value is the neutral one
    assert found == {"cuda_graph", "trained_on"}
    assert found <= set(NEUTRAL)


def test_compare_pairs_students_by_their_seeds_and_names_those_that_it_compares(
    three_runs: Path, command: Command
) -> None:
    for name, seeds in (("two", "[0, 1]"), ("three", "[0, 1, 2]"), ("strange", "[3, 4]")):
        assert command("run", "tiny.yaml", "--set", f"name={name}", "--set", f"seeds={seeds}").code == 0
    runs = ("two", "three", "first", "strange")
    found = json.loads(command("compare", *runs, "--json").out)
    seeds = {one["run"].split("-")[0]: (one["seeds"], one["against"]) for one in found["differences"][::4]}
    assert seeds == {"three": ([0, 1], [0, 1]), "first": ([0], [0]), "strange": ([3, 4], [0, 1])}
    means = [run["models"]["student"]["accuracy"] for run in found["runs"]]
    strange = next(one for one in found["differences"] if one["run"].startswith("strange"))
    assert strange["accuracy"]["mean"] == pytest.approx(means[3] - means[0])
    assert (
        "\nstudents of B: seeds 0, 1 paired with the same of A, seed 2 of B not used, for A has no such;"
        " students of C: seed 0 paired with the same of A, seed 1 of A not used, for C has no such;"
        " students of D: seeds 3, 4 against seeds 0, 1, unpaired, for the runs have none in common;"
        " points and nats, "
    ) in command("compare", *runs, "--html", "seeds.html").out
    few = (
        "over these, too (Student's): over fewer than 3 seeds they are too wide to say much (give more); where there is"
    )
    assert few in command("compare", *runs).out
    page = (three_runs / "seeds.html").read_text()
    assert "seed 2 of B not used, for A has no such" in page
    assert "over fewer than 3 seeds they are too wide to say much" in page
    assert found["differences"][0]["unused"] == [2]
    one = command("compare", "two", "first").out
    assert "; another seed may change more: of one seed there is no interval over seeds\n" in one
    assert command("run", "tiny.yaml", "--set", "name=other", "--set", "seeds=[0, 1, 2]", *LONGER).code == 0
    three = command("compare", "three", "other").out
    assert "students of B: seeds 0, 1, 2 paired with the same of A; " in three
    assert "trusted" not in three


def test_compare_has_one_sign_for_less(three_runs: Path, command: Command) -> None:
    rows = command("compare", "first", "reseeded", "--html", "signs.html").out.partition("minus A")[2]
    assert "(\N{MINUS SIGN}" in rows
    assert "(-" not in rows
    assert "(-" not in (three_runs / "signs.html").read_text().partition("</style>")[2].partition("<script>")[0]


def test_compare_writes_a_page(three_runs: Path, command: Command) -> None:
    (three_runs / "pages").mkdir()
    done = command("compare", "first", "longer", "--html", "pages/compared.html")
    assert done.out.endswith("page: pages/compared.html\n")
    page = (three_runs / "pages/compared.html").read_text()
    assert "student.epochs" in page
    assert page.count("<svg") == 4  # of the generalist and the ensemble there is no difference to draw
    assert command("compare", "first", "longer", "--html", "nowhere/x.html").code == 1


def test_runs_on_another_test_split_are_not_subtracted(three_runs: Path, command: Command) -> None:
    arrays = make_arrays()
    np.savez(three_runs / "less.npz", **arrays | {"x_test": arrays["x_test"][:50], "y_test": arrays["y_test"][:50]})
    assert command("run", "tiny.yaml", "--set", "name=less", "--set", "data.source=npz:less.npz").code == 0
    done = command("compare", "first", "less")
    assert done.code == 0
    assert "no differences: the test split must be that of first-" in done.out
    assert "(test split)" in done.out
    assert "bootstrap" not in done.out


def test_runs_on_other_training_images_at_the_same_place_are_no_seeds_of_one(
    three_runs: Path, command: Command
) -> None:
    arrays = make_arrays()
    for seed, n in ((0, 160), (1, 150)):
        np.savez(three_runs / "changing.npz", **arrays | {name: arrays[name][:n] for name in ("x_train", "y_train")})
        places = ("--set", "data.source=npz:changing.npz", "--set", f"name=on{n}", "--set", f"seed={seed}")
        assert command("run", "tiny.yaml", *places).code == 0
    done = command("compare", "on160", "on150")
    assert "(data)" in done.out
    assert "seeds:" not in done.out


def test_compare_wants_two_runs(three_runs: Path, command: Command) -> None:
    done = command("compare", "first", "first")
    assert done.code == 2
    assert done.err.startswith("RUN...: must be two different runs or more; got first-")


@pytest.fixture
def unfinished(three_runs: Path, command: Command) -> str:
    """The name of a run, beside the three, that was asked for a part alone."""
    assert command("run", "tiny.yaml", "--until", "subsets", "--set", "name=half").code == 0
    (folder,) = (three_runs / "runs").glob("half-*")
    return folder.name


def test_compare_leaves_out_and_names_what_has_not_ended(three_runs: Path, command: Command, unfinished: str) -> None:
    done = command("compare", "half", "first", "longer", "--json")
    assert (done.code, done.err) == (0, f"left out, for it has not reached an end: {unfinished}\n")
    assert [run["letter"] for run in json.loads(done.out)["runs"]] == ["A", "B"]


def test_compare_without_two_that_ended_says_what_to_do(three_runs: Path, command: Command, unfinished: str) -> None:
    done = command("compare", "first", "half")
    assert done.code == 2
    rule = "must have reached its end; got one that was asked for no more than subsets"
    assert done.err == (
        f"{unfinished} {rule}: run its config without --until or --only, and name that run, or another\n"
    )


def test_comparison_is_not_written_over_a_folder(finished: Path, command: Command) -> None:
    done = command("compare", "tiny", "tiny", "--html", "runs")
    assert (done.code, done.err) == (2, "--html: must be a file; got the folder runs\n")

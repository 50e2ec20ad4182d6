import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.cli.selection import select
from pipeline.cli.tables import models_table, show_results
from pipeline.errors import ConfigError
from tests.pipeline.cli.conftest import DIVERGING, Command, newest
from tests.waiting import PATIENCE

ALL = {
    "data[train]", "data[test]", "views[0]", "generalist", "confusion", "subsets", "specialist[0-1]",
    "specialist[2-3]", "targets[generalist/0.0]", "targets[0-1/0.0]", "targets[2-3/0.0]", "combined[0.0]",
    "student[distilled]", "student[hard]", "evaluate",
}  # fmt: skip


def results(folder: Path) -> Any:
    return json.loads((newest(folder / "runs") / "results.json").read_text())


def made_again(folder: Path) -> set[str]:
    return ALL - set(results(folder)["reused"])


def test_first_run_computes_everything_and_leaves_its_record(finished: Path) -> None:
    (run,) = (finished / "runs").iterdir()
    assert {path.name for path in run.iterdir()} == {
        "config.yaml", "events.jsonl", "plan.json", "report.html", "results.json", "student.json",
        "student.safetensors",
    }  # fmt: skip
    assert made_again(finished) == ALL
    assert {step["action"] for step in json.loads((run / "plan.json").read_text())["steps"]} == {"run", "open"}


def test_run_prints_its_progress_its_results_and_where_they_are(project: Path, command: Command) -> None:
    done = command("run", "tiny.yaml")
    run = newest(project / "runs").name
    assert (done.code, done.err) == (0, "")
    assert f"run in runs/{run}\n" in done.out
    assert "data[train]: done in " in done.out
    assert "\ncontrol: labels alone " in done.out
    told = " ".join(done.out.split())
    page = html.unescape((project / "runs" / run / "report.html").read_text()).replace("\N{NO-BREAK SPACE}", " ")
    page = re.sub("</?code>", "`", page)
    box = re.findall(r"<(?:strong|p)[^>]*>(.*?)</", page.partition('class="verdict')[2].partition("</div>")[0])
    assert len(box) == 4
    for sentence in box:
        assert " ".join(sentence.split()) in told
    assert "bytes, dense; every class of a row is kept, for targets.bytes_per_row sets no limit" in told
    *_, reused, report, then = done.out.splitlines()
    assert (reused, report) == ("reused: nothing", f"report: runs/{run}/report.html")
    assert then.startswith("then: python -m pipeline predict tiny IMAGE...")


def test_second_run_reuses_all_and_imports_neither_torch_nor_ray(finished: Path) -> None:
    root = Path(__file__).parents[3]
    script = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from pipeline.cli import main; code = main(sys.argv[1:]);"
        "print(code, [name for name in ('torch', 'ray', 'sklearn') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, "run", "tiny.yaml", "--set", "ray.address=local"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=finished, timeout=PATIENCE, check=False)
    assert done.stdout.endswith("\n0 []\n"), done.stderr
    assert made_again(finished) == set()


def test_changed_student_costs_the_students_and_the_evaluation(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--set", "student.epochs=2").code == 0
    assert made_again(finished) == {"student[distilled]", "student[hard]", "evaluate"}


def test_changed_specialists_leave_the_generalist(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--set", "specialists.epochs=2").code == 0
    kept = {"data[train]", "data[test]", "views[0]", "generalist", "confusion", "subsets", "targets[generalist/0.0]"}
    assert set(results(finished)["reused"]) == kept | {"student[hard]"}


def test_force_does_a_stage_again_with_the_same_result(finished: Path, command: Command) -> None:
    before = results(finished)
    assert command("run", "tiny.yaml", "--force", "generalist").code == 0
    assert made_again(finished) == {"generalist"}
    assert results(finished)["students"] == before["students"]


def test_until_stops_after_a_stage(project: Path, command: Command) -> None:
    done = command("run", "tiny.yaml", "--until", "generalist")
    assert done.code == 0
    run = newest(project / "runs")
    assert not (run / "results.json").exists()
    assert "generalist: done" in done.out
    assert "confusion" not in done.out


def test_only_does_a_stage_whose_inputs_are_there(finished: Path, command: Command) -> None:
    done = command("run", "tiny.yaml", "--only", "student", "--set", "student.epochs=3")
    assert done.code == 0
    ended = [line.split()[2] for line in done.out.splitlines() if "done in" in line]
    assert sorted(ended) == ["student[distilled]:", "student[hard]:"]


def test_only_says_which_inputs_are_missing(project: Path, command: Command) -> None:
    for also in ((), ("--dry-run",)):
        done = command("run", "tiny.yaml", "--only", "student", *also)
        assert (done.code, done.out) == (2, "")
        told = "--only: must be a stage whose inputs are in the store; got 'student', which lacks data"
        assert done.err.splitlines() == [f"{told}: run without --only first, or with --until student"]
    assert not (project / "runs").exists()


@pytest.mark.parametrize("stage", ["transfer", "fold", "calibration", "imported", "sweep", "refit-student"])
def test_only_refuses_a_stage_that_the_config_does_not_ask_for(project: Path, command: Command, stage: str) -> None:
    done = command("run", "tiny.yaml", "--only", stage)
    told = f"--only: must be a stage that the config asks for; got '{stage}', which has no tasks"
    assert (done.code, done.err.splitlines()) == (2, [told])
    assert not (project / "runs").exists()


def test_only_begins_nothing_where_some_inputs_are_missing(project: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--until", "specialist").code == 0
    runs = list((project / "runs").iterdir())
    done = command("run", "tiny.yaml", "--only", "student")  # of which one without soft targets could be trained
    assert done.code == 2
    assert "which lacks combined[0.0]: run" in done.err
    assert list((project / "runs").iterdir()) == runs


def test_keep_going_does_all_that_does_not_depend_on_the_fault(project: Path, command: Command) -> None:
    # The first student diverges while the generalist trains, on which all other stages depend.
    explode = ("--set", f"student={DIVERGING}")
    stopped = command("run", "tiny.yaml", *explode)
    assert stopped.code == 1
    assert "subsets: done" not in stopped.out
    assert "Traceback" not in stopped.out + stopped.err
    went_on = command("run", "tiny.yaml", *explode, "--keep-going")
    assert went_on.code == 1
    assert "combined[0.0]: done" in went_on.out
    assert "student[hard]" in went_on.err
    assert "student[distilled]" in went_on.err


def test_run_that_is_refused_before_any_work_hides_no_finished_one(
    finished: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    runs = list((finished / "runs").iterdir())
    done = command("run", "tiny.yaml", "--set", "ray.address=auto", "--set", "student.epochs=2")
    assert done.code == 2
    assert "got nobody who listens there" in done.err
    assert "nothing was begun: runs/tiny-" in done.out
    assert list((finished / "runs").iterdir()) == runs
    assert command("status").out.startswith(f"runs/{runs[0].name}: done")


def test_fault_is_told_once_with_where_its_traceback_is(project: Path, command: Command) -> None:
    done = command("run", "tiny.yaml", "--set", f"generalist={DIVERGING}")
    fault, where, advice = done.err.splitlines()
    assert fault.startswith("generalist: ")
    run = newest(project / "runs")
    assert where == f"traceback: runs/{run.name}/logs/generalist.log"
    assert advice == "what is done is kept: when the cause is gone, the same command goes on from there"
    assert command("status").out.endswith(done.err)
    assert "Traceback" in (run / "logs/generalist.log").read_text()


def test_results_table_shows_names_that_look_like_markup(finished: Path) -> None:
    shown = results(finished)
    shown["data"]["classes"][:2] = ["[bold]", "[/]"]
    console = Console(width=100)
    with console.capture() as captured:
        show_results(console, shown)
    assert "S1: [bold], [/] " in captured.get()


def test_results_table_tells_specialists_apart_whose_classes_have_long_names(finished: Path) -> None:
    shown = results(finished)
    shown["data"]["classes"] = [f"a very long name of a class such as species {i:02} (Linnaeus)" for i in range(4)]
    console = Console(width=100)
    with console.capture() as captured:
        show_results(console, shown)
    assert "S1: a ver…00 (Linnae… and 1 more " in captured.get()
    assert "S2: a ver…02 (Linnae… and 1 more " in captured.get()


@pytest.mark.parametrize("over_seeds", [False, True])
@pytest.mark.parametrize(("width", "headings"), [(120, "ECE"), (80, "ECE"), (60, "acc. %")])
def test_results_table_has_a_line_a_model_whatever_the_width(
    finished: Path, width: int, headings: str, over_seeds: bool
) -> None:
    shown = results(finished)
    shown["students"]["generalist"] = shown["students"]["hard"] | {"parameters": 11_234_567}
    for model in (shown["generalist"], shown["ensemble"], *shown["students"].values()):
        model["milliseconds_per_image"] = 0.008843
        if over_seeds:
            model["deviation"] = {"accuracy": 0.0123, "nll": 0.0345, "ece": 0.01}
    console = Console(width=width)
    with console.capture() as captured:
        console.print(models_table(shown, "on the test split"))
    heading, *lines = captured.get().splitlines()
    assert headings in heading
    names = ["generalist", "ensemble", "student", "control: labels alone", "control: generalist alone"]
    assert [line[:25].strip() for line in lines] == names
    assert all(("±" in line) == over_seeds for line in lines)
    assert len(heading) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in captured.get()


def test_force_of_a_stage_that_is_not_done_is_refused() -> None:
    with pytest.raises(ConfigError, match="--force: must be a stage that this command does; got student"):
        select(only=None, until="data", force=["student"], keep_going=False)


def test_data_that_are_read_again_are_so_for_the_refit() -> None:
    selected = select(only=None, until=None, force=["data", "subsets"], keep_going=False)
    assert selected.scope(["data", "subsets"]).fresh == {"data", "refit-data", "subsets"}


def test_sweep_chooses_on_the_holdout_and_evaluates_all_seeds_of_that(finished: Path, command: Command) -> None:
    changes = ["--set", "seeds=[0, 1]", "--set", "sweep={temperature: [1.0, 4.0], active_classes: [1, 2]}"]
    done = command("run", "tiny.yaml", *changes)
    assert (done.code, done.err) == (0, "")
    found = results(finished)
    assert [len(points) for points in found["sweep"]["grid"].values()] == [4, 1]
    assert found["seeds"] == [0, 1]
    assert set(found["students"]["distilled"]["seeds"]) == {"0", "1"}
    assert "(best accuracy on the holdout, of 4)" in " ".join(done.out.split())
    assert "The intervals are over 2 seeds of the students" in " ".join(done.out.split())
    assert "\nstudents: mean ± standard deviation over 2 seeds\n" in done.out
    chosen = found["sweep"]["chosen"]["distilled"]["temperature"]
    edge = "smallest" if chosen == 1 else "largest"
    assert f"; temperature {chosen:g} is the {edge} that was tried: a " in " ".join(done.out.split())
    # Two active classes are what the specialists were scored for before; the students of seed 0 on labels are the same.
    assert {"targets[0-1/0.0]", "combined[0.0]", "student[hard/0]"} <= set(found["reused"])
    tables = command("targets", "list", "--store", "store", "--json")
    assert {"combined", "combined/active=1"} <= {table["key"].partition(":")[2] for table in json.loads(tables.out)}

"""A run that goes on without a specialist that failed."""

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from pipeline.cli.compose import compose
from pipeline.cli.selection import Selection
from pipeline.cli.tables import show_results
from pipeline.config import dump
from pipeline.errors import StageError
from pipeline.events import EventLog, Events
from pipeline.executor import InlineExecutor
from pipeline.runner import Runner
from pipeline.runs import CONFIG, EVENTS, RunFolder
from pipeline.store.processes import temporary_name
from pipeline.worker import Job, Outcome
from stages.parameters import resolved
from tests.pipeline.cli.conftest import Command, make_arrays


class WithoutLuck(InlineExecutor):
    """An executor on which some specialists always fail."""

    def __init__(self, failing: Sequence[str]) -> None:
        super().__init__(Events().tell)
        self._failing = failing
        self._failed: list[Outcome] = []

    def submit(self, job: Job) -> None:
        if job.task.id in self._failing:
            self._failed.append(Outcome(job.task, fault="out of memory", details="Traceback"))
        else:
            super().submit(job)

    def wait(self) -> list[Outcome]:
        failed, self._failed = self._failed, []
        return failed or super().wait()


def run(
    *overrides: str, failing: Sequence[str] = ("specialist[0-1]",), folder: RunFolder | None = None
) -> dict[str, bytes]:
    composition = compose(Path("tiny.yaml"), overrides, make=True)
    graph = composition.graph()
    scope = replace(Selection().scope(list(graph.stages)), droppable=composition.droppable)
    start = partial(WithoutLuck, failing)
    with ExitStack() as stack:
        events = Events()
        if folder is not None:
            folder.write(CONFIG, dump(resolved(composition.config)))
            events = Events(stack.enter_context(closing(EventLog(folder.path / EVENTS))))
            stages = list(graph.stages)
            said = {"process": temporary_name(), "folder": str(folder.path), "store": "../../store"}
            events.tell("run_started", host="here", stages=stages, wanted=stages, **said)
        files = Runner("tiny", 0, graph, composition.store, scope, events, start=start).run()
        for name, content in files.items() if folder is not None else ():
            folder.write(name, content)
        events.tell("run_finished")
    return files


def test_last_specialist_cannot_be_dropped_and_that_is_told(project: Path) -> None:
    with pytest.raises(StageError) as caught:
        run("specialists.on_failure=drop", failing=("specialist[0-1]", "specialist[2-3]"))
    assert str(caught.value) == (
        "specialist[2-3]: out of memory; it cannot be dropped as specialist[0-1] (out of memory) was:"
        " what follows needs one of specialist at least"
    )
    with pytest.raises(StageError, match=r"^specialist\[0-1\]: out of memory$"):
        run()


def test_results_and_page_say_which_specialist_is_missing(project: Path, command: Command) -> None:
    files = run("specialists.on_failure=drop", "combine.calibrate=true")
    results: Any = json.loads(files["results.json"])
    kept, dropped = results["specialists"]
    assert (kept["classes"], kept["state"]) == ([2, 3], "trained")
    assert dropped == {
        "classes": [0, 1], "names": ["0", "1"], "state": "dropped", "conditional_accuracy": None,
        "generalist_conditional_accuracy": None, "dustbin_recall": None,
    }  # fmt: skip
    assert results["subsets"]["cover"] == [0, 0, 1, 1]
    assert len(results["subsets"]["mass"]) == 2
    assert [row["specialists"] for row in results["ensemble"]["by_cover"]] == [0, 1]
    assert "1 of 2 specialists failed, and the run went on without:</b> 0, 1." in files["report.html"].decode()
    assert files["report.html"].count(b'class="frame"') == 1

    # Whoever does not want to go without pays for the one that is missing, and for what follows from it.
    done = command("run", "tiny.yaml", "--set", "combine.calibrate=true")
    assert done.code == 0
    assert "specialist[0-1]: done" in done.out
    for reused in ("generalist", "specialist[2-3]", "targets[2-3/0.0]", "student[hard]"):
        assert f"{reused}: done" not in done.out


def test_terminal_names_the_missing_specialist_beside_the_verdict(project: Path) -> None:
    results: Any = json.loads(run("specialists.on_failure=drop")["results.json"])
    console = Console(width=120)
    with console.capture() as captured:
        show_results(console, results)
    lines = captured.get().splitlines()
    (told,) = (i for i, line in enumerate(lines) if line.startswith("1 of 2 specialists failed, and the run went on"))
    assert " without: S2 for 0, 1. The same run again tries once more." in lines[told]
    assert told < next(i for i, line in enumerate(lines) if line.startswith("specialist for"))
    assert next(line for line in lines if line.startswith("S2: 0, 1")).split() == ["S2:", "0,", "1", "dropped"]
    assert "none to count" not in captured.get()


def test_run_without_a_specialist_is_asked_as_any_other(project: Path, command: Command) -> None:
    folder = RunFolder.create(Path("runs"), "tiny")
    files = run("specialists.on_failure=drop", folder=folder)
    Image.fromarray(make_arrays()["x_test"][0]).save("a.png")
    done = command("evaluate", "tiny", "--json")
    assert (done.code, done.err) == (0, "")
    told, known = json.loads(done.out), json.loads(files["results.json"])
    assert told["ensemble"]["nll"] == known["ensemble"]["nll"]
    assert [one["classes"] for one in told["specialists"]] == [[2, 3]]
    done = command("predict", "tiny", "a.png", "--ensemble", "--json")
    assert (done.code, done.err) == (0, "")
    done = command("report", "tiny")
    assert (done.code, done.err) == (0, "")
    assert "1 of 2 specialists failed" in (folder.path / "report.html").read_text()


def test_run_without_a_specialist_is_no_seed_of_one_with_all(project: Path, command: Command) -> None:
    run("specialists.on_failure=drop", folder=RunFolder.create(Path("runs"), "tiny"))
    changes = ("--set", "specialists.on_failure=drop", "--set", "seed=1", "--set", "name=other")
    assert command("run", "tiny.yaml", *changes).code == 0
    done = command("compare", "tiny", "other")
    assert done.code == 0
    assert ["(specialists", "dropped)", "specialist[0-1]", "none"] in [line.split() for line in done.out.splitlines()]
    assert "seeds:" not in done.out
    assert "\nA went on without specialist[0-1], which failed: its ensemble, and all that learned from it, " in done.out
    command("compare", "other", "tiny", "--html", "dropped.html")
    assert "B went on without specialist[0-1], which failed" in Path("dropped.html").read_text()


def test_runs_without_the_same_specialist_do_not_differ_by_it(project: Path, command: Command) -> None:
    for name, epochs in (("tiny", 1), ("longer", 2)):
        run("specialists.on_failure=drop", f"student.epochs={epochs}", folder=RunFolder.create(Path("runs"), name))
    done = command("compare", "tiny", "longer")
    assert done.code == 0
    for letter in "AB":
        assert f"\n{letter} went on without specialist[0-1], which failed\n" in done.out

"""A run that goes on without a specialist that failed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.compose import compose
from pipeline.cli.selection import Selection
from pipeline.errors import StageError
from pipeline.events import Events
from pipeline.executor import InlineExecutor
from pipeline.runner import Runner
from pipeline.worker import Job, Outcome
from tests.pipeline.cli.conftest import Command


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


def run(*overrides: str, failing: Sequence[str] = ("specialist[0-1]",)) -> dict[str, bytes]:
    composition = compose(Path("tiny.yaml"), overrides, make=True)
    graph = composition.graph()
    scope = replace(Selection().scope(list(graph.stages)), droppable=composition.droppable)
    start = partial(WithoutLuck, failing)
    runner = Runner("tiny", 0, graph, composition.store, scope, Events(), start=start)
    return runner.run()


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

    # Whoever does not want to go without pays for the one that is missing, and for what follows from it.
    done = command("run", "tiny.yaml", "--set", "combine.calibrate=true")
    assert done.code == 0
    assert "specialist[0-1]: done" in done.out
    for reused in ("generalist", "specialist[2-3]", "targets[2-3/0.0]", "student[hard]"):
        assert f"{reused}: done" not in done.out

"""Lines for people: wrapped in a terminal, whole elsewhere."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.cli.tables import show_results, tell, wrapped
from stages.report.verdict import verdict
from tests.pipeline.cli.conftest import Command, newest

FAULTS = ("--set", "student.epchs=2", "--set", "specialists.fraction=3")


def told(line: str, *, indent: int = 0, is_terminal: bool) -> str:
    """Return what a console of 20 columns is given of a line."""
    console = Console(file=io.StringIO(), width=20, force_terminal=is_terminal, color_system=None)
    tell(console, line, indent=indent)
    return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO


def test_line_is_wrapped_between_words_in_a_terminal_and_whole_elsewhere() -> None:
    line = "warning: [bold] names stay as they are\n\nnext"
    assert told(line, is_terminal=True) == "warning: [bold]\nnames stay as they\nare\n\nnext\n"
    assert told(line, is_terminal=False) == f"{line}\n"
    assert told("two rows of words", indent=4, is_terminal=True) == "    two rows of\n    words\n"
    assert told("two rows of words", indent=4, is_terminal=False) == "    two rows of words\n"


def test_path_that_is_longer_than_a_row_is_whole_on_one_of_its_own() -> None:
    path = "/a/folder/with/many/folders-below"
    assert wrapped(f"report: {path} is it", 12) == ["report:", path, "is it"]
    assert wrapped("", 12) == [""]


def test_what_is_between_backticks_is_one_word() -> None:
    assert wrapped("it (or `run a --b c`), goes on", 12) == ["it (or", "`run a --b c`),", "goes on"]
    assert wrapped("a lone ` is a word like any other", 12) == ["a lone ` is", "a word like", "any other"]


def test_rows_are_measured_in_columns_and_gaps_within_one_are_kept() -> None:
    rows = wrapped("数据  摘要  一个 名字", 12)
    assert rows == ["数据  摘要", "一个 名字"]
    assert max(map(cell_len, rows)) <= 12


@pytest.mark.usefixtures("project")
def test_faults_of_a_config_are_wrapped_in_a_terminal_alone(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = command("validate", "tiny.yaml", *FAULTS).err
    assert len(piped.splitlines()) == 2
    monkeypatch.setenv("COLUMNS", "40")
    assert command("validate", "tiny.yaml", *FAULTS).err == piped
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich takes what it writes to for a terminal
    shown = command("validate", "tiny.yaml", *FAULTS).err
    assert shown.split() == piped.split()
    assert max(map(len, shown.splitlines())) <= 40


@pytest.mark.usefixtures("finished")
def test_plan_says_the_same_in_a_terminal_with_no_word_cut(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "56")
    ask = ("plan", "tiny.yaml", "--set", "student.epochs=2", "--set", "specialists.epochs=2")
    piped = command(*ask).out
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = Text.from_ansi(command(*ask).out).plain
    assert shown.split() == piped.split()
    assert max(map(len, piped.splitlines())) > 56
    assert max(len(line) for line in shown.splitlines() if " " in line) <= 56


def results_shown(results: Any, *, is_terminal: bool) -> list[str]:
    """Return the lines that a console of 60 columns is given of results."""
    console = Console(file=io.StringIO(), width=60, force_terminal=is_terminal, color_system=None)
    show_results(console, results)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # it is the StringIO


def test_sentences_about_results_are_wrapped_in_a_terminal_alone_and_tables_stay_tables(finished: Path) -> None:
    results = json.loads((newest(finished / "runs") / "results.json").read_text())
    results["seeds"] = [0, 1]
    for model in results["students"].values():
        model["deviation"] = {"accuracy": 0.0123, "nll": 0.0345, "ece": 0.01}
    results["differences"]["refit"] = results["differences"]["hard"]
    grid = [{"settings": {"alpha": alpha}, "accuracy": alpha, "nll": 1 - alpha} for alpha in (0.1, 0.5, 0.9)]
    results["sweep"] = {"measure": "nll", "chosen": {"distilled": {"alpha": 0.9}}, "grid": {"distilled": grid}}
    piped, shown = (results_shown(results, is_terminal=is_terminal) for is_terminal in (False, True))
    found = verdict(results["differences"])
    beginnings = ("students: mean", "distilled minus", "student: alpha", "accuracies: on", "soft targets:", "reused:")
    assert {found.headline, found.reason} <= set(piped)
    assert any(line.endswith("; alpha 0.9 is the largest that was tried: a larger one may be better") for line in piped)
    assert all(sum(line.startswith(beginning) for line in piped) == 1 for beginning in beginnings)
    assert len([line for line in piped if line.startswith("S1: ")]) == 1
    assert " ".join(piped).split() == " ".join(shown).split()
    assert max(map(cell_len, piped)) > 60 >= max(map(cell_len, shown))

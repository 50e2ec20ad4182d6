"""Lines for people: wrapped in a terminal, whole elsewhere."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.cli.tables import tell, wrapped
from tests.pipeline.cli.conftest import Command

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

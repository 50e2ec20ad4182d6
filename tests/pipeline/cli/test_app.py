"""The command line as a whole: help, version, completion, environment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from pipeline.cli import completion, env
from pipeline.cli.app import app
from stages import STAGES
from tests.pipeline.cli.conftest import Command, newest

ROOT = Path(__file__).parents[3]


def command_names() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    for name, one in get_command(app).commands.items():
        if hasattr(one, "commands"):
            yield from ((name, inner) for inner in one.commands)
        else:
            yield (name,)


@pytest.mark.parametrize("words", [(), *command_names()], ids=" ".join)
def test_help_of_every_command_has_an_example_of_it(command: Command, words: tuple[str, ...]) -> None:
    done = command(*words, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Example: python -m pipeline {' '.join(words)}" in " ".join(done.out.split())


@pytest.mark.parametrize("group", sorted({words[0] for words in command_names() if len(words) > 1}))
def test_help_of_a_group_says_in_the_list_of_commands_what_all_of_it_do(command: Command, group: str) -> None:
    overview = " ".join(get_command(app).commands[group].help.split())
    inner = [words[1] for words in command_names() if words[0] == group]
    assert inner
    assert [name for name in inner if name not in overview.lower()] == []
    assert overview in " ".join(command(group, "--help").out.split())


@pytest.mark.parametrize("words", list(command_names()), ids=" ".join)
def test_usage_marks_once_what_is_optional_or_repeated(command: Command, words: tuple[str, ...]) -> None:
    usage = next(line for line in command(*words, "--help").out.splitlines() if "Usage:" in line)
    assert "[[" not in usage
    assert "...}" not in usage


def test_help_has_a_line_for_each_exit_code(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = command("--help").out.splitlines()
    start = lines.index(next(line for line in lines if line.strip() == "Exit codes:"))
    assert [line.split(maxsplit=1)[0] for line in lines[start + 1 : start + 5]] == ["0", "1", "2", "130"]
    assert not lines[start + 5].strip()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version_import_nothing_that_takes_long(arguments: list[str]) -> None:
    heavy = ("torch", "numpy", "ray", "jinja2")
    script = (
        f"import sys; from pipeline.cli import main; main({arguments}); print([n for n in {heavy} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.endswith("[]\n")


def test_version_is_that_of_the_package(command: Command) -> None:
    done = command("--version")
    assert (done.code, done.out) == (0, f"specialist-distillation {metadata.version('specialist-distillation')}\n")


def test_tab_offers_runs_and_stages(finished: Path) -> None:
    run = newest(finished / "runs").name
    assert completion.runs("") == ["tiny", run]
    assert completion.runs("tiny-") == [run]
    assert completion.runs("x") == []
    assert completion.stages("s") == [stage.name for stage in STAGES if stage.name.startswith("s")]
    assert completion.stages("evalu") == ["evaluate"]


def test_shell_is_told_what_tab_offers(finished: Path) -> None:
    script = "import sys; sys.argv = ['specialist-distillation']; from pipeline.cli import main; main()"
    asked = {
        "_SPECIALIST_DISTILLATION_COMPLETE": "complete_bash",
        "COMP_WORDS": "specialist-distillation run pipeline.yaml --until evalu",
        "COMP_CWORD": "4",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | asked, check=False
    )
    assert done.stdout.split() == ["evaluate"]


@pytest.mark.parametrize(("program", "offered"), [("specialist-distillation", True), ("__main__.py", False)])
def test_help_offers_completion_to_the_command_that_a_shell_completes(program: str, offered: bool) -> None:
    script = f"import sys; sys.argv = ['{program}', '--help']; from pipeline.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ("--show-completion" in done.stdout) is offered


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_of_python_itself_is_refused(tmp_path: Path, option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", option],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{option}: must be given to `specialist-distillation`")
    assert done.stderr.endswith(f"run `specialist-distillation {option}`\n")
    assert list(tmp_path.iterdir()) == []


def test_env_tells_versions_devices_and_the_store(finished: Path, command: Command) -> None:
    found = json.loads(command("env", "--store", "store", "--json").out)
    assert set(found) == {"program", "packages", "devices", "store", "environment"}
    assert found["packages"]["torch"] == metadata.version("torch")
    assert found["devices"]["cores"] == len(os.sched_getaffinity(0))
    assert found["store"] == {"location": str(finished / "store"), "finished runs": 1}
    out = command("env", "--store", "nowhere").out
    assert "there is no store yet" in out
    assert not (finished / "nowhere").exists()


def test_env_tells_of_a_store_that_cannot_be_read(project: Path, command: Command) -> None:
    (project / "store").write_text("no folder")
    assert "store" in json.loads(command("env", "--store", "store", "--json").out)["store"]["location"]


def test_features_and_versions_that_are_not_there_are_told(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("flags\t: fpu avx2 amx_bf16\nflags\t: other\n")
    assert env.cpu_features(listed) == ["avx2", "amx_bf16"]
    assert env.cpu_features(tmp_path / "nowhere") == []

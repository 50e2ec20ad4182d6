"""What the README and the docs show works: Python runs, commands parse, configs are right, links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from pipeline.cli import main
from pipeline.cli.app import app
from pipeline.cli.reference import reference
from pipeline.cli.schema import Config
from tests.pipeline.cli.conftest import make_project, newest

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = "digits-20260101-000000-000"
"""The run that examples speak of."""
NOT_RUN = "<!-- not run"
"""Stands above an example that needs what a test has not."""


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, but for those that are said not to run."""
    found = re.findall(rf"(?:^|\n)([^\n]*)\n+```{language}\n(.*?)```", text, flags=re.DOTALL)
    return [block for above, block in found if not above.startswith(NOT_RUN)]


def commands() -> Iterator[tuple[str, str]]:
    """Yield every line that calls the program, and where it is."""
    for path in TEXTS:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            found = re.match(r"\s*(?:\$ )?python -m pipeline( .*)", line)
            if found:
                yield f"{path.name}:{number}", found[1].strip()


def indented_configs() -> Iterator[tuple[str, Any]]:
    """Yield every indented or fenced block that reads as a part of a config."""
    for path in TEXTS:
        text = path.read_text()
        pieces = re.findall(r"(?:^|\n\n)((?:    [^\n]*\n)+)", text) + re.findall(
            r"```yaml\n(.*?)```", text, flags=re.DOTALL
        )
        for piece in pieces:
            try:
                values = YAML(typ="safe").load(piece)
            except Exception:  # noqa: BLE001  # then it is no config
                continue
            if isinstance(values, dict) and set(values) & set(Config.model_fields):
                yield f"{path.name}: {', '.join(values)}", values


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run named digits is done, under the name that examples speak of."""
    folder = make_project(tmp_path_factory.mktemp("docs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "tiny.yaml", "--set", "name=digits", "--set", "store=.pipeline"]) == 0
    newest(folder / "runs").rename(folder / "runs" / RUN)
    return folder


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_python_examples_run(path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks(path.read_text(), "python"):
        exec(compile(block, str(path), "exec"), names)


@pytest.mark.parametrize(("where", "line"), list(commands()), ids=lambda text: text)
def test_commands_are_those_of_the_program(where: str, line: str) -> None:
    line = re.split(r"\s{2,}|\s+#|\s*`|[;|)] ", line)[0]  # what stands beside a command is no part of it
    words = shlex.split(re.sub(r"[\[\]]", " ", line))
    group: Any = get_command(app)
    while hasattr(group, "commands"):
        if words and words[0].startswith("-"):
            assert words[0] in {option for one in group.params for option in one.opts}, where
            return
        name = words.pop(0)
        for one in name.split("|"):
            assert one in group.commands, where
        group = group.commands[name.split("|")[0]]
    known = {option for one in group.params for option in one.opts} | {"--help", "-h"}
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given <= known, where


@pytest.mark.parametrize(("where", "values"), list(indented_configs()), ids=lambda value: str(value)[:60])
def test_configs_are_right(where: str, values: dict[str, Any]) -> None:
    Config.model_validate({"data": {"source": "npz:mine.npz"}} | values)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_reference_of_the_config_is_current() -> None:
    told = "docs/config.md must be what `python -m pipeline.cli.reference > docs/config.md` writes"
    assert (ROOT / "docs/config.md").read_text() == reference(), told


def test_reference_of_the_config_introduces_every_section_once() -> None:
    words = reference()
    assert "\n## data\n\nThe data set and what is made of it.\n\n| key" in words  # as the section says of itself
    assert "\n## generalist.model\n\nThe network of all teachers.\n\n| key" in words  # as its field says of it
    assert "`mlflow`. Null, unless it is given.\n\n| key" in words


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150

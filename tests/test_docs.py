"""What the README and the docs show works: Python runs, commands parse, configs are right, links lead somewhere."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipeline.cli import main
from pipeline.cli.app import app
from pipeline.cli.reference import reference
from pipeline.cli.schema import Config
from pipeline.config import load
from pipeline.errors import ConfigError
from tests.pipeline.cli.conftest import make_project, newest

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = "digits-20260101-000000-000"
"""The run that examples speak of."""
NOT_RUN = "<!-- not run"
"""Stands above an example that needs what a test has not."""


COUNTS = {  # of blocks, by file: those that run as Python, and those that are parts of a config
    "README.md": (1, 1),
    "cluster.md": (0, 4),
    "extending.md": (0, 2),
    "logging.md": (0, 1),
    "method.md": (1, 0),
    "soft_targets.md": (2, 0),
}


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, but for those that are said not to run."""
    found = re.findall(rf"(?:^|\n)([^\n]*)\n+```{language}\n(.*?)```", text, flags=re.DOTALL)
    return [block for above, block in found if not above.startswith(NOT_RUN)]


def commands() -> Iterator[tuple[str, str]]:
    """Yield what calls the program, in a block or in a sentence, and where it is."""
    for path in TEXTS:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for found in re.finditer(r"python -m pipeline( [^`]*)", line):
                yield f"{path.name}:{number}", found[1].strip()


def overrides() -> Iterator[tuple[str, str]]:
    """Yield every value that is given on a command line, and where it is."""
    for path in TEXTS:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for found in re.finditer(r"--set\s+([^\s`\"]+)", line):
                if found[1] != "a.b=c":
                    yield f"{path.name}:{number}", found[1]


def configs(text: str) -> list[str]:
    """Return the indented or fenced blocks that are written as a config is: at the margin nothing but keys."""
    indented = re.findall(r"(?:^|\n\n)((?:    [^\n]*\n)+)", text)
    pieces = [textwrap.dedent(block) for block in [*indented, *blocks(text, "yaml")]]
    return [piece for piece in pieces if all(map(_is_key, re.findall(r"^[^\s#].*", piece, flags=re.MULTILINE)))]


def _is_key(line: str) -> bool:
    return re.match(r"\w+:( \S|\s*(#|$))", line) is not None


def anchors(text: str) -> set[str]:
    """Return what links may name of a page: its headings, as GitHub writes them into addresses."""
    titles = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run named digits is done, under the name that examples speak of."""
    folder = make_project(tmp_path_factory.mktemp("docs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "tiny.yaml", "--set", "name=digits", "--set", "store=.pipeline"]) == 0
    newest(folder / "runs").rename(folder / "runs" / RUN)
    return folder


def test_blocks_are_as_many_as_are_known_of() -> None:
    texts = {path.name: path.read_text() for path in TEXTS}
    counts = {name: (len(blocks(text, "python")), len(configs(text))) for name, text in texts.items()}
    assert {name: found for name, found in counts.items() if any(found)} == COUNTS


@pytest.mark.parametrize(
    "path", [path for path in TEXTS if COUNTS.get(path.name, (0, 0))[0]], ids=lambda path: path.name
)
def test_python_examples_run(path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks(path.read_text(), "python"):
        exec(compile(block, str(path), "exec"), names)


@pytest.mark.parametrize(("where", "line"), list(commands()), ids=lambda text: text)
def test_commands_are_those_of_the_program(where: str, line: str) -> None:
    line = re.split(r"\s{2,}|\s+#|[;|)] ", line)[0]  # what stands beside a command is no part of it
    words = shlex.split(re.sub(r"[\[\]]", " ", line.rstrip('"')))
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


@pytest.mark.parametrize(("where", "override"), list(overrides()), ids=lambda text: text)
def test_values_on_command_lines_are_right(where: str, override: str, tmp_path: Path) -> None:
    path = tmp_path / where.partition(":")[0]
    path.write_text('data: {source: "npz:mine.npz"}')
    load(path, Config, [override])


@pytest.mark.parametrize(
    ("name", "text"),
    [(path.name, text) for path in TEXTS for text in configs(path.read_text())],
    ids=lambda text: text[:40],
)
def test_configs_are_right(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    load(tmp_path / name, Config, [] if re.search(r"\bsource:", text) else ["data.source=npz:mine.npz"])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            name, _, anchor = target.partition("#")
            there = path.parent / name if name else path
            assert there.exists(), target
            assert not anchor or anchor in anchors(there.read_text()), target


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("    generalsit: {epochs: 3}\n", "did you mean 'generalist'"),
        ("    student:\n      epoch: 3\n", "did you mean 'epochs'"),
        ("    student: {epochs: [3}\n", "must be YAML"),
        ("    ray: {}\n    ray: {}\n", "must be given once"),
    ],
)
def test_wrong_config_is_seen(wrong: str, told: str, tmp_path: Path) -> None:
    (block,) = configs(f"Text:\n\n{wrong}\nText.\n")
    with pytest.raises(ConfigError, match=re.escape(told)):
        test_configs_are_right("page.md", block, tmp_path)


def test_what_is_no_config_is_not_taken_for_one() -> None:
    formula = "    forward:  |q - a|\n    reverse:  |q|\n"
    assert configs(f"Text:\n\n    q = a / g\n\nText:\n\n{formula}\nText:\n\n    .pipeline/\n      store.json\n") == []


def test_anchors_are_written_as_github_does() -> None:
    text = "# One, *two*: `three` - four\n\n```\n# no heading\n```\n\n## No examples to spare\n"
    assert anchors(text) == {"one-two-three---four", "no-examples-to-spare"}


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

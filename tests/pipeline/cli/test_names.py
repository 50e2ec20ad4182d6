"""Names of classes are anybody's: what they hold must neither steer the terminal nor break a table."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from tests.pipeline.cli.conftest import Command, make_arrays

NAMES = ["esc\x1b[31mRED\x1b[0m", "two\nlines", "\u202eback\x9b1m", "[bold]plain[/bold]"]
SHOWN = [r"esc\x1b[31mRED\x1b[0m", r"two\nlines", r"\u202eback\x9b1m", "[bold]plain[/bold]"]


@pytest.fixture
def named(project: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the run says whose classes have these names."""
    monkeypatch.setenv("COLUMNS", "200")
    np.savez(project / "tiny.npz", **make_arrays(), class_names=np.array(NAMES))
    Image.fromarray(make_arrays()["x_test"][0]).save(project / "im\x1b[32mage.png")
    done = command("run", "tiny.yaml")
    assert done.code == 0
    return done.out + done.err


def test_names_of_classes_steer_no_terminal(project: Path, named: str, command: Command) -> None:
    seen = command("predict", "tiny", ".", "--top", "4")
    table = command("targets", "show", "tiny", "--store", "store")
    for told in (named, seen.out + seen.err, table.out, command("status").out, command("plan", "tiny.yaml").out):
        assert told
        assert not set(told) & {"\x1b", "\x9b", "\u202e"}
    assert sorted(line.removesuffix(" %").rsplit(maxsplit=1)[0].split()[-1] for line in rows(seen.out)) == sorted(SHOWN)
    assert r"im\x1b[32mage.png" in seen.out
    assert f"4: {', '.join(SHOWN)}" in table.out
    assert rf"S1: esc\x1b[…D\x1b[0m, {SHOWN[1]} " in named  # a long one is cut in its middle
    assert f"S2: {SHOWN[2]} and 1 more " in named


def rows(told: str) -> list[str]:
    """Return the rows of what predict tells, between what is in the image and who says so."""
    _, *found, by = told.splitlines()
    assert by.startswith("by the student of tiny-")
    return found


def test_names_in_faults_steer_no_terminal(project: Path, command: Command) -> None:
    np.savez(project / "tiny.npz", **make_arrays(), class_names=np.array(NAMES))
    wrong = r'specialists={method: manual, subsets: [["esc\e[31mRED", 0], [2, 3]]}'
    done = command("validate", "tiny.yaml", "--set", wrong)
    assert done.code == 2
    assert r"did you mean 'esc\x1b[31mRED\x1b[0m'?" in done.err
    assert "\x1b" not in done.err


LONG = [
    *(f"photograph of a plant of the family Asteraceae, genus {number:02}, seen from above" for number in range(2)),
    *(f"北京市{district}区的一种非常罕见的菊科植物以及它的许多近亲和变种🌻🌼" for district in ("朝阳", "海淀")),
]


@pytest.fixture
def long_named(project: Path, command: Command) -> Path:
    """A project with a run whose classes have long names, and two images in a folder that has one, too."""
    np.savez(project / "tiny.npz", **make_arrays(), class_names=np.array(LONG))
    folder = project / "images" / ("a folder of photographs " * 4).strip()
    folder.mkdir(parents=True)
    for number, pixels in enumerate(make_arrays()["x_test"][:2]):
        Image.fromarray(pixels).save(folder / f"number {number}.png")
    assert command("run", "tiny.yaml").code == 0
    return project


def test_predict_shortens_long_names_where_there_is_an_edge(
    long_named: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("predict", "tiny", "images", "--top", "4")
    whole = rows(command(*ask).out)
    assert all(sum(name in line for line in whole) == 2 for name in LONG)
    for columns in (80, 50):
        monkeypatch.setenv("COLUMNS", str(columns))
        seen = rows(command(*ask).out)
        assert len(seen) == 8
        assert len({cell_len(line) for line in seen}) == 1
        assert cell_len(seen[0]) <= columns
        classes = {line.removesuffix(" %").rsplit(maxsplit=1)[0].rpartition("  ")[2] for line in seen}
        assert len(classes) == 4
        assert len({line.partition("  ")[0] for line in seen if not line.startswith(" ")}) == 2


def test_plan_and_status_shorten_long_names_where_there_is_an_edge(
    long_named: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    heading, *lines = command("plan", "tiny.yaml", "--force", "specialist").out.splitlines()
    planned = [line for line in lines if line.startswith("specialist: ")]
    assert {cell_len(line) for line in planned} == {cell_len(heading)} == {80}
    assert len({line.partition(" run ")[0] for line in planned}) == 2
    told = [line for line in command("status", "tiny").out.splitlines() if line.startswith("  ")]
    assert len({line.partition("  done  ")[0] for line in told if "…" in line.partition("  done  ")[0]}) == 2
    assert max(map(cell_len, told)) <= 80

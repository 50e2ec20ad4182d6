"""Names of classes are anybody's: what they hold must neither steer the terminal nor break a table."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    short = [r"esc\x1b[…D\x1b[0m", SHOWN[1], SHOWN[2], "[bold]pl…n[/bold]"]  # long ones are cut in their middle
    assert [name for name in short if name not in named] == []


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

"""Results of other code have another version."""

import json
from pathlib import Path

import pytest

from pipeline.stage import Stage
from stages import STAGES
from tests.stages import versions

SOURCE = (
    '"""What it does."""\nfrom stages import helper\nfrom stages.parameters import limits\n\n\n'
    'def run():\n    """Return."""\n    return helper.one() + 1\n'
)


def project(folder: Path, **changes: str) -> Path:
    """A package with a stage `a`, which its helper and a module of `specialists` compute, and a stage `b` alone."""
    texts = {
        "stages/__init__.py": "from stages import parameters",
        "stages/parameters/__init__.py": "from stages.parameters.limits import LIMIT",
        "stages/parameters/limits.py": "LIMIT = 3",
        "stages/a.py": SOURCE,
        "stages/helper.py": "def one():\n    from specialists.maths import ONE\n    return ONE\n",
        "stages/b.py": "def run():\n    return 2\n",
        "specialists/__init__.py": "",
        "specialists/maths.py": "from . import errors\nONE = 1\n",
        "specialists/errors.py": "",
    } | {name.replace("__", "/") + ".py": text for name, text in changes.items()}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def stages(a: int = 1, b: int = 1) -> tuple[Stage, ...]:
    return (
        Stage("a", "stages.a:run", "stages.tasks:a", version=a),
        Stage("b", "stages.b:run", "stages.tasks:b", version=b),
        Stage("page", "stages.nowhere:run", "stages.tasks:page", kept=False),
    )


def complaint(folder: Path, a: int = 1, b: int = 1, **changes: str) -> str:
    """What is said when files and versions change after all was decided on."""
    record = versions.Code(project(folder)).record(stages())
    return versions.Code(project(folder, **changes)).complaint(record, stages(a, b))


def test_every_stage_is_computed_by_the_code_its_version_was_decided_for() -> None:
    told = versions.Code().complaint(versions.Record.read(versions.RECORD))
    assert not told, told


def test_modules_of_a_stage_are_all_that_it_imports(tmp_path: Path) -> None:
    found = versions.Code(project(tmp_path)).modules_of(stages()[0])
    assert found == {"stages.a", "stages.helper", "specialists.maths", "specialists.errors", "specialists"}


def test_a_change_that_changes_nothing_is_none(tmp_path: Path) -> None:
    other_words = SOURCE.replace("What it does", "Something").replace("Return.", "Go.").replace("+ 1", "+ (1)  # why")
    assert complaint(tmp_path, stages__a=other_words) == ""
    assert complaint(tmp_path, stages__parameters__limits="LIMIT = 4") == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stages__a", SOURCE.replace("+ 1", "+ 2")),
        ("stages__helper", "def one():\n    from specialists.maths import ONE\n    return -ONE\n"),
        ("specialists__maths", "from . import errors\nONE = 1.0\n"),
        ("specialists__errors", "import this"),
    ],
)
def test_a_change_asks_for_a_decision_on_the_stages_it_computes(tmp_path: Path, name: str, text: str) -> None:
    told = complaint(tmp_path, **{name: text})
    assert f"changed: {name.replace('__', '.')}\n" in told
    assert "whose version is as before: a (1)\n" in told
    assert "raise the stage's version in stages/__init__.py" in told
    assert "python -m tests.stages.versions --same-meaning" in told


def test_raised_versions_are_only_to_be_recorded(tmp_path: Path) -> None:
    told = complaint(tmp_path, a=2, stages__a=SOURCE.replace("+ 1", "+ 2"))
    assert told == "versions were raised: record them with\n    python -m tests.stages.versions"
    told = complaint(tmp_path, a=2, stages__a=SOURCE.replace("+ 1", "+ 2"), stages__b="def run():\n    return 3\n")
    assert "as before: b (1)" in told


def test_record_is_written_when_nothing_is_to_be_decided(tmp_path: Path) -> None:
    path, told = tmp_path / "versions.json", list[str]()
    assert versions.main(["--what"], path, told.append) == 2
    assert versions.main([], path, told.append) == 0  # all stages are new
    record = versions.Record.read(path)
    assert set(record.stages) == {stage.name for stage in STAGES if stage.kept}
    path.write_text(json.dumps({"stages": record.stages, "modules": record.modules | {"stages.data": "another"}}))
    assert versions.main([], path, told.append) == 1
    assert told[-1].startswith("changed: stages.data\n")
    assert versions.main(["--same-meaning"], path, told.append) == 0
    assert versions.Record.read(path) == record
    # A line each, so that branches that change different modules merge.
    assert len(path.read_text().splitlines()) == len(record.stages) + len(record.modules) + 6

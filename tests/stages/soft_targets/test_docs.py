"""The examples of docs/soft_targets.md do what they say."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "soft_targets.md"


@pytest.fixture
def examples():
    return re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)


def test_example_trains_a_model_in_under_thirty_lines(keep, examples, tmp_path, monkeypatch, capsys):
    (tmp_path / ".pipeline").symlink_to(keep(run="digits-20260101-000000-000").location)
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in examples:
        assert len(example.splitlines()) < 30
        exec(example, names)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert names["log_q"].shape[1] == 5

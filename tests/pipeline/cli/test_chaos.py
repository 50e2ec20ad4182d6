"""The short form of `benchmarks.chaos`: a fault in a run on a local Ray, then the same command again."""

import os
import random
import secrets
from pathlib import Path

import pytest

from benchmarks import chaos
from tests.pipeline.cli.conftest import make_project


def test_runs_after_faults_end_as_if_nothing_had_been(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a filesystem")
    config = str(make_project(tmp_path) / "tiny.yaml")
    root, mark = f"--set=data.root={tmp_path}", secrets.token_hex(8)
    with chaos.disk() as folder:
        process = chaos.start([config, root, "--set=ray.address=inline"], folder, mark)
        while process.poll() is None and not chaos.marked(mark):
            pass
        assert process.poll() is None, "its processes must be known by their mark"
        assert process.wait() == 0
        expected = chaos.outcome(folder)
    for fault, moment in (("full disk", 6.0), ("read-only disk", 4.0)):
        command = [config, root, "--set=ray.address=local"]
        found = chaos.trial(command, fault, moment, expected, random.Random(0))
        assert chaos.is_well(found), found

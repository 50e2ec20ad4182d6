import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Store


@pytest.fixture
def store(tmp_path):
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def recipe():
    return {"stage": "generalist", "seed": 1}


@pytest.fixture
def artifact():
    return Artifact({"weights": np.arange(100, dtype=np.float32)}, {"accuracy": 0.9})


@pytest.fixture
def small_store(store, recipe, artifact):
    """A store with one of everything."""
    other = {"stage": "subsets", "seed": 2}
    store.save(recipe, artifact, seconds=1.5)
    store.save(other, Artifact(facts={"subsets": [[3, 5], [4, 9]]}), seconds=0.1)
    store.record_run("digits-1", {"generalist": key_of(recipe), "subsets": key_of(other)})
    store.remember("digest of data/x.npz", "abc")
    return store


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a filesystem of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small filesystem")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip(f"cannot mount here: {mount.stderr}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def run_script():
    """Run a script beside this file in a fresh interpreter of one thread; return what it printed."""

    def run(name, *arguments):
        here, root = Path(__file__).parent, Path(__file__).parents[3]
        environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "error", str(here / name), *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run

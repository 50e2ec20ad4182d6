"""The tiny run's store, and somebody's logits for its data: 300 examples of 5 classes, of which views show 240."""

import numpy as np
import pytest

from pipeline.store import Store
from stages import tables
from stages.imported import bringing, files
from stages.soft_targets import SoftTargets
from tests.stages.soft_targets import conftest

artifacts, keep = conftest.artifacts, conftest.keep

N_EXAMPLES, N_CLASSES = 300, 5


def drawn(n_rows=N_EXAMPLES, n_columns=N_CLASSES, *, seed=0, dtype=np.float32):
    """Somebody's logits."""
    return (4 * np.random.default_rng(seed).normal(size=(n_rows, n_columns))).astype(dtype)


def softmax(logits):
    """The definition, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def store(keep):
    return Store.open(keep().location)


@pytest.fixture
def run(store):
    return store.runs()[0]


@pytest.fixture
def write(tmp_path):
    """Write arrays into files, and return these."""

    def write(**arrays):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return [tmp_path / f"{name}.npy" for name in arrays]

    return write


@pytest.fixture
def bring(store, run, write):
    """Import arrays as files."""

    def bring(logits, examples=None, views=None, *, name="clip", listed=None, meaning=None, **options):
        path, *_ = write(logits=logits)
        ids = {"examples": examples, "views": views}
        given = {key: write(**{key: value})[0] for key, value in ids.items() if value is not None}
        with files.opened(path, meaning, **given) as rows:
            return bringing.bring(store, run, name, rows, listed, **options)

    return bring


@pytest.fixture
def read(store):
    """Open an imported table."""

    def read(brought):
        table = tables.find(store, f"{brought.table.run.name}:{brought.table.name}")
        return SoftTargets.open(store.location, table.key)

    return read

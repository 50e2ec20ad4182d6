"""Data sets that people know, where the machine has them: tests of them are skipped where it has not."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of packed benchmark data: BENCHMARK_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("BENCHMARK_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "unpack.py").is_file():
        pytest.skip(f"no benchmark data in {folder}; BENCHMARK_DATA names another folder")
    return folder

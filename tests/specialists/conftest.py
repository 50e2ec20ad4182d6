import importlib.util
import sys
from pathlib import Path

import numba
import pytest

import specialists


@pytest.fixture(scope="session")
def interpreted():
    """The kernels as plain Python, so that coverage and numpy's warnings see into them."""
    modules = {}
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = True
    try:
        for name in ("forward_kl", "row_kernel"):
            path = Path(specialists.__file__).parent / f"{name}.py"
            spec = importlib.util.spec_from_file_location(f"interpreted_{name}", path)
            modules[name] = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = modules[name]
            spec.loader.exec_module(modules[name])
        modules["row_kernel"].forward_kl = modules["forward_kl"]
    finally:
        numba.config.DISABLE_JIT = before
    return modules

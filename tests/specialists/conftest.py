import importlib
import sys

import numba
import pytest

KERNELS = (
    "block",
    "elimination",
    "layouts",
    "patterns",
    "row_kernel",
    "forward_newton",
    "forward_kl",
    "reverse_kl",
    "forward_rows",
    "reverse_rows",
)


@pytest.fixture(scope="session")
def interpreted():
    """The kernels as plain Python, so that coverage and numpy's warnings see into them."""
    package = importlib.import_module("specialists")
    compiled = {name: importlib.import_module(f"specialists.{name}") for name in KERNELS}
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = True
    try:
        for name in KERNELS:
            del sys.modules[f"specialists.{name}"]
        return {name: importlib.import_module(f"specialists.{name}") for name in KERNELS}
    finally:
        numba.config.DISABLE_JIT = before
        for name, module in compiled.items():
            sys.modules[f"specialists.{name}"] = module
            setattr(package, name, module)

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specialists import forward_rows, reverse_rows

CALLEE = "from specialists.compiled import compiled\n\n\n@compiled\ndef number():\n    return {}\n"
ENTRY = """
import callee
from specialists.compiled import compiled_entry, is_kept, sources_digest


def kernel(sources):
    @compiled_entry
    def run():
        _ = sources
        return callee.number()

    return run


run = kernel(sources_digest(__file__, callee.__file__))
before = is_kept(run)
print(run(), sum(run.stats.cache_hits.values()), before, is_kept(run))
"""


def test_kept_code_is_used_again_and_forgotten_when_a_callee_changes(tmp_path):
    (tmp_path / "entry.py").write_text(ENTRY)

    def result(number):
        (tmp_path / "callee.py").write_text(CALLEE.format(number))
        path = os.pathsep.join([str(tmp_path), *sys.path])
        # Bytecode of a file that changes within a second, and not in length, is taken for that of the new one.
        own = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
        command = [sys.executable, str(tmp_path / "entry.py")]
        return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True).stdout.split()

    assert result(1) == ["1", "0", "False", "True"]
    assert result(1) == ["1", "1", "True", "True"]
    assert result(2)[:2] == ["2", "0"]


def imported(name, found=None):
    """All modules of `specialists` that a module imports, and those that they do."""
    found = set() if found is None else found
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "specialists":
            names = [f"specialists.{alias.name}" for alias in node.names]
            for module in names if node.module == "specialists" else [node.module]:
                if module not in found:
                    found.add(module)
                    imported(module, found)
    return found


@pytest.mark.parametrize("kernel", [forward_rows, reverse_rows])
def test_kernels_are_kept_by_a_digest_of_all_that_they_are_made_of(kernel):
    assert {module.__name__ for module in kernel._SOURCES} == imported(kernel.__name__)


def test_the_entry_that_has_no_digest_calls_nothing_of_another_module():
    assert imported("specialists.block") == {"specialists.compiled"}

"""Which code computes each stage, and whether it is what it was when the stage's version was last decided on.

    python -m tests.stages.versions                  after a version was raised in stages/__init__.py
    python -m tests.stages.versions --same-meaning   after a change that no result can come out otherwise by

Both write `versions.json`, beside this file: the versions of the stages, and a digest of each module that computes
something, a line each. Where two branches have changed it, take either side of a conflict and run the second command
on what they make together, if each has decided on its own changes.

A digest is of what Python makes of a module, without docstrings: comments and layout do not count. What makes recipes
does not either: a change there changes the recipes.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.stage import Stage
from stages import STAGES

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("versions.json")

PACKAGES = ("stages", "specialists")
RECIPES = ("stages.parameters", "stages.tasks", "stages.candidates")
"""Modules and packages whose values recipes hold; so does that of `stages`, the table of contents."""


@dataclass(frozen=True)
class Record:
    """What was decided on.

    Attributes:
        stages: The version of each stage.
        modules: The digest of each module that computes one.
    """

    stages: Mapping[str, int]
    modules: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Return what a file holds; nothing was decided on where there is none."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls({}, {})

    def write(self, path: Path) -> None:
        """Write it, a line for each stage and module."""
        path.write_text(json.dumps({"stages": self.stages, "modules": self.modules}, indent=1, sort_keys=True) + "\n")


class Code:
    """The code of a project, as it is now: a file is read once.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._imported: dict[str, set[str]] = {}

    def record(self, stages: Sequence[Stage] = STAGES) -> Record:
        """Return the versions and digests as they are."""
        modules = {module for stage in stages if stage.kept for module in self.modules_of(stage)}
        return Record(
            {stage.name: stage.version for stage in stages if stage.kept},
            {module: digest(self.path_of(module).read_text(encoding="utf-8")) for module in modules},
        )

    def complaint(self, record: Record, stages: Sequence[Stage] = STAGES) -> str:
        """Return what is to be decided, and how; empty where everything is as it was decided."""
        now = self.record(stages)
        if now == record:
            return ""
        names = now.modules.keys() | record.modules
        changed = {name for name in names if now.modules.get(name) != record.modules.get(name)}
        undecided = [
            f"{stage.name} ({stage.version})"
            for stage in stages
            if stage.kept and stage.version == record.stages.get(stage.name) and changed & self.modules_of(stage)
        ]
        if not undecided:
            return "versions were raised: record them with\n    python -m tests.stages.versions"
        return (
            f"changed: {', '.join(sorted(changed))}\n"
            f"stages that are computed by it, and whose version is as before: {', '.join(undecided)}\n"
            "where a result may come out otherwise, raise the stage's version in stages/__init__.py; then\n"
            "    python -m tests.stages.versions --same-meaning\n"
            "says that no result of the others can"
        )

    def modules_of(self, stage: Stage) -> set[str]:
        """Return the modules of ours that compute a stage: that of its function, and what it imports, and so on."""
        waiting, found = [stage.function.partition(":")[0]], set[str]()
        while waiting:
            module = waiting.pop()
            if module not in found and not _makes_recipes(module):
                found.add(module)
                waiting += self._imports(module)
        return found

    def path_of(self, module: str) -> Path:
        """Return the file of a module or package."""
        path = self._root.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _imports(self, module: str) -> set[str]:
        if module not in self._imported:
            path = self.path_of(module)
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            names = _imported(ast.parse(path.read_text(encoding="utf-8")), package.split("."))
            self._imported[module] = {
                name for name in names if name.split(".")[0] in PACKAGES and self.path_of(name).exists()
            }
        return self._imported[module]


def _makes_recipes(module: str) -> bool:
    """Whether recipes hold what a module says."""
    return module == "stages" or any(module == name or module.startswith(f"{name}.") for name in RECIPES)


def digest(source: str) -> str:
    """Return a digest of what Python makes of a module, without docstrings."""
    text = json.dumps(_plain(ast.parse(source)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _imported(tree: ast.AST, package: Sequence[str]) -> Iterator[str]:
    """Yield all names that a module of a package may import modules by, also late ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _plain(node: Any) -> Any:
    """Return a syntax tree as JSON holds it. Empty fields are left out: versions of Python differ in them."""
    if isinstance(node, ast.AST):
        fields = {name: _plain(value) for name, value in ast.iter_fields(node) if value not in (None, [], "")}
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            fields["body"] = fields["body"][1:]
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node if isinstance(node, str | int | float | bool) else repr(node)


def main(arguments: Sequence[str], path: Path = RECORD, tell: Callable[[str], object] = print) -> int:
    """Record how things are, unless something is to be decided first; return the exit code."""
    if list(arguments) not in ([], ["--same-meaning"]):
        tell(str(__doc__))
        return 2
    code = Code()
    told = code.complaint(Record.read(path))
    if not arguments and "--same-meaning" in told:
        tell(told)
        return 1
    code.record().write(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

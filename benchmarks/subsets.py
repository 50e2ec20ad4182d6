"""What the way of finding subsets is worth: the confusion they hold, and the ensemble they lead to.

    python -m benchmarks.subsets [--seeds 5] [--root FOLDER] [--set a.b=c ...]

On scikit-learn's digits, and with --root, a folder that holds Fashion-MNIST as torchvision keeps it, on its first
6,000 training and all its test examples. All methods of a seed share the
holdout and the generalist; `random` deals out subsets of the sizes that `confusion` finds. A difference is paired by
seed, its interval is Student's.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fashion, harness, seeds

METHODS = ("confusion", "covariance", "random")
FIGURES = {
    "held confusion": lambda result: sum(result["subsets"]["mass"]),
    "accuracy": lambda result: result["ensemble"]["accuracy"],
    "gain": lambda result: result["ensemble"]["accuracy"] - result["generalist"]["accuracy"],
    "nll": lambda result: result["ensemble"]["nll"],
    "active": lambda result: result["ensemble"]["mean_active"],
    "largest subset": lambda result: max(len(specialist["classes"]) for specialist in result["specialists"]),
}
LEAST_WORK = ("ray.address=inline", "controls=[]", "data.views=1", "student.epochs=1")
"""No figure here is of the student."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    options = parser.parse_args()
    figures: dict[str, Any] = {"seeds": options.seeds, "overrides": options.set}
    with tempfile.TemporaryDirectory() as folder:
        for name, config, place in _configs(Path(folder), options.root):
            changes = (*place, *options.set)
            results = {
                method: [_result(config, Path(folder), method, seed, changes) for seed in range(options.seeds)]
                for method in METHODS
            }
            figures[name] = _figures(results)
            _show(name, figures[name])
    harness.write("subsets", figures)


def _configs(folder: Path, root: Path | None) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Yield name and config of each data set, and where that is."""
    yield "digits", harness.ROOT / "pipeline.yaml", ()
    if root is not None:
        fashion.write(folder, root)
        yield "fashion", fashion.CONFIG, (f"data.root={folder}",)


def _result(config: Path, folder: Path, method: str, seed: int, overrides: Sequence[str]) -> dict[str, Any]:
    wanted = (*LEAST_WORK, f"seed={seed}", f"specialists.method={method}", *overrides)
    return harness.run(config, folder, *(f"--set={value}" for value in wanted))


def _figures(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    values = {
        method: {name: [float(of(result)) for result in found] for name, of in FIGURES.items()}
        for method, found in results.items()
    }
    return {
        "generalist accuracy": [result["generalist"]["accuracy"] for result in results["confusion"]],
        "methods": values,
        "confusion minus": {
            method: {name: seeds.paired(values["confusion"][name], values[method][name]) for name in FIGURES}
            for method in METHODS[1:]
        },
    }


def _show(name: str, figures: dict[str, Any]) -> None:
    rows = [[name, "held confusion %", "ensemble %", "gain", "NLL", "active", "largest subset"]]
    for method, values in figures["methods"].items():
        mean = {figure: float(np.mean(column)) for figure, column in values.items()}
        rows.append(
            [
                method,
                f"{100 * mean['held confusion']:.1f}",
                f"{100 * mean['accuracy']:.2f}",
                f"{100 * mean['gain']:+.2f}",
                f"{mean['nll']:.4f}",
                f"{mean['active']:.2f}",
                f"{mean['largest subset']:.1f}",
            ]
        )
    harness.print_table(rows)
    for method, differences in figures["confusion minus"].items():
        accuracy, nll = seeds.interval(differences["accuracy"], 100, 2), seeds.interval(differences["nll"], 1, 4)
        print(f"confusion minus {method}: {accuracy} points, {nll} NLL")


if __name__ == "__main__":
    main()

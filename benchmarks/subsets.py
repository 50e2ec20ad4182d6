"""What the way of finding subsets is worth: the confusion they hold, and the ensemble they lead to.

    python -m benchmarks.subsets [--seeds 5] [--data DIR] [--set a.b=c ...]

On scikit-learn's digits, and with --data, a folder that holds Fashion-MNIST as torchvision keeps it
(FashionMNIST/raw/*-ubyte), on its first 6,000 training and all its test examples. All methods of a seed share the
holdout and the generalist; `random` deals out subsets of the sizes that `confusion` finds. A difference is paired by
seed, its interval is Student's.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import harness

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
FASHION = """
name: fashion
data: {source: "npz:fashion.npz", root: FOLDER, augment: {shift: 1, flip: true}}
generalist: {model: {name: cnn, width: 16}, epochs: 10}
specialists: {count: 3, epochs: 8, learning_rate: 0.05}
"""
FASHION_TRAIN = 6000
IDX_HEADERS = {"images": 16, "labels": 8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="folder of FashionMNIST/raw")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    options = parser.parse_args()
    figures: dict[str, Any] = {"seeds": options.seeds, "overrides": options.set}
    with tempfile.TemporaryDirectory() as folder:
        for name, config in _configs(Path(folder), options.data):
            results = {
                method: [_result(config, Path(folder), method, seed, options.set) for seed in range(options.seeds)]
                for method in METHODS
            }
            figures[name] = _figures(results)
            _show(name, figures[name])
    harness.write("subsets", figures)


def _configs(folder: Path, data: Path | None) -> Iterator[tuple[str, Path]]:
    """Yield name and config of each data set."""
    yield "digits", harness.ROOT / "pipeline.yaml"
    if data is not None:
        raw = data / "FashionMNIST" / "raw"
        np.savez(
            folder / "fashion.npz",
            x_train=_idx(raw, "train-images")[:FASHION_TRAIN],
            y_train=_idx(raw, "train-labels")[:FASHION_TRAIN],
            x_test=_idx(raw, "t10k-images"),
            y_test=_idx(raw, "t10k-labels"),
        )
        config = folder / "fashion.yaml"
        config.write_text(FASHION.replace("FOLDER", str(folder)))
        yield "fashion", config


def _idx(folder: Path, name: str) -> NDArray[Any]:
    """Return images uint8 (examples, 28, 28), or labels int64 (examples,), of a file in the format of MNIST."""
    kind = name.partition("-")[2]
    (path,) = folder.glob(f"{name}-*-ubyte")
    values = np.frombuffer(path.read_bytes(), dtype=np.uint8, offset=IDX_HEADERS[kind])
    return values.reshape(-1, 28, 28) if kind == "images" else values.astype(np.int64)


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
            method: {name: _difference(values["confusion"][name], values[method][name]) for name in FIGURES}
            for method in METHODS[1:]
        },
    }


def _difference(values: list[float], others: list[float]) -> dict[str, float]:
    """Return the mean of paired differences, with its 95 % interval where there are several."""
    paired = np.subtract(values, others)
    found = {"mean": float(paired.mean())}
    if len(paired) > 1:
        half = float(stats.t.ppf(0.975, len(paired) - 1) * paired.std(ddof=1) / np.sqrt(len(paired)))
        found |= {"low": found["mean"] - half, "high": found["mean"] + half}
    return found


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
        accuracy, nll = differences["accuracy"], differences["nll"]
        print(f"confusion minus {method}: {100 * accuracy['mean']:+.2f} points, {nll['mean']:+.4f} NLL{_interval(nll)}")


def _interval(difference: dict[str, float]) -> str:
    return f" ({difference['low']:+.4f} to {difference['high']:+.4f})" if "low" in difference else ""


if __name__ == "__main__":
    main()

"""What distillation is worth: the distilled student against its controls, over seeds.

    python -m benchmarks.students [--config pipeline.yaml] [--seeds 0 1 2 3 4] [--folder FOLDER] [--set a.b=c ...]

In a folder that is given every seed keeps what it has made, and what `python -m benchmarks.worth` has made there is
taken: other students of the same teachers, say on 3 % of the examples, cost the students alone. Every seed draws its
own holdout, weights, orders and views; the test split is the same. A difference is paired: distilled and control share
the seed, the initial weights, the views and the number of steps. Its interval is Student's, over seeds.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness, seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=harness.ROOT / "pipeline.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--name", default="students")
    options = parser.parse_args()
    overrides = [f"--set={value}" for value in options.set]
    with tempfile.TemporaryDirectory() as temporary:
        results = [
            harness.run_seed(options.config, options.folder or Path(temporary), seed, *overrides)
            for seed in options.seeds
        ]
    models = {name: [of(result) for result in results] for name, of in _models(results[0]).items()}
    figures = {
        "config": options.config.name,
        "overrides": options.set,
        "seeds": options.seeds,
        "models": {name: seeds.over_seeds(values) for name, values in models.items()},
        "differences": {
            name: seeds.difference(models["student, distilled"], values)
            for name, values in models.items()
            if name.startswith("control")
        },
    }
    _show(figures)
    harness.write(options.name, figures)


def _models(result: dict[str, Any]) -> dict[str, Any]:
    """Return by name what takes a model's figures out of a run's results."""
    controls = [name for name in result["students"] if name != "distilled"]
    return {
        "generalist": lambda r: r["generalist"],
        "ensemble": lambda r: r["ensemble"],
        "student, distilled": lambda r: r["students"]["distilled"],
        **{f"control: {name}": lambda r, name=name: r["students"][name] for name in controls},
    }


def _show(figures: dict[str, Any]) -> None:
    rows = [["", "accuracy %", "deviation", "NLL", "deviation", "parameters"]]
    for name, model in figures["models"].items():
        accuracy = seeds.spread([100 * value for value in model["accuracy"]["values"]], 2)
        nll = seeds.spread(model["nll"]["values"], 4)
        rows.append([name, *accuracy, *nll, f"{model['parameters']:,}" if model["parameters"] else ""])
    harness.print_table(rows)
    for name, found in figures["differences"].items():
        points, nll = seeds.interval(found["accuracy"], 100, 2), seeds.interval(found["nll"], 1, 4)
        print(f"distilled minus {name}: {points} points of accuracy, {nll} NLL, {len(figures['seeds'])} seeds")


if __name__ == "__main__":
    main()

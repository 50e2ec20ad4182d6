"""When specialists help, and when soft targets do: one condition at a time is changed, over seeds.

    python -m benchmarks.conditions --root FOLDER --folder FOLDER [--seeds 0 1 2]

The first folder holds Fashion-MNIST as torchvision keeps it, of which the first 6,000 training images are taken and
all test images; in the second one every seed keeps what it has made, so that the same command goes on where it was.
A student of few examples does as many steps as one of all. Differences are paired by seed; the interval is
Student's. Nothing is chosen by these figures: they are what the test split says of settings that were fixed before.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import fashion, harness, seeds

CONDITIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "epochs of the generalist": {
        "2": ("generalist.epochs=2",),
        "5": ("generalist.epochs=5",),
        "10": (),
        "40": ("generalist.epochs=40",),
    },
    "specialists that answer": {
        "1": ("combine.active_classes=1",),
        "as many as there are": ("combine.active_classes=10",),
    },
    "width of the student": {
        "2": ("student.model.width=2",),
        "4": (),
        "8": ("student.model.width=8",),
        "16": ("student.model.width=16",),
    },
    "images of the student": {  # 2 and 4 steps an epoch, in place of 40
        "153": ("data.transfer.fraction=0.03", "student.epochs=800"),
        "510": ("data.transfer.fraction=0.1", "student.epochs=400"),
        "5,101": (),
    },
    "temperature": {
        "1": ("student.temperature=1",),
        "2": (),
        "4": ("student.temperature=4",),
        "8": ("student.temperature=8",),
    },
    "weight of the soft targets": {
        "0.5": ("student.alpha=0.5",),
        "0.9": (),
        "1": ("student.alpha=1",),
    },
}
"""What is changed, by its value; nothing is where it is the config's own."""

PAIRS = {
    "ensemble minus generalist": ("ensemble", "generalist"),
    "distilled minus labels": ("student, distilled", "student, hard"),
    "distilled minus the generalist's targets": ("student, distilled", "student, generalist"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    fashion.write(options.folder, options.root)
    figures = {
        group: {value: _figures(options.folder, options.seeds, changes) for value, changes in values.items()}
        for group, values in CONDITIONS.items()
    }
    _show(figures)
    harness.write("conditions", {"config": fashion.CONFIG.name, "seeds": options.seeds, "conditions": figures})


def _figures(folder: Path, wanted: list[int], changes: tuple[str, ...]) -> dict[str, Any]:
    """Return what models come to under a condition, and what is won by specialists and by soft targets."""
    overrides = [f"--set={change}" for change in (f"data.root={folder}", *changes)]
    results = [harness.run_seed(fashion.CONFIG, folder, seed, *overrides) for seed in wanted]
    models = {
        "generalist": [result["generalist"] for result in results],
        "ensemble": [result["ensemble"] for result in results],
        **{f"student, {name}": [r["students"][name] for r in results] for name in ("hard", "generalist", "distilled")},
    }
    return {
        "models": {name: seeds.over_seeds(values) for name, values in models.items()},
        "differences": {name: seeds.difference(models[one], models[other]) for name, (one, other) in PAIRS.items()},
    }


def _show(figures: dict[str, Any]) -> None:
    for measure, scale, digits in (("accuracy", 100, 2), ("nll", 1, 4)):
        rows = [[measure, "generalist", "student, labels", *PAIRS]]
        for group, values in figures.items():
            for value, found in values.items():
                alone = [found["models"][name][measure]["mean"] for name in ("generalist", "student, hard")]
                won = [seeds.interval(one[measure], scale, digits) for one in found["differences"].values()]
                rows.append([f"{group}: {value}", *(f"{scale * mean:.{digits}f}" for mean in alone), *won])
        harness.print_table(rows)


if __name__ == "__main__":
    main()

"""What specialists and soft targets are worth on a real data set, beside what a sceptic would train instead.

    python -m benchmarks.worth --config FILE --root FOLDER --folder FOLDER [--seeds 0 1 2] [--set a.b=c ...]

The root holds the data set; in the folder every seed keeps what it has made, so that the same command goes on where it
was, or only prints. Every seed draws its own holdout, weights, orders and views; the test split is the same. For each:
the generalist and each specialist on the same examples of its classes; the ensemble, and its gain by the number of
specialists that cover a class; the students. Two controls say what else the training of generalist and specialists
together would have paid for, counted in images that forward and backward passes were done for:

    longer      the generalist trained for so many more epochs, to the nearest one: the control at equal cost
    averaged    generalists of the given length, as many as that cost pays for, the nearest whole number (of two that
                are as near, the even one), but two at least; their probabilities averaged

So the averaged control costs what is nearest to the teachers, not the same: two generalists where these cost 2.2, 2.33
or 2.5, which leaves it somewhat under-funded. The JSON has both costs.

Both begin at the seed's own weights as the generalist does, the averaged ones at others as well. Differences are paired
by seed; the interval is Student's.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from benchmarks import harness, seeds
from pipeline import heap, runs
from pipeline.cli.kept import KeptRun
from pipeline.recipe import derive_seed
from pipeline.runs import RunFolder
from pipeline.stage import Artifact, Work, stage_of
from specialists.enrichment import epoch_size
from stages import comparison, generalist, network
from stages.data import training_rows
from stages.learning import metrics, training
from stages.learning.models import as_tensor
from stages.parameters import TeacherParameters

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROLS = "controls.json"


@dataclass(frozen=True)
class Cost:
    """What a seed's teachers were trained on, in images.

    Attributes:
        generalist: Of the generalist.
        specialists: Of all specialists.
    """

    generalist: int
    specialists: int

    @property
    def ratio(self) -> float:
        """What all teachers cost, in generalists."""
        return 1 + self.specialists / self.generalist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--name", help="of the JSON; that of the config by default")
    options = parser.parse_args()
    common = [f"--set=data.root={options.root}", *(f"--set={value}" for value in options.set)]
    measured = []
    for seed in options.seeds:
        results = harness.run_seed(options.config, options.folder, seed, *common)
        controls = _controls(harness.place(options.config, options.folder, seed), seed)
        measured.append({"seed": seed, "results": results, **controls})
    figures = _figures(measured) | {"config": options.config.name, "overrides": options.set, "seeds": options.seeds}
    _show(figures)
    harness.write(options.name or options.config.stem, figures)


def _controls(place: Path, seed: int) -> dict[str, Any]:
    """Return what the controls of a seed come to on the test split, trained now or kept, and the gain by cover."""
    run = KeptRun(next(runs.newest_first(place / "runs")))
    return {"by_cover": _by_cover(run)} | _kept_controls(run, seed, place / CONTROLS)


def _kept_controls(run: KeptRun, seed: int, kept: Path) -> dict[str, Any]:
    """Return the figures of the controls; they are those of a file, as long as the teachers are the same."""
    teachers = {name: key for name, key in run.keys.items() if stage_of(name) in ("generalist", "specialist")}
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found.get("teachers") == teachers:
            return found
    found = {"teachers": teachers} | _trained_controls(run, seed)
    kept.write_text(json.dumps(found))
    return found


def _trained_controls(run: KeptRun, seed: int) -> dict[str, Any]:
    labels = np.asarray(run.artifact("data[test]").arrays["labels"])
    cost, parameters = _cost(run, run.artifact("data[train]")), run.config.generalist
    n_averaged = max(2, round(cost.ratio))
    longer = parameters.model_copy(update={"epochs": round(parameters.epochs * cost.ratio)})
    wanted = [(longer, 0), *((parameters, number) for number in range(n_averaged))]
    # One process each, as many at once as there are cores for: as the specialists have it, whose cost this is to match.
    at_once = max(1, len(os.sched_getaffinity(0)) // parameters.threads)
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        trained = [pool.submit(_scores, run.folder, one, seed, number) for one, number in wanted]
        of_longer, *averaged = (future.result() for future in trained)
    together = logsumexp(averaged, axis=0) - np.log(n_averaged)
    return {
        "cost": asdict(cost) | {"ratio": cost.ratio, "averaged": n_averaged, "longer_epochs": longer.epochs},
        "longer": comparison.measured(of_longer, labels),
        "averaged": comparison.measured(together, labels),
    }


def _scores(folder: RunFolder, parameters: TeacherParameters, seed: int, number: int) -> NDArray[np.float64]:
    """Train a generalist on a run's data; return its log-probabilities of the test split, (examples, classes)."""
    run = KeptRun(folder)
    work = Work(derive_seed(seed, "generalist", str(number) if number else ""), parameters.threads)
    augment = run.config.data.augment
    with heap.kept():  # as where a run's tasks are done
        net = generalist.train(dataset=run.artifact("data[train]"), generalist=parameters, augment=augment, work=work)
        images = as_tensor(run.artifact("data[test]").arrays["images"]).to(training.device())
        scores: NDArray[np.float64] = network.predict(net, images).double().log_softmax(1).numpy(force=True)
    return scores


def _cost(run: KeptRun, dataset: Artifact) -> Cost:
    """Count the images that the teachers of a run were trained on."""
    rows = training_rows(dataset)
    labels, wanted = np.asarray(dataset.arrays["labels"])[rows], run.config.specialists
    inside = [int(np.isin(labels, subset).sum()) for subset in _subsets(run)]
    shown = sum(epoch_size(n, wanted.fraction) for n in inside)
    return Cost(run.config.generalist.epochs * len(rows), wanted.epochs * shown)


def _subsets(run: KeptRun) -> list[list[int]]:
    return [run.facts(task)["subset"] for task in run.keys if task.startswith("specialist[")]


def _by_cover(run: KeptRun) -> dict[str, dict[str, int]]:
    """Return test examples, and how many generalist and ensemble get right, by the number of covering specialists."""
    arrays, n_classes = run.artifact("evaluate").arrays, len(run.facts("data[train]")["class_names"])
    labels = np.asarray(arrays["labels"])
    covering = np.array([sum(c in subset for subset in _subsets(run)) for c in range(n_classes)])[labels]
    right = {name: metrics.correct(np.asarray(arrays[name]), labels) for name in ("generalist", "ensemble")}
    return {
        str(n): {"examples": int((covering == n).sum())}
        | {name: int(is_right[covering == n].sum()) for name, is_right in right.items()}
        for n in np.unique(covering).tolist()
    }


def _figures(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means, deviations and paired differences over seeds."""
    models: dict[str, Callable[[dict[str, Any]], dict[str, float]]] = {
        "generalist": lambda s: s["results"]["generalist"],
        "control: generalist trained longer": lambda s: s["longer"],
        "control: generalists averaged": lambda s: s["averaged"],
        "ensemble with specialists": lambda s: s["results"]["ensemble"],
        **{f"student, {n}": lambda s, n=n: s["results"]["students"][n] for n in measured[0]["results"]["students"]},
    }
    values = {name: [of(seed) for seed in measured] for name, of in models.items()}
    pairs = [
        ("ensemble with specialists", "generalist"),
        ("ensemble with specialists", "control: generalist trained longer"),
        ("ensemble with specialists", "control: generalists averaged"),
        ("student, distilled", "student, hard"),
        ("student, distilled", "student, generalist"),
    ]
    return {
        "models": {name: seeds.over_seeds(of) for name, of in values.items()},
        "differences": (
            {f"{one} minus {other}": seeds.difference(values[one], values[other]) for one, other in pairs}
            if len(measured) > 1
            else {}
        ),
        "costs": [seed["cost"] for seed in measured],
        "specialists": [_specialists(seed["results"]) for seed in measured],
        "by_cover": _summed([seed["by_cover"] for seed in measured]),
        "seconds": [sum(seed["results"]["seconds"].values()) for seed in measured],
    }


def _specialists(results: dict[str, Any]) -> list[dict[str, float]]:
    """Return of each specialist its accuracy among its classes, and the generalist's on the same examples."""
    names = ("conditional_accuracy", "generalist_conditional_accuracy", "dustbin_recall")
    return [{name: one[name] for name in names} | {"classes": len(one["classes"])} for one in results["specialists"]]


def _summed(covers: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Return counts by cover, summed over seeds."""
    names = sorted({n for cover in covers for n in cover}, key=int)
    nothing = {"examples": 0, "generalist": 0, "ensemble": 0}
    return {n: {k: sum(cover.get(n, nothing)[k] for cover in covers) for k in nothing} for n in names}


def _show(figures: dict[str, Any]) -> None:
    rows = [["", "accuracy %", "deviation", "NLL", "deviation", "ECE"]]
    for name, model in figures["models"].items():
        accuracy = seeds.spread([100 * value for value in model["accuracy"]["values"]], 2)
        rows.append([name, *accuracy, *seeds.spread(model["nll"]["values"], 4), f"{model['ece']['mean']:.4f}"])
    harness.print_table(rows)
    for name, found in figures["differences"].items():
        points, nll = found["accuracy"], found["nll"]
        print(f"{name}: {seeds.interval(points, 100, 2)} points of accuracy, {seeds.interval(nll, 1, 4)} NLL")
    gains = [
        one["conditional_accuracy"] - one["generalist_conditional_accuracy"]
        for s in figures["specialists"]
        for one in s
    ]
    print(
        f"specialists on their own classes, minus the generalist: {100 * np.mean(gains):+.2f} points on average,"
        f" {100 * min(gains):+.2f} to {100 * max(gains):+.2f}, {sum(g > 0 for g in gains)} of {len(gains)} above 0"
    )
    rows = [["specialists that cover a class", "examples", "gained", "relative %"]]
    for n, seen in figures["by_cover"].items():
        gained = seen["ensemble"] - seen["generalist"]
        relative = f"{100 * gained / seen['generalist']:+.2f}" if seen["generalist"] else "-"
        rows.append([n, f"{seen['examples']:,}", f"{gained:+d}", relative])
    harness.print_table(rows)
    print(f"teachers cost {np.mean([cost['ratio'] for cost in figures['costs']]):.2f} generalists")
    print(f"task seconds of a seed: {', '.join(f'{seconds:.0f}' for seconds in figures['seconds'])}")


if __name__ == "__main__":
    main()

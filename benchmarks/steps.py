"""How fast a training step is: against a bare loop, with labels, with soft targets from the cache, and with live ones.

    python -m benchmarks.steps [--model cnn --width 16] [--batch 128] [--precision fp32] [--augment colour]

Random 32 x 32 colour images of 100 classes, with their view and table kept in a store, whose files are mapped as a task
has them: they are in the system's cache, as after a first epoch. Untrained teachers: a generalist, and five specialists
of 20 classes each, of which those are asked that hold one of the two likeliest classes. Compared are, by images a
second:

    bare        forward, backward and step on one normalised batch that lies on the device, nothing else
    synthetic   the program's loop on that batch
    labels      the program's loop on views of the data set, with labels
    cached      the same with soft targets out of the table, which lies on the device
    streamed    the same with images and table read batch by batch out of those files, as when they do not fit
    live        the same with soft targets that the teachers make for every batch

All take turns, for some rounds, each with two epochs of some steps a round, of which the second is timed: the first one
tries algorithms, compiles, captures and fills caches. Told are the median over the rounds, and the median of the ratios
within a round, whose arms are neighbours in time. On a GPU seconds are those of the clock; on a CPU those that the
process computed, so that it matters less what else the machine does. `bare` has neither graphs nor compiled code
unless --compile says so: it is what most training scripts do.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import harness
from pipeline import heap
from pipeline.stage import Artifact, Work
from pipeline.store import Store
from stages import fitting, network, soft_targets, teachers
from stages.learning import training
from stages.learning.batches import Batch
from stages.learning.objectives import labels_loss, soft_targets_loss
from stages.learning.settings import Settings
from stages.parameters import AugmentParameters, CombineParameters, ModelParameters
from stages.shown import Pixels, Shown, replayed_view
from stages.views import draw

N_CLASSES, SIDE, SUBSET = 100, 32, 20
ROOM = 2**40
"""A budget that everything fits."""
EPOCHS = 2
"""Of a round; the last one is timed."""

Round = Callable[[], float]
"""Does a round of an arm, and returns the seconds of its last epoch."""


@dataclass(frozen=True)
class Bench:
    """What is compared on.

    Attributes:
        dataset: The training half, as a store gives it.
        resident: Its images, on the device.
        view: One view of it.
        tables: The soft targets, in one shard.
        ensemble: The teachers.
        options: The command line's.
        numbers: Of the epochs: each shows other images.
    """

    dataset: Artifact
    resident: Pixels
    view: Artifact
    tables: list[Artifact]
    ensemble: Callable[[Tensor], Tensor]
    options: argparse.Namespace
    numbers: Iterator[int] = field(default_factory=count)

    def epoch(self) -> fitting.Epoch:
        """Return an epoch of the view, in an order of its own, as far as steps are timed."""
        n_examples = self.options.batch * self.options.steps
        order = fitting.permutation(self.view.facts["rows"], Work(), next(self.numbers))[:n_examples]
        shown, parameters = replayed_view(self.view, order)
        return fitting.Epoch(shown, self.dataset.arrays["labels"][shown], parameters)


@dataclass(frozen=True)
class Asked:
    """Soft targets that teachers make when a batch is shown."""

    shown: Shown
    ensemble: Callable[[Tensor], Tensor]

    def __getitem__(self, rows: slice) -> Tensor:
        return self.ensemble(self.shown[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--width", type=int, default=None)
    parser.add_argument("--teacher", default="cnn")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--augment", default="colour")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-graph", action="store_true", help="on a GPU, launch kernels one by one")
    parser.add_argument("--name", default="steps")
    options = parser.parse_args()
    if options.images < options.batch * options.steps:
        parser.error(
            f"--images must be those of --steps or more, {options.batch * options.steps}; got {options.images}"
        )
    training.use_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="steps-") as folder, heap.kept():
        bench = make_bench(Store.open(folder), options)
        arms = {
            "bare": bare(bench),
            "synthetic": synthetic(bench),
            "labels": of_views(bench, bench.resident),
            "cached": of_views(bench, bench.resident, soft=True),
            "streamed": of_views(bench, Pixels.of(bench.dataset), soft=True),
            "live": live(bench),
        }
        figures = measured(arms, options)
    show(figures)
    harness.write(options.name, {"options": vars(options), "device": device_name(), **figures})


def make_bench(store: Store, options: argparse.Namespace) -> Bench:
    """Return a random data set, a view of it, a table, and teachers; what is read in training comes out of a store."""
    random = np.random.default_rng(0)
    n_examples = options.images
    names = [f"class {c}" for c in range(N_CLASSES)]
    dataset = Artifact(
        {
            "images": random.integers(0, 256, (n_examples, SIDE, SIDE, 3), dtype=np.uint8),
            "labels": random.integers(0, N_CLASSES, n_examples),
            "holdout": np.zeros(n_examples, dtype=np.bool_),
        },
        {"class_names": names, "mean": [0.5] * 3, "std": [0.25] * 3},
    )
    view = draw(dataset=dataset, augment=AugmentParameters.model_validate(options.augment), view=0, work=Work())
    logits = torch.from_numpy(random.normal(0.0, 4.0, (n_examples, N_CLASSES)).astype(np.float32))
    table = soft_targets.dense_shard(
        logits, teacher="combined", view=0, start=0, examples=n_examples, classes=N_CLASSES, subset=None
    )
    kept, view, table = (
        through(store, name, made) for name, made in (("data", dataset), ("view", view), ("table", table))
    )
    return Bench(kept, Pixels.of(kept, budget=ROOM), view, [table], make_teachers(kept, options), options)


def through(store: Store, name: str, made: Artifact) -> Artifact:
    """Keep an artifact, and return it as a task has it, its arrays mapped from a file."""
    return store.load(store.save({"name": name}, made, seconds=0.0))


def make_teachers(dataset: Artifact, options: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    """Return what gives the logarithm of the untrained ensemble's probabilities of pixels."""
    model = ModelParameters(name=options.teacher)
    parts = [list(range(start, start + SUBSET)) for start in range(0, N_CLASSES, SUBSET)]
    nets = []
    for seed, subset in enumerate([None, *parts]):
        outputs = N_CLASSES if subset is None else SUBSET + 1
        description = network.describe(model, outputs=outputs, dataset=dataset)
        facts = {"subset": subset, "prior_correction": 0.0} if subset else {}
        nets.append(network.to_artifact(network.build(description, seed=seed), description, facts))
    together = teachers.networks(nets[0], nets[1:], CombineParameters())
    return lambda pixels: together(pixels).probs.log().float().to(pixels.device)


def settings(bench: Bench) -> Settings:
    """Return the settings of one round."""
    options = bench.options
    return Settings(
        EPOCHS,
        options.steps,
        learning_rate=1e-4,
        precision=options.precision,
        compile=options.compile,
        cuda_graph=not options.no_graph,
    )


def make_student(bench: Bench) -> torch.nn.Module:
    """Return a student on the device."""
    model = ModelParameters(name=bench.options.model, width=bench.options.width)
    description = network.describe(model, outputs=N_CLASSES, dataset=bench.dataset)
    return network.build(description, seed=0).to(training.device())


def one_batch(bench: Bench) -> Batch:
    """Return a normalised batch that lies on the device."""
    return next(bench.epoch().batches(bench.resident, bench.options.batch))


def bare(bench: Bench) -> Round:
    """Return a round of a loop that does what a step needs and no more."""
    model, batch = make_student(bench).to(memory_format=torch.channels_last).train(), one_batch(bench)
    step = torch.compile(model, dynamic=False) if bench.options.compile else model
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    images = batch.images.contiguous(memory_format=torch.channels_last)
    is_half = bench.options.precision == "bf16"

    def epoch() -> None:
        for _ in range(bench.options.steps):
            with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=is_half):
                logits = step(images)
            loss = functional.cross_entropy(logits.float(), batch.labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        loss.item()

    def run() -> float:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for _ in range(EPOCHS):
                started = clock()
                epoch()
        return clock() - started

    return run


def synthetic(bench: Bench) -> Round:
    """Return a round of the program's loop on one batch."""
    model, batch = make_student(bench), one_batch(bench)
    return lambda: fit(bench, model, lambda: iter([batch] * bench.options.steps), labels_loss)


def of_views(bench: Bench, pixels: Pixels, *, soft: bool = False) -> Round:
    """Return a round of the program's loop on a view, with labels or with soft targets out of the table."""
    model = make_student(bench)
    if not soft:
        return lambda: fit(bench, model, lambda: batches_of(bench.epoch(), pixels, bench.options.batch), labels_loss)
    kept = soft_targets.SoftTargets(bench.tables, [bench.view], bench.dataset)
    table = soft_targets.TrainingTargets(kept, pixels.device, is_resident=pixels.resident is not None)

    def batches() -> Iterator[Batch]:
        epoch = bench.epoch()
        with_targets = replace(epoch, log_q=table.log_q(epoch.examples, 0, 4.0))
        return batches_of(with_targets, pixels, bench.options.batch)

    return lambda: fit(bench, model, batches, distillation)


def batches_of(epoch: fitting.Epoch, pixels: Pixels, batch_size: int) -> Iterator[Batch]:
    """Return the batches of an epoch, made as a training makes them."""
    together = fitting.batches_together(pixels, batch_size)
    return fitting.in_time(epoch.batches(pixels, batch_size, together=together), pixels)


def live(bench: Bench) -> Round:
    """Return a round of the program's loop on a view, with soft targets that the teachers make as they are wanted."""
    model, pixels = make_student(bench), bench.resident

    def batches() -> Iterator[Batch]:
        epoch = bench.epoch()
        asked = replace(epoch, log_q=Asked(pixels.show(epoch.examples, epoch.view), bench.ensemble))
        return batches_of(asked, pixels, bench.options.batch)

    return lambda: fit(bench, model, batches, distillation)


def distillation(logits: Tensor, batch: Batch) -> Tensor:
    """Return the student's loss."""
    return soft_targets_loss(logits, batch.labels, batch.log_q, temperature=4.0, alpha=0.9)


def fit(
    bench: Bench,
    model: torch.nn.Module,
    batches: Callable[[], Iterator[Batch]],
    objective: Callable[[Tensor, Batch], Tensor],
) -> float:
    """Train for one round, and return the seconds of its last epoch."""
    ends: list[float] = []  # of epochs: each reads its losses, which waits for the device

    def note_end(_: object) -> None:
        ends.append(clock())

    training.fit(model, lambda _, __: batches(), objective, settings(bench), progress=note_end)
    return ends[-1] - ends[-2]


def clock() -> float:
    """Return the seconds that are told of."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def measured(arms: dict[str, Round], options: argparse.Namespace) -> dict[str, object]:
    """Return images a second of each arm, and how they compare."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, run in arms.items():
            seconds[name].append(run())
    n_images = options.batch * options.steps
    return {
        "images_per_second": {name: round(n_images / median(values)) for name, values in seconds.items()},
        "milliseconds_per_step": {
            name: round(1000 * median(values) / options.steps, 3) for name, values in seconds.items()
        },
        "ratios": {
            "synthetic / bare (speed)": ratio(seconds["bare"], seconds["synthetic"]),
            "labels / bare (speed, goal 0.95 or more)": ratio(seconds["bare"], seconds["labels"]),
            "labels / synthetic (speed)": ratio(seconds["synthetic"], seconds["labels"]),
            "cached / labels (time, goal 1.05 or less)": ratio(seconds["cached"], seconds["labels"]),
            "streamed / cached (time)": ratio(seconds["streamed"], seconds["cached"]),
            "live / cached (time)": ratio(seconds["live"], seconds["cached"]),
        },
    }


def ratio(above: list[float], below: list[float]) -> float:
    """Return the median ratio of two arms within a round."""
    return round(median(a / b for a, b in zip(above, below, strict=True)), 3)


def show(figures: dict[str, object]) -> None:
    speeds, steps = figures["images_per_second"], figures["milliseconds_per_step"]
    rows = [["", "images/s", "ms a step"]]
    harness.print_table(rows + [[name, f"{speeds[name]:,}", f"{steps[name]:.2f}"] for name in speeds])
    for name, value in figures["ratios"].items():
        print(f"{name}: {value:.3f}")


def device_name() -> str:
    """Return what it was measured on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()

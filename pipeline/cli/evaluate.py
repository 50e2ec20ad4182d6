"""`evaluate`: measures all models of a run, on its test split or on another labelled set."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from pipeline.cli.kept import KeptRun
from pipeline.cli.sizes import Size, scaled
from pipeline.cli.tables import print_json, say, show_models, warn
from pipeline.counted import counted, first_of
from pipeline.errors import ConfigError, did_you_mean
from pipeline.recipe import task_seed
from pipeline.stage import Artifact, Work, imported
from stages import STAGES

if TYPE_CHECKING:
    from stages.labelled import Labelled

PARTS = ("train", "test", "all")
_SHOWN = 5
"""How many classes or files are named."""


def evaluate(run: KeptRun, source: str | None, *, root: Path, part: str | None, as_json: bool) -> None:
    """Print how good all models of a run are.

    Args:
        run: The run.
        source: Another data set with the run's classes, as a config names one; None for the run's test split.
        root: Folder that a relative path of the source starts from.
        part: Which part of that set: `train`, `test` or `all`.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: There is no such part, or the other set is not one that the models can be measured on.
        StageError: A network cannot be made again, such as one of a function whose module has changed.
        StoreError: The run ended early, or its results are no longer in the store.
    """
    _check(source, part)
    task = run.task("evaluate")
    inputs = run.networks(task)
    found = None if source is None else _other_set(inputs["generalist"], run, source, root, part)
    if found is not None:
        inputs["test"] = found.artifact
    stage = next(stage for stage in STAGES if stage.name == task.stage)
    work = Work(seed=task_seed(task, run.config.seed), threads=task.threads)
    facts = dict(imported(stage.function)(**inputs, **task.arguments, work=work).facts)
    measured_on = facts.pop("measured_on")
    facts["data"] = {"source": source or "the run's test split", "examples": len(inputs["test"].arrays["labels"])}
    if found is not None:
        taken = _taken(inputs["generalist"])
        facts["data"] |= {
            "scaled": sum(size != taken for size in found.sizes),
            "classes_without_examples": found.lacking,
            "left_out": found.left_out,
        }
        for told in _told(found, taken):
            warn(told)
    if as_json:
        print_json(facts | {"measured_on": measured_on})
        return
    # The name of a set may be longer than a column has room for.
    show_models(Console(), facts, "on the given set" if source else "on the test split")
    of_what = f" of {source}" if source else ""
    say(f"{run.name}: {facts['data']['examples']:,} examples{of_what}; times measured on {measured_on['device']}")


def _check(source: str | None, part: str | None) -> None:
    if part is not None and part not in PARTS:
        raise ConfigError(
            f"--split: must be {', '.join(PARTS[:-1])} or {PARTS[-1]}; got '{part}'{did_you_mean(part, PARTS)}"
        )
    if part is not None and source is None:
        raise ConfigError("--split: must come with --data; of its own data a run is measured on the test split")


def _taken(generalist: Artifact) -> Size:
    """Return the height and width of the images that the networks take."""
    height, width = generalist.facts["network"]["image_size"]
    return height, width


def _told(found: "Labelled", taken: Size) -> Iterator[str]:
    """Yield what became of another set where that is not what its owner may expect."""
    if told := scaled(found.sizes, taken):
        yield told
    if found.lacking:
        yield f"without an example: {_some(found.lacking, 'class', 'classes')}"
    if found.left_out:
        yield f"left out, for no image of a class's folder: {_some(found.left_out, 'file', 'files')}"


def _check_place(source: str, root: Path, of_run: Path) -> None:
    """Check that a set is not asked for from elsewhere, while it is where the run's own was looked for."""
    kind, _, name = source.partition(":")
    if kind in _ON_DISK and not (root / name).exists() and (of_run / name).exists():
        place = of_run / name if root == Path() else (of_run / name).absolute()
        raise ConfigError(
            f"--data: {source} must be {_ON_DISK[kind]}; got none at {(root / name).absolute()}; did you mean"
            f" '{kind}:{place}'?"
        )


_ON_DISK = {"npz": "a file", "folder": "a folder"}
"""What a source of these kinds is, whose path starts from a root."""


def _some(names: Sequence[str], one: str, many: str) -> str:
    """Return how many there are, and the first of them."""
    return f"{counted(len(names), one, many)} ({first_of(names, _SHOWN)})"


def _other_set(generalist: Artifact, run: KeptRun, source: str, root: Path, part: str | None) -> "Labelled":
    from stages.labelled import Part, Wanted, load  # noqa: PLC0415  # brings numpy

    _check_place(source, root, Path(run.config.data.root))
    channels = generalist.facts["network"]["channels"]
    wanted = Wanted(run.facts("data[train]")["class_names"], _taken(generalist), channels)
    return load(source, root, cast("Part | None", part), wanted)

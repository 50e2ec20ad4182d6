"""`evaluate`: measures all models of a run, on its test split or on another labelled set."""

from pathlib import Path
from typing import Any, cast

from rich.console import Console

from pipeline.cli.kept import KeptRun
from pipeline.cli.tables import models_table, say
from pipeline.errors import ConfigError, did_you_mean
from pipeline.recipe import task_seed
from pipeline.stage import Artifact, Work, imported
from stages import STAGES

PARTS = ("train", "test", "all")


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
        StoreError: The run ended early, or its results are no longer in the store.
    """
    _check(source, part)
    task = run.task("evaluate")
    inputs = run.inputs(task)
    if source is not None:
        inputs["test"] = _other_set(inputs["generalist"], run, source, root, part)
    stage = next(stage for stage in STAGES if stage.name == task.stage)
    work = Work(seed=task_seed(task, run.config.seed), threads=task.threads)
    facts = dict(imported(stage.function)(**inputs, **task.arguments, work=work).facts)
    measured_on = facts.pop("measured_on")
    facts["data"] = {"source": source or "the run's test split", "examples": len(inputs["test"].arrays["labels"])}
    if as_json:
        Console().print_json(data=facts | {"measured_on": measured_on})
        return
    Console().print(models_table(facts, f"on {source or 'the test split'}"))
    say(f"{facts['data']['examples']:,} examples; times measured on {measured_on['device']}")


def _check(source: str | None, part: str | None) -> None:
    if part is not None and part not in PARTS:
        raise ConfigError(
            f"--split: must be {', '.join(PARTS[:-1])} or {PARTS[-1]}; got '{part}'{did_you_mean(part, PARTS)}"
        )
    if part is not None and source is None:
        raise ConfigError("--split: must come with --data; of its own data a run is measured on the test split")


def _other_set(generalist: Artifact, run: KeptRun, source: str, root: Path, part: str | None) -> Artifact:
    from stages.labelled import Part, Wanted, load  # noqa: PLC0415  # brings numpy

    network: dict[str, Any] = generalist.facts["network"]
    height, width = network["image_size"]
    wanted = Wanted(run.facts("data[train]")["class_names"], (height, width), network["channels"])
    return load(source, root, cast("Part | None", part), wanted)

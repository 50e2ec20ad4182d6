"""The commands that look and change nothing: `plan`, `validate`, `status`."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from pipeline import runs
from pipeline.cli.compose import compose, stages_named
from pipeline.cli.tables import plan_table, say
from pipeline.display import faults_of, render
from pipeline.planner import plan


def show_plan(config: Path, overrides: Sequence[str], force: Sequence[str], *, as_json: bool) -> None:
    """Print what a run would do about every task, and why."""
    composition = compose(config, overrides)
    with composition.placing():
        steps = plan(composition.graph(), fresh=frozenset(stages_named("--force", force)), history=composition.history)
    console = Console()
    if as_json:
        console.print_json(data=[asdict(step) for step in steps])
        return
    console.print(plan_table(steps))
    n_reused = sum(step.action == "reuse" for step in steps)
    say(f"{n_reused} to reuse, {len(steps) - n_reused} to run")


def validate(config: Path, overrides: Sequence[str]) -> None:
    """Print that a config is right, and so its data set, or raise what is wrong with them."""
    composition = compose(config, overrides, load=True)
    say(f"{config}: right; the run is named {composition.config.name}")
    contents = composition.data.contents
    if contents is not None:
        size = " x ".join(map(str, contents.image_shape))
        counts = f"{contents.train:,} training and {contents.test:,} test images of {size}"
        say(f"{composition.config.data.source}: {counts}, {len(contents.class_names)} classes")


def show_status(base: Path, run: str | None, *, as_json: bool) -> None:
    """Print how far a run is."""
    folder = runs.find(base, run)
    state = folder.state()
    console = Console()
    if as_json:
        console.print_json(data={"folder": str(folder.path), **asdict(state)})
        return
    say(f"{folder.path}: {state.status}")
    console.print(render(state, time.time(), faults=False, everything=True))
    for fault in faults_of(state):
        say(fault)

"""The commands that look and change nothing: `validate` and `status`."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline import runs
from pipeline.cli import given, kept
from pipeline.cli.compose import compose
from pipeline.cli.tables import console_for_rows, print_json, say
from pipeline.display import faults_of, render


def validate(config: Path, overrides: Sequence[str]) -> None:
    """Print that a config is right, and so its data set and the user's networks, or raise what is wrong with them."""
    composition = compose(config, overrides, load=True, reach=True, build=True)
    say(f"{config}: right; the run is named {composition.config.name}")
    contents = composition.data.contents
    if contents is not None:
        size = " x ".join(map(str, contents.image_shape))
        counts = f"{sum(contents.class_counts):,} training and {contents.test:,} test images of {size}"
        say(f"{composition.config.data.source}: {counts}, {len(contents.class_names)} classes")
    graph = composition.graph("data")
    graph.advance()
    for message in given.warnings_of(composition, graph, load=True):
        say(f"warning: {message}")


def show_status(base: Path, run: str | None, *, as_json: bool) -> None:
    """Print how far a run is."""
    folder = runs.find(base, run)
    state = folder.state()
    if as_json:
        print_json({"folder": str(folder.path), **asdict(state)})
        return
    part = kept.part_of(state) if state.status == "done" else ""
    lost = kept.lost_files(folder, state)
    say(
        f"{folder.path}: {state.status}{f', as far as was asked for: {part}' if part else ''}{lost and f', but {lost}'}"
    )
    console = console_for_rows()
    console.print(render(state, time.time(), width=console.width, faults=False, everything=True))
    for fault in faults_of(state):
        say(fault)
    if state.status == "interrupted":
        say(f"what is done is kept: {kept.going_on(folder, state)}")
    if part:
        say("what is done is kept: the same command without --until or --only goes on from there")

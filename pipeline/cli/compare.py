"""`compare`: which settings of runs differ, and what that did to their models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.compared_words import Part, notes, parts
from pipeline.cli.fitted import Fitted
from pipeline.cli.kept import KeptRun
from pipeline.cli.tables import cell, print_json, say, table_of, warn
from pipeline.config import leaves
from pipeline.counted import in_words
from pipeline.errors import ConfigError, StageError, StoreError
from pipeline.stage import Json, stage_of
from stages.report import words

if TYPE_CHECKING:
    from stages.side_by_side import Difference, OverSeeds, Scored

PLACES = ("name", "store", "runs", "ray", "checkpoint_seconds", "logging")
"""Settings that can change no result: where runs and results are, and what does the work."""
NEUTRAL = ("cuda_graph", "download", "memory_budget", "root", "trained_on")
"""Last parts of the paths of others. What lies at a place, the digest of the data tells."""
DATA, TEST = "(data)", "(test split)"
"""Stand among the settings for the digests of the data themselves, which a setting's path does not tell."""
DROPPED = "(specialists dropped)"
"""Stands among them for those that failed, and that a run went on without."""
_JUDGE = ("evaluate", "report")
"""Stages that make nothing which is compared: every run is compared by the evaluation of this version."""
_FROM_ELSEWHERE = ("given", "import")
"""Stages whose every task has a file of its own."""
_DIGESTS = ("content", "code", "imported")
"""Last parts of the names of parameters that are digests of what a path or a name does not tell."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        letters: What each run is called, by its name: `A` is what the others are compared with.
        settings: By path, the values of the runs where they differ.
        runs: What their models score.
        differences: Of the others from the first; none where they cannot be paired.
        unpaired: Why not.
        seeds: What runs say together that differ in the seed alone.
        dropped: By name, the specialists that a run went on without, where it did.
    """

    letters: Mapping[str, str]
    settings: Mapping[str, Sequence[str]]
    runs: "Sequence[Scored]"
    differences: "Sequence[Difference]"
    unpaired: str
    seeds: "Sequence[OverSeeds]"
    dropped: Mapping[str, Sequence[str]]


def compare(runs: Sequence[KeptRun], *, page: Path | None, as_json: bool) -> None:
    """Print how runs differ. Where two or more have reached their end, those that have not are named and left out.

    Args:
        runs: Two runs or more; the others are compared with the first.
        page: Where to write the comparison as a page too.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: There are fewer than two different runs.
        StoreError: A run ended early, its results are no longer in the store, or the page cannot be written.
    """
    names = [run.name for run in runs]
    if page is not None and page.is_dir():
        raise ConfigError(f"--html: must be a file; got the folder {page}")
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"RUN...: must be two different runs or more; got {', '.join(names)}")
    ended = [run for run in runs if run.is_ended]
    if 2 <= len(ended) < len(runs):
        left_out = [run.name for run in runs if not run.is_ended]
        warn(
            f"left out, for {'it has' if len(left_out) == 1 else 'they have'} not reached an end: {in_words(left_out)}"
        )
        runs = ended
    found = compared(runs)
    if page is not None:
        _write_page(found, page)
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)
        if page is not None:
            say(f"page: {page}")


def compared(runs: Sequence[KeptRun]) -> Comparison:
    """Return how runs differ."""
    from stages.side_by_side import differences, over_seeds, scored  # noqa: PLC0415  # brings numpy

    made = [_made(run) for run in runs]
    shared = set.intersection(*map(set, made))  # what a run has not made at all, its settings tell
    beside = [_digests(run) | {name: one[name] for name in shared} for run, one in zip(runs, made, strict=True)]
    results = [
        scored(run.name, int(run.settings["seed"]), _setting(run, one), one[TEST], run.artifact("evaluate"))
        for run, one in zip(runs, beside, strict=True)
    ]
    unpaired = ""
    try:
        found = differences(results)
    except StageError as error:
        found, unpaired = [], str(error)
    return Comparison(
        {run.name: _letter(i) for i, run in enumerate(runs)},
        differing([leaves(run.settings) | one for run, one in zip(runs, beside, strict=True)]),
        results,
        found,
        unpaired,
        over_seeds(results),
        {run.name: run.dropped for run in runs if run.dropped},
    )


def _digests(run: KeptRun) -> dict[str, str]:
    """Return the beginnings of the digests of a run's data, all of it and its test split."""
    whole = run.manifest("data[train]").recipe["parameters"]["data.digest"]
    return {DATA: whole[:12], TEST: run.manifest("data[test]").digest[:12]}


def _made(run: KeptRun) -> dict[str, str]:
    """Return what decides a run's results beside its settings and its data, as the recipes have it.

    That is which specialists it went on without; of each stage its version and those of the libraries; of networks and
    tables that come from elsewhere, and of functions, the beginning of their digest, which a path does not tell.
    """
    found = {DROPPED: in_words(run.dropped) if run.dropped else "none"}
    for task_id, key in run.keys.items():
        stage = stage_of(task_id)
        if stage in _JUDGE or (f"({stage}: version)" in found and stage not in _FROM_ELSEWHERE):
            continue
        manifest = run.store.find(key)
        if manifest is None:
            continue
        recipe = manifest.recipe
        libraries = [f"{name} {version}" for name, version in recipe["packages"].items()]
        revision = [f"revision {recipe['revision']}"] if "revision" in recipe else []
        found[f"({stage}: version)"] = ", ".join([str(recipe["version"]), *revision, *libraries])
        for name, value in recipe["parameters"].items():
            if name.split(".")[-1] in _DIGESTS:
                found[f"({task_id}: {name})"] = str(value)[:12]
    return found


def _letter(number: int) -> str:
    """Return A to Z, then A1 to Z1, and so on."""
    return chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")


def _setting(run: KeptRun, beside: Mapping[str, str]) -> str:
    """Return all that can change a result but the seed, in a run's config and beside it."""
    deciding = {name: value for name, value in run.settings.items() if name not in (*PLACES, "seed")}
    return repr(sorted({**leaves(_without_neutral(deciding)), **beside}.items()))


def _without_neutral(value: Any) -> Any:
    """Return a section, a list of sections or a value without the settings in it that change no result."""
    if isinstance(value, Mapping):
        return {name: _without_neutral(item) for name, item in value.items() if name not in NEUTRAL}
    return [_without_neutral(item) for item in value] if isinstance(value, list) else value


def differing(settings: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return by path the values of the runs where they differ; a section that not all runs have is one value."""
    paths = sorted({path for one in settings for path in one})
    values = {path: [one.get(path, "(none)") for one in settings] for path in paths}
    for path in paths:
        below = [other for other in values if other.startswith(f"{path}.")]
        if below:
            parts = {other: values.pop(other) for other in below}
            values[path] = [_section(path, parts, i) or value for i, value in enumerate(values[path])]
    return {path: found for path, found in values.items() if len(set(found)) > 1}


def _section(path: str, parts: Mapping[str, Sequence[str]], run: int) -> str:
    """Return what a run's config says in a section, without what it leaves open; nothing where it has none."""
    said = {name.removeprefix(f"{path}."): texts[run] for name, texts in parts.items()}
    told = [f"{name}: {text}" for name, text in said.items() if text not in {"null", "(none)"}]
    return f"{{{', '.join(told)}}}" if told else ""


def _as_json(found: Comparison) -> Json:
    return {
        "runs": [{"name": run.name, "letter": found.letters[run.name], "models": run.facts} for run in found.runs],
        "settings": found.settings,
        "differences": [
            {
                "run": one.run,
                "model": one.model,
                "accuracy": one.accuracy._asdict(),
                "nll": one.nll._asdict(),
                "seeds": list(one.seeds),
                "against": list(one.against),
                "unused": list(one.unused),
                "unused_against": list(one.unused_against),
            }
            for one in found.differences
        ],
        "unpaired": found.unpaired,
        "dropped": found.dropped,
        "seeds": [
            {
                "runs": group.runs,
                "means": group.means,
                "leads": {
                    control: {fact: interval._asdict() for fact, interval in facts._asdict().items()}
                    for control, facts in group.leads.items()
                },
            }
            for group in found.seeds
        ],
    }


def _print(found: Comparison) -> None:
    console = Console()
    letters = list(found.letters.values())
    for name, letter in found.letters.items():
        say(f"{letter}: {name}")
    settings = table_of("setting", *letters)
    for path, values in found.settings.items():
        settings.add_row(cell(path), *map(cell, values))
    models = table_of("on the test split", *letters)
    for model in dict.fromkeys(model for run in found.runs for model in run.facts):
        for label, fact, shown in (("accuracy", "accuracy", words.percent), ("NLL", "nll", "{:.4f}".format)):
            values = [shown(run.facts[model][fact]) if model in run.facts else "" for run in found.runs]
            models.add_row(Text(f"{model}, {label}"), *values)
    for table in (settings if found.settings else Text("no setting differs"), models):
        console.print("")
        console.print(table)
    for note in notes(found):
        say(f"\n{note}")
    for part in parts(found):
        console.print("")
        console.print(Fitted([_side_by_side(part), _stacked(part)]))
        say(part.note)
    if found.unpaired:
        say(f"\nno differences: {found.unpaired}")


def _side_by_side(part: Part) -> Table:
    grid = table_of(part.title, "accuracy", "NLL")
    for row in part.rows:
        grid.add_row(*map(cell, row))
    return grid


def _stacked(part: Part) -> Table:
    """Return a part with a line for each figure, where an interval would be broken otherwise."""
    grid = table_of(part.title, "")
    grid.columns[1].justify = "left"
    for name, *figures in part.rows:
        same, *others = [figure for figure in figures if figure]
        grid.add_row(cell(name), cell("" if others else same))
        for label, figure in zip(("accuracy", "NLL"), figures if others else (), strict=False):
            grid.add_row(Text(f"  {label}"), cell(figure))
    return grid


def _write_page(found: Comparison, page: Path) -> None:
    from stages.report.comparison_page import write_page  # noqa: PLC0415  # brings jinja

    try:
        text = write_page(
            found.letters,
            found.settings,
            found.runs,
            found.differences,
            parts=parts(found),
            notes=notes(found),
            unpaired=found.unpaired,
        )
        page.write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(f"{page}: must be writable; got {error.strerror}") from error

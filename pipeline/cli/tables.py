"""What the commands print when they are done, and how."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.amounts import digits, rough_count
from pipeline.cli.fitted import Fitted
from pipeline.labels import fitted
from pipeline.stage import stage_of
from pipeline.visible import visible, visible_lines
from stages.report import words
from stages.report.results import OF_SPECIALISTS
from stages.report.swept import at_edges
from stages.report.verdict import verdict
from stages.tables import told


def show_results(console: Console, results: Mapping[str, Any]) -> None:
    """Print what a run came to: the models side by side, the verdict, the subsets, the times."""
    show_models(console, results, "on the test split")
    tell(console, "")
    headline, *reasons = _verdict(results)
    tell(console, headline, style="bold")
    for line in (*reasons, *_differences(results), "", *_sweep(results)):
        tell(console, line)
    console.print(_subsets(results))
    for line in (_OF_SUBSETS, "", *_costs(results)):
        tell(console, line)


def show_models(console: Console, results: Mapping[str, Any], heading: str) -> None:
    """Print the models of a run side by side, and what their figures are where there are several seeds."""
    console.print(models_table(results, heading))
    n = len(results["seeds"])
    if n > 1:
        tell(console, f"students: mean ± standard deviation over {n} seeds")


Column = tuple[str, Callable[[Mapping[str, Any]], str]]
"""A heading, and what stands below it of a model."""


def models_table(results: Mapping[str, Any], heading: str) -> Fitted:
    """Return the models of a run side by side, with fewer digits and columns where there is little room."""
    students = results["students"]
    rows = {"generalist": results["generalist"], "ensemble": results["ensemble"]}
    rows |= {words.model_name(name): student for name, student in students.items()}
    wide: list[Column] = [
        ("accuracy", _accuracy),
        ("NLL", partial(_measure, "nll", "{:.4f}")),
        ("ECE", partial(_measure, "ece", "{:.4f}")),
        ("ms/image", lambda model: digits(model["milliseconds_per_image"], 3)),
        ("parameters", lambda model: f"{model['parameters']:,}" if "parameters" in model else ""),
    ]
    narrow: list[Column] = [
        ("acc. %", lambda model: _close(_accuracy(model).replace(" %", ""))),
        ("NLL", lambda model: _close(_measure("nll", "{:.3f}", model))),
        ("ECE", lambda model: _close(_measure("ece", "{:.3f}", model))),
        ("ms", lambda model: digits(model["milliseconds_per_image"], 2)),
        ("params", lambda model: rough_count(model["parameters"]) if "parameters" in model else ""),
    ]
    least = [column for column in narrow if column[0] not in {"ECE", "ms"}]
    return Fitted([_side_by_side(heading, rows, columns) for columns in (wide, narrow, least)])


def _side_by_side(heading: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    table = table_of(heading, *(name for name, _ in columns))
    for name, model in rows.items():
        table.add_row(cell(name), *(told(model) for _, told in columns))
    return table


def _accuracy(model: Mapping[str, Any]) -> str:
    return words.percent(model["accuracy"]) + _deviation(model, "accuracy", "{:.2f}", 100)


def _measure(measure: str, form: str, model: Mapping[str, Any]) -> str:
    return form.format(model[measure]) + _deviation(model, measure, form)


def _deviation(model: Mapping[str, Any], measure: str, form: str, scale: float = 1.0) -> str:
    """Return the standard deviation over seeds, where there are several."""
    return f" ± {form.format(scale * model['deviation'][measure])}" if "deviation" in model else ""


def _close(text: str) -> str:
    """Return a figure with its deviation in as few columns as it can take."""
    return text.replace(" ± ", "±")


def _sweep(results: Mapping[str, Any]) -> list[str]:
    """Return what a sweep chose, where there was one."""
    if "sweep" not in results:
        return []
    sweep, n_classes = results["sweep"], len(results["data"]["classes"])
    lines = [
        f"{words.model_name(variant)}: {_settings(settings)}"
        f" (best {sweep['measure']} on the holdout, of {len(sweep['grid'][variant])})"
        + "".join(f"; {told}" for told in at_edges(sweep, variant, n_classes))
        for variant, settings in sweep["chosen"].items()
        if settings
    ]
    return [*lines, ""]


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())


def _verdict(results: Mapping[str, Any]) -> list[str]:
    """Return what the run was worth, as the report says it: the headline, and what it rests on."""
    found = verdict(results["differences"], results.get("imported", ()))
    doubts = words.of_given(results.get("given", ()))
    lines = [found.reason, *words.remarks(results), *doubts, words.over_what(len(results["seeds"]))]
    return [found.headline, *map(visible, lines)]


def _differences(results: Mapping[str, Any]) -> list[str]:
    """Return the differences that the verdict says nothing of, such as that to the refit."""
    return [
        f"distilled minus {words.taught_by(control)}: {words.told(found)}"
        for control, found in results["differences"].items()
        if control not in words.TAUGHT_BY
    ]


def _subsets(results: Mapping[str, Any]) -> Table:
    table = table_of("specialist for", "its accuracy", "generalist's", "dustbin recall")
    names = list(map(visible, results["data"]["classes"]))
    short = fitted(names, words.LETTERS)
    for i, specialist in enumerate(results["specialists"]):
        own = words.short_list([short[names[c]] for c in specialist["classes"]])
        measured = [words.percent(specialist[measure]) for measure in OF_SPECIALISTS]
        shown = measured if specialist["state"] != "dropped" else ["dropped", "", ""]
        table.add_row(cell(f"{words.short_name(i)}: {own}"), *shown)
    return table


_OF_SUBSETS = (
    "accuracies: on test examples of the specialist's classes, among these alone; dustbin recall: of all other test"
    " examples, the share that it leaves to its dustbin"
)
"""What the figures of a specialist are."""


def _costs(results: Mapping[str, Any]) -> list[str]:
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in results["seconds"].items())
    reused, prepared = results["reused"], words.prepared_by_all(results["prepared"])
    targets = results["targets"]
    passes = f"{targets['forward_passes']:,} forward passes of {targets['forward_passes_if_all']:,}"
    return [
        f"seconds of computing, when first run: {seconds}" + (f"; beside that, {prepared}" if prepared else ""),
        f"soft targets: {targets['rows']:,} rows, {targets['bytes']:,} bytes, {passes}",
        f"combined table: {targets['combined']['bytes']:,} bytes, {told(targets['combined']['encoding'])}",
        f"reused: {_folded(reused)}" if reused else "reused: nothing",
    ]


def _folded(task_ids: Sequence[str]) -> str:
    """Return task ids by stage, so that a hundred shards are one word."""
    stages: dict[str, int] = {}
    for name in task_ids:
        stage = stage_of(name)
        stages[stage] = stages.get(stage, 0) + 1
    return ", ".join(stage if n == 1 else f"{stage} ({n})" for stage, n in stages.items())


def table_of(*headings: str) -> Table:
    """Return an empty table, its first column to the left and the others to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def console_for_rows() -> Console:
    """Return a console whose rows end at the terminal's edge; a file or a pipe has none: there every name is whole."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=UNLIMITED)


UNLIMITED = 10_000
"""Columns of what has no edge."""


def cell(text: str) -> Text:
    """Return what stands in a cell of a table: names in it must neither break the row nor steer the terminal."""
    return Text(visible(text))


def warn(line: str) -> None:
    """Print a line beside what a script reads."""
    tell(Console(stderr=True), line)


def print_json(data: Any) -> None:
    """Print JSON; where the terminal lacks a character of it, or it is no text, in ASCII, which means the same."""
    text, encoding = json.dumps(data, ensure_ascii=False), sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(data)
    Console().print_json(text, ensure_ascii=text.isascii())


def say(line: str) -> None:
    """Print a line."""
    tell(Console(), line)


def tell(console: Console, line: str, *, indent: int = 0, style: str = "") -> None:
    """Print a line as it is: names in it may look like markup, and paths must not be broken.

    Args:
        console: A terminal, in which the line is wrapped between words, or anything else, in which it stays one line.
        line: Or several.
        indent: Columns before it.
        style: How it is shown.
    """
    for whole in visible_lines(line).split("\n"):
        for row in wrapped(whole, console.width - indent) if console.is_terminal else [whole]:
            console.print(Text(" " * indent + row, style), soft_wrap=True)


def wrapped(line: str, columns: int) -> list[str]:
    """Return a line in rows of so many columns, broken between words alone: one that is longer has a row of its own.

    What stands between backticks is one word, such as a command.
    """
    rows = [""]  # rich would break a longer word, and what is copied from two rows is no path, and no command
    for word in _WORD.findall(line):
        if rows[-1] and cell_len(rows[-1] + word) > columns:
            rows.append(word.lstrip())
        else:
            rows[-1] += word
    return rows


_WORD = re.compile(r"\s*(?:`[^`]*`|\S)+")

"""The report as one page: puts what was measured into words, tables and figures."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from pipeline import amounts
from pipeline.counted import counted
from pipeline.labels import fitted
from pipeline.stage import Artifact, Facts, RunSummary, TaskSummary, prepared_for
from stages.learning import metrics
from stages.report import by_class, confusion, examples, figures, words
from stages.report.swept import at_edges
from stages.report.timeline import timeline
from stages.report.verdict import verdict
from stages.tables import told

if TYPE_CHECKING:
    import jinja2

N_TASKS = 400
"""Tasks of a stage whose lineage is shown; a big run has thousands of shards."""
METHODS = {
    "confusion": "clusters of what the generalist confuses on {judged}",
    "covariance": "clusters of what the generalist predicts together on {judged}",
    "random": "dealt out at random, a control",
    "manual": "listed in the config",
}
"""How subsets are found, by the name of the method."""
FAVOURED = ("confusion", "covariance")
"""Methods that find subsets by the very predictions whose share of the confusion is shown."""
FEW_LETTERS = 8
"""Columns of a class's name where a list of them stands beside a figure."""
FEWEST_FOR_TOP5 = 7
"""Classes that `top5` is shown of: of five it is always all, and of six it only lacks what a model likes least."""
HOLDOUT = "the holdout"
FOLDS = "the fold that it was not trained on"


def write_page(
    results: Mapping[str, Any],
    *,
    evaluation: Artifact,
    generalist: Artifact,
    specialists: Sequence[Artifact],
    students: Mapping[str, Artifact],
    run: RunSummary,
    folds: Sequence[Artifact] = (),
) -> str:
    """Return the report as HTML that needs nothing beside it.

    Args:
        results: What results.json holds.
        evaluation: What stage `evaluate` returned.
        generalist: The generalist, for its training.
        specialists: The specialists, for theirs.
        students: The students by variant, for theirs.
        run: What the run knows of itself.
        folds: The generalists of the folds, where there are any, for theirs.
    """
    names, kept = results["data"]["classes"], [one for one in results["specialists"] if one["state"] != "dropped"]
    classes = [one["classes"] for one in kept]
    counts = metrics.confusion_counts(evaluation.arrays["generalist"], evaluation.arrays["labels"])
    nets = [specialist.facts for specialist in specialists]
    short = fitted(names, words.LETTERS)
    judged = FOLDS if folds else HOLDOUT
    return render(
        "page.html.jinja",
        results=results,
        verdict=verdict(results["differences"], results.get("imported", ())),
        remarks=words.remarks(results),
        doubts=[one for one in results.get("given", ()) if one["warning"]],
        of_given=words.of_given(results.get("given", ())),
        over_what=words.over_what(len(results["seeds"])),
        models=_models(results, nets),
        has_top5=len(names) >= FEWEST_FOR_TOP5,
        grid=_grid(results.get("sweep", {}).get("grid", {})),
        edges=_edges(results),
        differences=_differences(results["differences"]),
        matrix=confusion.matrix(counts, names, classes),
        hover=confusion.hover_data(counts, names, classes),
        short=short,
        mistakes=confusion.largest(counts, names, classes),
        class_rows=by_class.rows(results),
        class_models=by_class.models(results),
        cover=words.cover(results["subsets"]["cover"]),
        method=METHODS[results["subsets"]["method"]].format(judged=judged),
        judged=judged,
        is_favoured=results["subsets"]["method"] in FAVOURED,
        subset_rows=_subset_rows(results),
        dumbbells=_dumbbells(kept, names),
        dropped=[one for one in results["specialists"] if one["state"] == "dropped"],
        gains=_gains(results["ensemble"]["by_cover"]),
        examples=list(examples.examples(evaluation, nets, names)),
        reliabilities=_reliabilities(results, evaluation),
        curves=_curves(generalist, specialists, students, folds),
        timeline=timeline(run.tasks),
        costs=_costs(run.tasks),
        share=_share_of_specialists(run.tasks),
        prepared=words.prepared_by_all(run.prepared),
        config=run.config,
        lineage=_lineage(run.tasks),
    )


def render(template: str, **context: Any) -> str:
    """Return a page from a template of this package, everything in it escaped but what is marked as safe."""
    return _environment().get_template(template).render(**context)


def _environment() -> "jinja2.Environment":
    import jinja2  # noqa: PLC0415  # only what writes a page pays for it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (words.points, words.times, amounts.digits, words.model_name, told, counted, typeset):
        environment.filters[function.__name__] = function
    for amount in (words.percent, amounts.size, amounts.duration):
        environment.filters[amount.__name__] = _unbroken(amount)
    return environment


_CODE = re.compile("`([^`]+)`")
_AMOUNT = re.compile(
    r"(?<=\d) (?=(?:%|ms|s|min|h|kB|MB|GB|TB|bytes|points)(?!\w))|(?<= min) (?=\d+ s\b)|(?<= h) (?=\d+ min\b)"
)


def typeset(sentence: str) -> Markup:
    """Return a sentence as HTML: what stands in backticks as code, and no line's end between a number and its unit."""
    return Markup(_CODE.sub(r"<code>\1</code>", _joined(str(escape(sentence)))))  # noqa: S704  # escaped before


def _joined(text: str) -> str:
    return _AMOUNT.sub("\N{NO-BREAK SPACE}", text)


def _unbroken(amount: Callable[..., str]) -> Callable[..., str]:
    """Return a function whose amounts are on one line with their units."""
    return lambda *values, **options: _joined(amount(*values, **options))


def _models(results: Mapping[str, Any], specialists: Sequence[Facts]) -> list[dict[str, Any]]:
    """Return the rows of the table of models, the distilled student first."""
    students = results["students"]
    ensemble = results["ensemble"] | {
        "parameters": results["generalist"]["parameters"] + sum(net["parameters"] for net in specialists)
    }
    rows = [(variant, students[variant]) for variant in students]
    return [
        *({"name": words.model_name(variant), "main": variant == "distilled"} | model for variant, model in rows),
        {"name": "generalist", "main": False} | results["generalist"],
        {"name": "ensemble", "main": False} | ensemble,
    ]


def _grid(grid: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the settings that a sweep tried, with the `deviation` over seeds where there are several."""
    return {variant: [{**point, **_deviation(point["seeds"])} for point in points] for variant, points in grid.items()}


def _edges(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return by variant which of the chosen settings are at the edge of what was tried."""
    sweep, n_classes = results.get("sweep", {"chosen": {}}), len(results["data"]["classes"])
    return {variant: at_edges(sweep, variant, n_classes) for variant in sweep["chosen"]}


def _deviation(seeds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    if len(seeds) == 1:
        return {}
    return {"deviation": {name: metrics.deviation(seed[name] for seed in seeds) for name in seeds[0]}}


def _differences(differences: Mapping[str, Any]) -> dict[str, Markup]:
    """Return the figures of the student against its controls; none where there are no controls."""
    if not differences:
        return {}
    rows = [(words.taught_by(name), found) for name, found in differences.items()]
    losses = [(name, found["nll"]) for name, found in rows]
    return {
        "accuracy": figures.intervals(rows, label="points of accuracy more (right is better)"),
        "nll": figures.intervals(losses, label="nats of NLL more (left is better)", unit=1.0),
    }


def _subset_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    masses = results["subsets"]["mass"]
    return [
        specialist | {"mass": mass, "short": words.short_name(i)}
        for i, (specialist, mass) in enumerate(zip(results["specialists"], masses, strict=True))
    ]


def _gains(by_cover: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Return how many more right answers there are by the number of specialists; None where nowhere more or fewer."""
    return figures.gains(by_cover) if any(row["gained"] for row in by_cover) else None


def _dumbbells(specialists: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Markup:
    short = fitted(classes, FEW_LETTERS)
    rows = [
        (
            figures.row_name(words.short_name(i), [short[name] for name in specialist["names"]]),
            f"{words.short_name(i)}: {', '.join(specialist['names'])}",
            *(specialist[measure] for measure in _ACCURACIES),
        )
        for i, specialist in enumerate(specialists)
    ]
    return figures.dumbbells(rows, label="ring: generalist, dot: specialist")


_ACCURACIES = ("generalist_conditional_accuracy", "conditional_accuracy")


def _reliabilities(results: Mapping[str, Any], evaluation: Artifact) -> list[Markup]:
    labels = evaluation.arrays["labels"]
    models = {
        "generalist": ("generalist", results["generalist"]),
        "ensemble": ("ensemble", results["ensemble"]),
        **{words.model_name(name): (f"student-{name}", model) for name, model in results["students"].items()},
    }
    return [
        figures.reliability(name, metrics.reliability(evaluation.arrays[key], labels), model["ece"])
        for name, (key, model) in models.items()
    ]


def _curves(
    generalist: Artifact, specialists: Sequence[Artifact], students: Mapping[str, Artifact], folds: Sequence[Artifact]
) -> list[dict[str, Any]]:
    """Return the curves of the trainings that were judged: with folds, of their generalists alone."""
    judged = FOLDS if folds else HOLDOUT
    whole = {"generalist": generalist} | {words.model_name(name): net for name, net in students.items()}
    groups = {
        "Over all classes": whole,
        "The generalists of the folds": {f"fold {net.facts['fold'] + 1}": net for net in folds},
        "Specialists, among their own classes": {words.short_name(i): net for i, net in enumerate(specialists)},
    }
    return [
        {
            "title": title,
            "figures": [
                figures.curves(histories, "accuracy", label=f"accuracy on {judged}"),
                figures.curves(histories, "nll", label=f"NLL on {judged}"),
            ],
            "legend": figures.legend(list(histories)),
        }
        for title, nets in groups.items()
        if (histories := {name: net.facts["history"] for name, net in nets.items() if _is_judged(net)})
    ]


def _is_judged(net: Artifact) -> bool:
    """Whether the epochs of a training were judged on examples that were held out from it."""
    return any("accuracy" in epoch for epoch in net.facts["history"])


def _costs(tasks: Sequence[TaskSummary]) -> list[dict[str, Any]]:
    """Return by stage how many tasks there are, how many were reused, and what they take and took."""
    return [
        {
            "stage": stage,
            "tasks": len(of_stage),
            "reused": sum(task.ended is None for task in of_stage),
            "seconds": sum(task.seconds for task in of_stage),
            "now": sum(task.seconds for task in of_stage if task.ended is not None),
            "bytes": sum(task.bytes for task in of_stage),
            "prepared": words.prepared_by_all(prepared_for(of_stage)),
        }
        for stage in dict.fromkeys(task.stage for task in tasks)
        if (of_stage := [task for task in tasks if task.stage == stage])
    ]


def _share_of_specialists(tasks: Sequence[TaskSummary]) -> dict[str, float]:
    """Return the seconds that the specialists took, in finding, training, scoring and combination, and of all tasks."""
    ours = [
        task.seconds
        for task in tasks
        if (stage := task.stage.removeprefix("refit-")) in {"fold", "subsets", "specialist", "combined"}
        or (stage in {"targets", "calibration"} and not task.id.startswith(f"{task.stage}[generalist"))
    ]
    return {"specialists": sum(ours), "all": sum(task.seconds for task in tasks)}


def _lineage(tasks: Sequence[TaskSummary]) -> list[dict[str, Any]]:
    """Return the tasks by stage, of each stage the first `N_TASKS`, and how many more there are."""
    stages: dict[str, list[TaskSummary]] = {}
    for task in tasks:
        stages.setdefault(task.stage, []).append(task)
    return [{"tasks": found[:N_TASKS], "more": len(found[N_TASKS:])} for found in stages.values()]

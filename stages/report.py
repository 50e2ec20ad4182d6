"""Stage `report`: results.json, a page for people, and the student's files. Written by every run; imports no torch."""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from pipeline.recipe import sha256
from pipeline.stage import Artifact, Json, RunSummary

RESULTS_VERSION = 1
"""Raised whenever a reader of results.json would have to know."""


def write(
    *,
    dataset: Artifact,
    test: Artifact,
    generalist: Artifact,
    subsets: Artifact,
    specialists: Sequence[Artifact],
    targets: Sequence[Artifact],
    student: Artifact,
    evaluation: Artifact,
    run: RunSummary,
) -> dict[str, bytes]:
    """Write what a run leaves behind.

    Args:
        dataset: The training half of the data set; its facts alone are read.
        test: The test half; its facts alone are read.
        generalist: The generalist, for its training curve.
        subsets: The subsets of the specialists.
        specialists: The specialists, for their training curves.
        targets: The shards of all tables, for what they cost.
        student: The distilled student.
        evaluation: What was measured on the test split.
        run: What the run knows of itself.

    Returns:
        Contents by file name.
    """
    results = compose_results(dataset, test, subsets, targets, evaluation, run)
    weights = _safetensors(student)
    page = _page(
        results, subsets, evaluation, curves={"generalist": generalist, **_named(specialists), "student": student}
    )
    return {
        "results.json": as_json(results),
        "report.html": page.encode(),
        "student.safetensors": weights,
        "student.json": as_json(student_description(dataset, student) | {"sha256": sha256(weights)}),
    }


def compose_results(
    dataset: Artifact,
    test: Artifact,
    subsets: Artifact,
    targets: Sequence[Artifact],
    evaluation: Artifact,
    run: RunSummary,
) -> dict[str, Json]:
    """Return the contents of results.json."""
    measured = evaluation.facts
    return {
        "version": RESULTS_VERSION,
        "name": run.name,
        "seed": run.seed,
        "data": {
            "classes": dataset.facts["class_names"],
            "train": dataset.facts["transfer"],
            "holdout": dataset.facts["holdout"],
            "test": test.facts["test"],
        },
        "subsets": {
            "method": subsets.facts["method"],
            "mass": [subset["mass"] for subset in subsets.facts["subsets"]],
            "cover": subsets.facts["cover"],
        },
        **{name: measured[name] for name in ("generalist", "specialists", "ensemble", "students", "differences")},
        "targets": _cost_of_targets(targets),
        "seconds": dict(run.seconds),
        "reused": list(run.reused),
    }


def student_description(dataset: Artifact, student: Artifact) -> dict[str, Json]:
    """Return what rebuilds the student from its weights, and says what it expects and answers."""
    return {
        "weights": "student.safetensors",
        "class_names": dataset.facts["class_names"],
        "parameters": student.facts["parameters"],
        **student.facts["network"],
    }


def as_json(value: Json) -> bytes:
    """Return JSON for people and programs alike."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _cost_of_targets(targets: Sequence[Artifact]) -> dict[str, int]:
    examples = sum(table.facts["examples"] for table in targets if table.facts["teacher"] == "generalist")
    teachers = len({table.facts["teacher"] for table in targets})
    return {
        "rows": sum(table.facts["rows"] for table in targets),
        "bytes": sum(table.facts["bytes"] for table in targets),
        "forward_passes": sum(table.facts["rows"] for table in targets),
        "forward_passes_if_all": examples * teachers,
    }


def _named(specialists: Sequence[Artifact]) -> dict[str, Artifact]:
    return {f"specialist {specialist.facts['name']}": specialist for specialist in specialists}


def _safetensors(student: Artifact) -> bytes:
    from safetensors.numpy import save  # noqa: PLC0415  # brings numpy, which planning a run does without

    return save({name: array.copy() for name, array in student.arrays.items()}, metadata={"format": "pt"})


def _page(results: dict[str, Any], subsets: Artifact, evaluation: Artifact, *, curves: dict[str, Artifact]) -> str:
    import jinja2  # noqa: PLC0415  # only what writes a page pays for it

    template = resources.files("stages").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        results=results,
        confusion=_ordered_confusion(results["data"]["classes"], subsets, evaluation),
        curves={name: artifact.facts["history"] for name, artifact in curves.items()},
    )


def _ordered_confusion(names: list[str], subsets: Artifact, evaluation: Artifact) -> dict[str, Json]:
    """Return the generalist's confusion counts with the classes of a subset side by side."""
    grouped = [c for subset in subsets.facts["subsets"] for c in subset["classes"]]
    order = list(dict.fromkeys([*grouped, *range(len(names))]))
    counts = evaluation.facts["confusion"]
    rows = [[counts[true][predicted] for predicted in order] for true in order]
    return {"names": [names[c] for c in order], "rows": rows, "totals": [max(1, sum(row)) for row in rows]}

"""What results.json and student.json say."""

from collections.abc import Sequence

from pipeline.recipe import sha256
from pipeline.stage import Artifact, Json, RunSummary

RESULTS_VERSION = 1
"""Raised whenever a reader of results.json would have to know."""

_MEASURED = ("generalist", "specialists", "ensemble", "changed", "measured_on")


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
        **{name: measured[name] for name in _MEASURED},
        # What is kept has its keys sorted.
        "students": {variant: measured["students"][variant] for variant in measured["variants"]},
        "differences": {control: measured["differences"][control] for control in measured["variants"][1:]},
        "targets": _cost_of_targets(targets),
        "seconds": run.seconds,
        "reused": run.reused,
    }


def student_description(dataset: Artifact, student: Artifact, weights: bytes) -> dict[str, Json]:
    """Return what rebuilds the student from its weights, and says what it expects and answers."""
    return {
        "weights": "student.safetensors",
        "sha256": sha256(weights),
        "class_names": dataset.facts["class_names"],
        "parameters": student.facts["parameters"],
        **student.facts["network"],
    }


def _cost_of_targets(targets: Sequence[Artifact]) -> dict[str, int]:
    examples = sum(table.facts["examples"] for table in targets if table.facts["teacher"] == "generalist")
    teachers = len({table.facts["teacher"] for table in targets})
    return {
        "rows": sum(table.facts["rows"] for table in targets),
        "bytes": sum(table.facts["bytes"] for table in targets),
        "forward_passes": sum(table.facts["rows"] for table in targets),
        "forward_passes_if_all": examples * teachers,
    }

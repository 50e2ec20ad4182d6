"""What results.json and student.json say."""

from collections.abc import Sequence

from pipeline.recipe import sha256
from pipeline.stage import Artifact, Json, RunSummary
from stages.tables import COMBINED, encoding_of

RESULTS_VERSION = 1
"""Raised whenever a reader of results.json would have to know."""

_MEASURED = ("generalist", "specialists", "ensemble", "changed", "per_class", "measured_on")


def compose_results(
    dataset: Artifact,
    test: Artifact,
    subsets: Artifact,
    targets: Sequence[Artifact],
    evaluation: Artifact,
    run: RunSummary,
    *,
    sweep: Artifact | None = None,
) -> dict[str, Json]:
    """Return the contents of results.json."""
    measured = evaluation.facts
    return {
        "version": RESULTS_VERSION,
        "name": run.name,
        "seed": run.seed,
        "seeds": measured["seeds"],
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
        **({"sweep": dict(sweep.facts)} if sweep else {}),
        "targets": _tables(targets),
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


def _tables(shards: Sequence[Artifact]) -> dict[str, Json]:
    """Return what the teachers' tables cost, and how the combined one is kept, and why so."""
    combined = [shard.facts for shard in shards if shard.facts["teacher"] == COMBINED]
    scored = [shard.facts for shard in shards if shard.facts["teacher"] != COMBINED]
    examples = sum(facts["examples"] for facts in scored if facts["teacher"] == "generalist")
    return {
        "rows": sum(facts["rows"] for facts in scored),
        "bytes": sum(facts["bytes"] for facts in scored),
        "forward_passes": sum(facts["rows"] for facts in scored),
        "forward_passes_if_all": examples * len({facts["teacher"] for facts in scored}),
        "combined": {
            "bytes": sum(facts["bytes"] for facts in combined),
            "encoding": encoding_of([facts["encoding"] for facts in combined]),
        },
    }

"""What results.json and student.json say."""

from collections.abc import Sequence

from pipeline.errors import StageError
from pipeline.recipe import sha256
from pipeline.stage import Artifact, Facts, Json, RunSummary
from stages.given_data import Background, Teacher, backgrounds, trained_on
from stages.tables import COMBINED, encoding_of
from stages.tasks import subset_name

RESULTS_VERSION = 1
"""Raised whenever a reader of results.json would have to know."""

OF_SPECIALISTS = ("conditional_accuracy", "generalist_conditional_accuracy", "dustbin_recall")
"""What is measured of a specialist; None of each where it failed."""

_MEASURED = ("generalist", "ensemble", "changed", "per_class", "measured_on")


def compose_results(
    dataset: Artifact,
    test: Artifact,
    subsets: Artifact,
    targets: Sequence[Artifact],
    evaluation: Artifact,
    run: RunSummary,
    *,
    sweep: Artifact | None = None,
    dropped: Sequence[str] = (),
    imports: Sequence[Artifact] = (),
    confusion: Artifact | None = None,
    given: Sequence[Background] = (),
) -> dict[str, Json]:
    """Return the contents of results.json."""
    measured, names = evaluation.facts, dataset.facts["class_names"]
    kept, lost = _divided(subsets.facts["subsets"], dropped)
    _check_order(kept, measured["specialists"])
    return {
        "version": RESULTS_VERSION,
        "name": run.name,
        "seed": run.seed,
        "seeds": measured["seeds"],
        "data": {
            "classes": names,
            "train": dataset.facts["transfer"],
            "transfer": _transfer_size(targets),
            "holdout": dataset.facts["holdout"],
            "test": test.facts["test"],
        },
        "subsets": {
            "method": subsets.facts["method"],
            "mass": [subset["mass"] for subset in kept + lost],
            "cover": [sum(c in subset["classes"] for subset in kept) for c in range(len(names))],
        },
        **({"folds": _folds(dataset, confusion)} if confusion else {}),
        **{name: measured[name] for name in _MEASURED},
        "specialists": measured["specialists"] + [_dropped(subset["classes"], names) for subset in lost],
        # What is kept has its keys sorted.
        "students": {variant: measured["students"][variant] for variant in measured["variants"]},
        "differences": {control: measured["differences"][control] for control in measured["variants"][1:]},
        **({"sweep": dict(sweep.facts)} if sweep else {}),
        **({"imported": [_import(table) for table in imports]} if imports else {}),
        **({"given": list(given)} if given else {}),
        "targets": _tables(targets),
        "seconds": run.seconds,
        "prepared": run.prepared,
        "reused": run.reused,
    }


def known_of(given: Sequence[Teacher], nets: Sequence[Artifact], dataset: Artifact) -> list[Background]:
    """Return what is known of the training of those teachers that were given.

    Args:
        given: The teachers.
        nets: The generalist, and the specialists; of those that failed nothing is told.
        dataset: The training half of the data set; its arrays are read where something is known of a teacher.
    """
    facts = {net.facts.get("name", "generalist"): net.facts for net in nets}
    there = [teacher for teacher in given if teacher.name in facts]
    seen = {teacher.name: facts[teacher.name].get("trained_on") for teacher in there}
    here = trained_on(dataset) if any(seen.values()) else {}
    return backgrounds(there, seen, here, holds_out=dataset.facts["holdout"] > 0)


def student_description(dataset: Artifact, student: Artifact, weights: bytes, name: str = "student") -> dict[str, Json]:
    """Return what rebuilds a student from its weights, and says what it expects and answers."""
    return {
        "weights": f"{name}.safetensors",
        "sha256": sha256(weights),
        "class_names": dataset.facts["class_names"],
        "parameters": student.facts["parameters"],
        **student.facts["network"],
    }


def _divided(subsets: Sequence[Facts], dropped: Sequence[str]) -> tuple[list[Facts], list[Facts]]:
    """Return the subsets that have a specialist, and those whose specialist was dropped."""
    parts: tuple[list[Facts], list[Facts]] = [], []
    for subset in subsets:
        parts[subset_name(subset["classes"]) in dropped].append(subset)
    return parts


def _check_order(kept: Sequence[Facts], specialists: Sequence[Facts]) -> None:
    """Check that specialists were measured in the order of their subsets: what is said of a subset has no other name.

    Raises:
        StageError: They were not, or not all, or others.
    """
    wanted, got = ([list(one["classes"]) for one in some] for some in (kept, specialists))
    if wanted != got:
        raise StageError(
            f"the specialists that were evaluated must be those of the subsets, in their order, {wanted}; got {got}:"
            " run again with --force evaluate"
        )


def _dropped(classes: Sequence[int], names: Sequence[str]) -> dict[str, Json]:
    """Return what is said of a specialist that failed, and that the run went on without."""
    return {
        "classes": list(classes),
        "names": [names[c] for c in classes],
        "state": "dropped",
        **dict.fromkeys(OF_SPECIALISTS),
    }


def _folds(dataset: Artifact, confusion: Artifact) -> dict[str, Json]:
    """Return how many folds there are, and what the generalist of each came to on its own, over all examples."""
    return {"count": dataset.facts["folds"], **{name: confusion.facts[name] for name in ("accuracy", "nll")}}


def _import(table: Artifact) -> dict[str, Json]:
    return {name: table.facts[name] for name in ("name", "digest", "subset", "rows", "examples", "any_view")}


def _transfer_size(shards: Sequence[Artifact]) -> int:
    """Return the number of examples that students are trained on: a view has each once."""
    facts = [shard.facts for shard in shards if shard.facts["teacher"] == "generalist" and shard.facts["view"] == 0]
    return sum(shard["examples"] for shard in facts)


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

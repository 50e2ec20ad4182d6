"""Stage `report`: results.json, a page for people, and the student's files. Written by every run; imports no torch."""

import json
from collections.abc import Sequence

from pipeline.stage import Artifact, Json, RunSummary
from stages.report.results import compose_results, student_description


def write(  # noqa: PLR0913  # all that a run has made
    *,
    dataset: Artifact,
    test: Artifact,
    generalist: Artifact,
    subsets: Artifact,
    specialists: Sequence[Artifact],
    targets: Sequence[Artifact],
    students: Sequence[Artifact],
    evaluation: Artifact,
    run: RunSummary,
    sweep: Artifact | None = None,
    dropped: Sequence[str] = (),
    imports: Sequence[Artifact] = (),
    folds: Sequence[Artifact] = (),
    confusion: Artifact | None = None,
) -> dict[str, bytes]:
    """Write what a run leaves behind.

    Args:
        dataset: The training half of the data set; its facts alone are read.
        test: The test half; its facts alone are read.
        generalist: The generalist, for its training curve.
        subsets: The subsets of the specialists.
        specialists: The specialists, for their training curves.
        targets: The shards of all tables, for what they cost and how they are kept.
        students: Of each variant the student of the first seed, the distilled one first.
        evaluation: What was measured on the test split.
        run: What the run knows of itself.
        sweep: The settings that were tried, where several were.
        dropped: Names of the specialists that failed, and that the run went on without.
        imports: What was imported as one more teacher.
        folds: What stage `fold` returned of each fold, where there are any, for the training curves.
        confusion: What was measured of them together.

    Returns:
        Contents by file name.
    """
    from stages.report.page import write_page  # noqa: PLC0415  # brings numpy, which planning a run does without

    results = compose_results(
        dataset,
        test,
        subsets,
        targets,
        evaluation,
        run,
        sweep=sweep,
        dropped=dropped,
        imports=imports,
        confusion=confusion,
    )
    weights = _safetensors(students[0])
    page = write_page(
        results,
        subsets=subsets,
        evaluation=evaluation,
        generalist=generalist,
        specialists=specialists,
        students=dict(zip(evaluation.facts["variants"], students, strict=True)),
        folds=folds,
        run=run,
    )
    return {
        "results.json": as_json(results),
        "report.html": page.encode(),
        "student.safetensors": weights,
        "student.json": as_json(student_description(dataset, students[0], weights)),
    }


def as_json(value: Json) -> bytes:
    """Return JSON for people and programs alike."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _safetensors(student: Artifact) -> bytes:
    from safetensors.numpy import save  # noqa: PLC0415

    return save({name: array.copy() for name, array in student.arrays.items()}, metadata={"format": "pt"})

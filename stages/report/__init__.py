"""Stage `report`: results.json, a page for people, and the student's files. Written by every run; imports no torch."""

import json
from collections.abc import Mapping, Sequence

from pipeline.stage import Artifact, Json, RunSummary
from stages.candidates import REFIT
from stages.given_data import Teacher
from stages.rebuilding import with_code
from stages.report.results import compose_results, known_of, student_description


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
    modules: Mapping[str, str] | None = None,
    imports: Sequence[Artifact] = (),
    folds: Sequence[Artifact] = (),
    confusion: Artifact | None = None,
    given: Sequence[Teacher] = (),
) -> dict[str, bytes]:
    """Write what a run leaves behind.

    Args:
        dataset: The training half of the data set; of its arrays what tells it from others is read, for a teacher
            that is given.
        test: The test half; its facts alone are read.
        generalist: The generalist, for its training curve, or where it is from.
        subsets: The subsets of the specialists.
        specialists: The specialists, likewise.
        targets: The shards of all tables, for what they cost and how they are kept.
        students: Of each variant the student of the first seed, the distilled one first, the refit last, if any.
        evaluation: What was measured on the test split.
        run: What the run knows of itself.
        sweep: The settings that were tried, where several were.
        dropped: Names of the specialists that failed, and that the run went on without.
        modules: The digests of the modules that make networks of the user's, by name.
        imports: What was imported as one more teacher.
        folds: What stage `fold` returned of each fold, where there are any, for the training curves.
        confusion: What was measured of them together.
        given: The teachers that were there already.

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
        given=known_of(given, [generalist, *specialists], dataset),
    )
    by_variant = dict(zip(evaluation.facts["variants"], students, strict=True))
    left = {"student": students[0]} | ({REFIT: by_variant[REFIT]} if REFIT in by_variant else {})
    left = {name: with_code(student, modules or {}) for name, student in left.items()}
    page = write_page(
        results,
        evaluation=evaluation,
        generalist=generalist,
        specialists=specialists,
        students=by_variant,
        folds=folds,
        run=run,
    )
    return {
        "results.json": as_json(results),
        "report.html": page.encode(),
        **{file: content for name, net in left.items() for file, content in _files(name, net, dataset).items()},
    }


def as_json(value: Json) -> bytes:
    """Return JSON for people and programs alike."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _files(name: str, student: Artifact, dataset: Artifact) -> dict[str, bytes]:
    """Return the files of a student: its weights, and what rebuilds it."""
    weights = _safetensors(student)
    description = student_description(dataset, student, weights, name)
    return {f"{name}.safetensors": weights, f"{name}.json": as_json(description)}


def _safetensors(student: Artifact) -> bytes:
    from safetensors.numpy import save  # noqa: PLC0415

    return save({name: array.copy() for name, array in student.arrays.items()}, metadata={"format": "pt"})

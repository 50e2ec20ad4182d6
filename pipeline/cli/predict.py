"""`predict`: what a run's student, or its ensemble, sees in images."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rich.cells import cell_len

from pipeline.cli.kept import KeptRun
from pipeline.cli.sizes import Size, scaled
from pipeline.cli.tables import cell, console_for_rows, print_json, say, table_of, warn
from pipeline.errors import ConfigError, StageError
from pipeline.labels import fitted
from pipeline.stage import Json
from pipeline.visible import visible
from stages.learning import pictures
from stages.learning.errors import LearningError
from stages.report import words

if TYPE_CHECKING:
    from stages.inference import Classifier

STDIN = "-"
BATCH = 256
"""Pictures that are in memory at a time."""

_OTHERS = 15
"""Columns of a probability, and between it and the others."""
_LEAST = 12
"""Columns that an image, or a class, has at least."""


@dataclass(frozen=True)
class Seen:
    """What was seen in one image.

    Attributes:
        image: What it is called.
        size: Its height and width.
        classes: Class names and probabilities, the most probable first.
    """

    image: str
    size: Size
    classes: Sequence[tuple[str, float]]


def predict(
    run: KeptRun, images: Sequence[str], *, top: int, ensemble: bool, as_json: bool, stdin: BinaryIO | None = None
) -> None:
    """Print the most probable classes of images, and beside them how many were not of the network's size.

    Args:
        run: The run.
        images: Files, folders (all images in them, also in folders below), or `-` for an image on stdin.
        top: How many classes to tell of each.
        ensemble: Whether the teachers are asked, in place of the student.
        as_json: Whether to print JSON.
        stdin: What `-` reads; the program's own if None.

    Raises:
        ConfigError: There is no such image, `top` is less than 1, or the run has not reached its end.
        StageError: A network cannot be made again; or images cannot be read, which is told after the others were
            predicted.
    """
    if top < 1:
        raise ConfigError(f"--top: must be 1 or more; got {top}")
    names = list(_expanded(images))
    model = _ensemble(run) if ensemble else _student(run)
    faults: list[str] = []
    batches = (names[start : start + BATCH] for start in range(0, len(names), BATCH))
    seen = [found for batch in batches for found in _seen(model, batch, top, stdin, faults)]
    if as_json:
        print_json([_as_json(found, model.image_size) for found in seen])
    elif seen:
        _print(seen)
        say(f"by the {'ensemble' if ensemble else 'student'} of {run.name}")
    if told := scaled([found.size for found in seen], model.image_size, [found.image for found in seen]):
        warn(told)
    if faults:
        raise StageError("\n".join(faults))


def _as_json(found: Seen, taken: Size) -> Json:
    return {
        "image": found.image,
        "size": _pixels(found.size),
        "scaled_to": _pixels(taken) if found.size != taken else None,
        "classes": [{"name": name, "probability": probability} for name, probability in found.classes],
    }


def _pixels(size: Size) -> dict[str, Json]:
    height, width = size
    return {"width": width, "height": height}


def _expanded(images: Sequence[str]) -> Iterator[str]:
    faults = []
    for name in images:
        path = Path(name)
        if name == STDIN or path.is_file():
            yield name
        elif path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            faults.append(f"{name}: must be a folder that can be read; got Permission denied")
        elif path.is_dir():
            found = sorted(
                str(file) for file in path.rglob("*") if _is_image(file.relative_to(path)) and file.is_file()
            )
            faults += [] if found else [f"{name}: must hold images ({', '.join(pictures.ENDINGS)}); got none"]
            yield from found
        else:
            faults.append(f"{name}: must be an image, a folder of images, or - for stdin; got nothing of that name")
    if faults:
        raise ConfigError("\n".join(faults))


def _is_image(path: Path) -> bool:
    return pictures.is_picture(path.name) and not any(part.startswith(".") for part in path.parts)


def _student(run: KeptRun) -> "Classifier":
    folder = run.ended_folder()
    from stages.inference import student_in  # noqa: PLC0415  # brings torch: not before the images are known

    return student_in(folder)


def _ensemble(run: KeptRun) -> "Classifier":
    from stages.teachers import classifier, networks  # noqa: PLC0415  # brings torch and numba

    task = run.task("evaluate")
    inputs = run.networks(task)
    generalist, specialists = inputs["generalist"], inputs["specialists"]
    temperatures = [fit.facts["temperature"] for fit in inputs.get("calibrations", [])]
    together = networks(generalist, specialists, task.arguments["combine"], temperatures)
    return classifier(together, generalist, run.facts("data[train]")["class_names"])


def _seen(
    model: "Classifier", names: Sequence[str], top: int, stdin: BinaryIO | None, faults: list[str]
) -> Iterator[Seen]:
    """Yield what is seen in the images that can be read; why the others cannot is added to the faults."""
    read: list[Any] = []
    known: list[tuple[str, Size]] = []
    for name in names:
        file = _opened(name, stdin)
        try:
            # Of the header, for a JPEG may be decoded at a part of its size.
            header = pictures.read_header(file, _shown(name))
            picture = pictures.read(file, _shown(name), model.image_size)
            read.append(pictures.pixels(picture, model.image_size, model.channels))
        except LearningError as error:
            text = str(error)
            faults.append(text if text.startswith(_shown(name)) else f"{_shown(name)}: {text}")
        else:
            known.append((_shown(name), (header.height, header.width)))
    for (name, size), classes in zip(known, model.top(read, top), strict=True):
        yield Seen(name, size, classes)


def _opened(name: str, stdin: BinaryIO | None) -> "Path | BinaryIO":
    # Pillow looks at an image from several places, which a pipe does not allow.
    return io.BytesIO((stdin or sys.stdin.buffer).read()) if name == STDIN else Path(name)


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name


def _print(seen: Sequence[Seen]) -> None:
    console = console_for_rows()
    images = [visible(found.image) for found in seen]
    classes = [[visible(name) for name, _ in found.classes] for found in seen]
    files, names = _shortened(images, [name for several in classes for name in several], console.width)
    table = table_of("image", "class", "probability")
    for image, several, found in zip(images, classes, seen, strict=True):
        for rank, (name, (_, probability)) in enumerate(zip(several, found.classes, strict=True)):
            table.add_row(cell(files[image] if rank == 0 else ""), cell(names[name]), words.percent(probability))
    console.print(table)


def _shortened(images: Sequence[str], classes: Sequence[str], width: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return what images and classes are called where a row must fit; each gets at least half of the room."""
    room = max(width - _OTHERS, 2 * _LEAST)
    widest = [max(map(cell_len, names)) for names in (images, classes)]
    of_classes = max(room // 2, room - widest[0])
    return fitted(images, max(room // 2, room - widest[1])), fitted(classes, of_classes)

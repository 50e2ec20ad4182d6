"""Example images on which the specialists changed something, with what every model says of them."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Artifact, Facts
from stages.report.words import short_name

N_CLASSES = 5
"""Classes of an example that are shown at most."""
N_SPECIALISTS = 3
"""Active specialists of an example that are shown at most."""
DUSTBIN = "any other"


@dataclass(frozen=True)
class Column:
    """What one model says of an example.

    Attributes:
        name: The model's, such as `S1`.
        told: What it is, in full.
        probs: Of every class shown, and of all others, its probability; None where it has no such output.
    """

    name: str
    told: str
    probs: Sequence[float | None]


@dataclass(frozen=True)
class Example:
    """An example and what is said of it.

    Attributes:
        image: As a `data:` address.
        label: The name of its class.
        outcome: What the specialists made of the teachers' answer, and whether the student's is right, in words.
        classes: The names of the classes shown, and last what stands for all others.
        truth: Which of these is its own.
        columns: What the models say.
        n_hidden: Active specialists that are not among the columns.
    """

    image: str
    label: str
    outcome: str
    classes: Sequence[str]
    truth: int
    columns: Sequence[Column]
    n_hidden: int


def examples(evaluation: Artifact, specialists: Sequence[Facts], names: Sequence[str]) -> Iterator[Example]:
    """Yield the examples that the evaluation has kept to be shown.

    Args:
        evaluation: What stage `evaluate` returned.
        specialists: Of every specialist, its `name` and its `subset`.
        names: Of the classes.
    """
    arrays = evaluation.arrays
    for row, pixels in zip(arrays["shown"].tolist(), arrays["shown-images"], strict=True):
        yield _example(row, _data_address(pixels), arrays, specialists, names)


def _example(
    row: int, image: str, arrays: Mapping[str, NDArray[Any]], specialists: Sequence[Facts], names: Sequence[str]
) -> Example:
    label = int(arrays["labels"][row])
    full = {name: arrays[key][row] for name, key in _FULL.items()}
    classes = _classes_shown(full, label)
    active = [net for net, is_active in zip(specialists, arrays["active"][row], strict=True) if is_active]
    told = sorted(active, key=lambda net: label not in net["subset"])[:N_SPECIALISTS]
    of_specialists = [
        Column(
            short_name(specialists.index(net)),
            f"specialist for {', '.join(names[c] for c in net['subset'])}",
            _specialist(net, arrays[f"specialist-{net['name']}"][row], classes),
        )
        for net in told
    ]
    whole = {name: Column(name, _FULL_TOLD[name], _probs(log_probs, classes)) for name, log_probs in full.items()}
    return Example(
        image,
        names[label],
        _outcome(*(said.argmax() == label for said in full.values())),
        [*(names[c] for c in classes), DUSTBIN],
        classes.index(label),
        [whole["generalist"], *of_specialists, whole["ensemble"], whole["student"]],
        len(active) - len(told),
    )


_FULL = {"generalist": "generalist", "ensemble": "ensemble", "student": "student-distilled"}
_FULL_TOLD = {
    "generalist": "the generalist alone",
    "ensemble": "the generalist and the active specialists, combined",
    "student": "the distilled student",
}


def _classes_shown(full: Mapping[str, NDArray[Any]], label: int) -> list[int]:
    """Return the true class and those that the models find most probable, in the order of their ids."""
    best = [np.argsort(-log_probs, kind="stable").tolist() for log_probs in full.values()]
    ranked = [c for places in zip(*(order[:N_CLASSES] for order in best), strict=True) for c in places]
    return sorted(list(dict.fromkeys([label, *ranked]))[:N_CLASSES])


def _probs(log_probs: NDArray[Any], classes: Sequence[int]) -> list[float | None]:
    probs = np.exp(log_probs.astype(np.float64))
    own = [float(probs[c]) for c in classes]
    return [*own, max(0.0, 1.0 - sum(own))]


def _specialist(net: Facts, log_probs: NDArray[Any], classes: Sequence[int]) -> list[float | None]:
    """Return what a specialist says; what it gives to classes of its own that are not shown joins its dustbin's."""
    probs = np.exp(log_probs.astype(np.float64))
    place = {c: i for i, c in enumerate(net["subset"])}
    own = [float(probs[place[c]]) if c in place else None for c in classes]
    rest = max(0.0, 1.0 - sum(p for p in own if p is not None))
    return [*own, rest]


def _outcome(before: bool, after: bool, student: bool) -> str:  # noqa: FBT001  # a table of truths
    teachers = {
        (False, True): "put right",
        (True, False): "made wrong",
        (True, True): "right before and after",
        (False, False): "wrong before and after",
    }[bool(before), bool(after)]
    return f"teachers: {teachers}; student: {'right' if student else 'wrong'}"


def _data_address(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image  # noqa: PLC0415  # only what writes a page pays for it

    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((96, 96))
    written = io.BytesIO()
    picture.save(written, "PNG")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"

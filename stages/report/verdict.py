"""What the run's question is answered by: one statement of the student against its two controls, and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.report.words import Difference, certainty, direction, nats, points

_CONTROLS = {"generalist": "with the generalist alone", "hard": "with labels alone"}
"""What the same student was taught with, by the name of the control, in the order in which it is told."""


@dataclass(frozen=True)
class Verdict:
    """What the specialists did to the student.

    Attributes:
        answer: `yes`, `no` or `open`.
        headline: One sentence.
        reason: What it rests on, with its uncertainty.
    """

    answer: str
    headline: str
    reason: str


@dataclass(frozen=True)
class _Standing:
    """How the student stands to the same one that was taught otherwise.

    Attributes:
        verb: What it is or has.
        sign: 1 for better, -1 for worse, 0 where it may be chance.
        against: What the other was taught with, and the figures that are certain.
    """

    verb: str
    sign: int
    against: str


def verdict(differences: Mapping[str, Difference], imported: Sequence[Mapping[str, Any]] = ()) -> Verdict:
    """Return how the student with specialists stands to those without, accuracy first, then NLL.

    Where labels alone certainly teach the same student better, nothing was gained, whatever the specialists did.

    Args:
        differences: As results.json holds them: distilled minus each control.
        imported: As results.json holds it: what taught the student beside the specialists.
    """
    who = "specialists and the imported tables" if imported else "specialists"
    found = {name: differences[name] for name in _CONTROLS if name in differences}
    standings = {name: _standing(one, _CONTROLS[name]) for name, one in found.items()}
    stands = f"the student {_joined(list(standings.values()))}."
    headline = f"With the {who} {stands}"
    if "generalist" not in found:
        unknown = f"What the {who} did to the student cannot be said"
        headline = f"{unknown}: with all teachers {stands}" if found else f"{unknown}."
    return Verdict(_answer(found, standings), headline, " ".join(_reasons(found)))


def _answer(found: Mapping[str, Difference], standings: Mapping[str, _Standing]) -> str:
    if "hard" in found and direction(found["hard"]) < 0:
        return "no"
    return {1: "yes", 0: "open", -1: "no"}[standings["generalist"].sign] if "generalist" in standings else "open"


def _standing(found: Difference, control: str) -> _Standing:
    accuracy, nll = direction(found), -direction(found["nll"])
    figures = [f"{points(found['mean'])} points"] if accuracy else []
    if nll and (accuracy != nll):
        figures.append(f"NLL {nats(found['nll']['mean'])}")
    against = f"than {control}" + (f" ({', '.join(figures)})" if figures else "")
    return _Standing(_VERBS[accuracy, nll], accuracy or nll, against)


_VERBS = {
    (1, 1): "is better",
    (1, 0): "is better",
    (1, -1): "is more often right, with worse probabilities,",
    (0, 1): "has better probabilities",
    (0, 0): "is not shown to be better or worse",
    (0, -1): "has worse probabilities",
    (-1, 1): "is less often right, with better probabilities,",
    (-1, 0): "is worse",
    (-1, -1): "is worse",
}
"""How the student is told to stand, by the certain signs of its lead in accuracy and in NLL."""


def _joined(standings: Sequence[_Standing]) -> str:
    """Return how the student stands to all of them: a word that both share is said once."""
    told, former = [], None
    for one in standings:
        if former is None:
            told.append(f"{one.verb} {one.against}")
        elif one.verb == former.verb:
            told.append(f" {'and' if one.sign else 'or'} {one.against}")
        else:
            verb = one.verb.removeprefix("is ") if former.verb.startswith("is ") else one.verb
            told.append(f", {'and' if one.sign == former.sign else 'but'} {verb} {one.against}")
        former = one
    return "".join(told)


def _reasons(found: Mapping[str, Difference]) -> list[str]:
    """Return the figures against each control, what to do for one that is not there, and what none measures."""
    told = [f"The student minus the same one {_CONTROLS[name]}: {certainty(one)}" for name, one in found.items()]
    missing = [_MISSING[name] for name in _CONTROLS if name not in found]
    is_gain = "generalist" in found and direction(found["generalist"]) > 0
    return [*told, *missing, *([_UNMEASURED] if is_gain else [])]


_MISSING = {
    "generalist": (
        "Without the specialists nothing was trained to compare with: list `generalist` under `controls`, the same"
        " student taught by the generalist alone."
    ),
    "hard": (
        "What labels alone would have taught the same student is not known: list `hard` under `controls`, and it is"
        " trained beside it."
    ),
}
"""What is said of a control that was not asked for."""

_UNMEASURED = (
    "Whether another use of the specialists' cost would do more, such as training the generalist for longer, is not"
    " measured here."
)
"""What is said of a gain by the specialists, whichever controls there are."""

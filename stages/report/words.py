"""What a run was worth, in plain words: on the report, on a comparison's page and in the terminal.

Shares become percent, differences points of accuracy. What models are called is here, too. Of bytes and times see
`pipeline.amounts`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.counted import counted

Difference = Mapping[str, Any]


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


def verdict(differences: Mapping[str, Difference], imported: Sequence[Mapping[str, Any]] = ()) -> Verdict:
    """Return what the difference to the student without specialists says, accuracy first, then NLL.

    Args:
        differences: As results.json holds them: distilled minus each control.
        imported: As results.json holds it: what taught the student beside the specialists.
    """
    who = "specialists and the imported tables" if imported else "specialists"
    if "generalist" not in differences:
        return Verdict(
            "open",
            f"What the {who} did to the student cannot be said.",
            "Nothing was trained to compare with: list `generalist` under `controls`, the same student taught by the"
            " generalist alone.",
        )
    found = differences["generalist"]
    compared = f"the same student taught by the generalist alone: {told(found)}"
    if found["low"] > 0:
        return Verdict(
            "yes",
            f"The {who} made the student better.",
            f"It is more often right than {compared}. Whether another use of their cost would do more, such as training"
            " the generalist for longer, is not measured here.",
        )
    if found["high"] < 0:
        return Verdict("no", f"The {who} did harm.", f"The student is less often right than {compared}.")
    nll = found["nll"]
    nats_told = f"NLL {nats(nll['mean'])} (95 % interval {_ends(nll, nats)})"
    if nll["high"] < 0:
        return Verdict(
            "yes",
            f"The {who} made the student's probabilities better, its answers not for certain.",
            f"Against {compared}, which may be chance; {nats_told}, which is not.",
        )
    if nll["low"] > 0:
        return Verdict(
            "no",
            f"The {who} made the student's probabilities worse, and its answers not for certain better.",
            f"Against {compared}, which may be chance; {nats_told}, which is not.",
        )
    return Verdict(
        "open",
        f"This run does not show that the {who} made the student better.",
        f"Against {compared}; {nats_told}. Both intervals hold zero: the difference may be chance.",
    )


def harm(differences: Mapping[str, Difference]) -> str:
    """Return that labels alone teach the student better, where the interval says so; else nothing.

    Args:
        differences: As results.json holds them: distilled minus each control.
    """
    found = differences.get("hard")
    if found is None or found["high"] >= 0:
        return ""
    compared = f"distilled minus that, {told(found)}"
    return f"Labels alone taught the same student better: {compared}. The soft targets did harm here."


def beside(imported: Sequence[Mapping[str, Any]]) -> str:
    """Return what figures of the teachers leave out; nothing where nothing was imported.

    Args:
        imported: As results.json holds it.
    """
    if not imported:
        return ""
    names = ", ".join(table["name"] for table in imported)
    return (
        f"The student also learned from imported soft targets: {names}. What the teachers say of the test split is"
        " without these, which are of training examples alone; the student's difference to a control is what they and"
        " the specialists made together."
    )


def told(difference: Difference, over: str = "") -> str:
    """Return a difference of accuracies, such as `+1.39 points of accuracy (95 % interval -0.56 to +3.34)`.

    Args:
        difference: `mean`, `low` and `high`.
        over: What the interval is over, where that is not said beside it.
    """
    about = f"95 % interval {_ends(difference, points)}" + (f", {over}" if over else "")
    return f"{points(difference['mean'])} points of accuracy ({about})"


def spanned(difference: Difference, shown: Callable[[float], str]) -> str:
    """Return a difference with the ends of its interval alone, such as `+1.39 (-0.56 to +3.34)`."""
    return f"{shown(difference['mean'])} ({_ends(difference, shown)})"


def _ends(difference: Difference, shown: Callable[[float], str]) -> str:
    return f"{shown(difference['low'])} to {shown(difference['high'])}"


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share in percent; there is none where there are no examples to count."""
    return "none to count" if share is None else f"{100 * share:.{digits}f} %"


def points(share: float) -> str:
    """Return a difference of shares in points, signed; the sign of minus is a minus, not a hyphen."""
    return f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")


def nats(value: float) -> str:
    """Return a difference of NLLs in nats, signed likewise."""
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")


def times(ratio: float) -> str:
    """Return a ratio as `3.2 times`, with two digits or more."""
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def cover(of_classes: Sequence[int]) -> str:
    """Return how many classes are in how many subsets: `8 classes in 1 subset each, 2 classes in none.`."""
    counts = Counter(of_classes)
    where = {n: f"{counted(n, 'subset')} each" if n else "none" for n in counts}
    parts = [f"{counted(counts[n], 'class', 'classes')} in {where[n]}" for n in sorted(counts, reverse=True)]
    return f"{', '.join(parts)}."


def model_name(variant: str) -> str:
    """Return what a student is called: the distilled one, the refit, or a control."""
    return NO_CONTROLS.get(variant) or f"control: {taught_by(variant)}"


def taught_by(variant: str) -> str:
    """Return what teaches a control, which tells it from the student; of a refit, its name."""
    return TAUGHT_BY.get(variant, variant)


NO_CONTROLS = {"distilled": "student", "refit": "refit"}
TAUGHT_BY = {"hard": "labels alone", "generalist": "generalist alone"}
"""What teaches the controls, by name."""

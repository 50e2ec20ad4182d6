"""What a run was worth, in plain words: on the report, on a comparison's page and in the terminal.

Shares become percent, differences points of accuracy. What models are called is here, too. Of bytes and times see
`pipeline.amounts`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.amounts import duration
from pipeline.counted import counted
from pipeline.labels import fitted, listed_within
from stages.given_data import Background, warnings_of

Difference = Mapping[str, Any]


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Return what belongs beside the verdict whatever it is: what failed, what is uncertain, what the teachers came to.

    Args:
        results: What results.json holds.
    """
    differences, imported = results["differences"], results.get("imported", ())
    said = (
        without(results["specialists"], results["data"]["classes"]),
        too_wide(differences, len(results["seeds"])),
        of_teachers(results),
        beside(imported),
    )
    return [line for line in said if line]


def without(specialists: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> str:
    """Return which specialists failed, so that the run went on without them; nothing where none did.

    Args:
        specialists: As results.json holds them.
        classes: The names of all classes.
    """
    lost = {short_name(i): one["names"] for i, one in enumerate(specialists) if one["state"] == "dropped"}
    if not lost:
        return ""
    short = fitted(classes, LETTERS)
    which = "; ".join(f"{place} for {short_list([short[name] for name in names])}" for place, names in lost.items())
    return (
        f"{len(lost)} of {counted(len(specialists), 'specialist')} failed, and the run went on without: {which}."
        " The same run again tries once more."
    )


def short_list(names: Sequence[str]) -> str:
    """Return the classes of a specialist as a list that is no wider than a column of a table has room for.

    Args:
        names: Each short enough to be shown.
    """
    return listed_within(names, LIST)


def of_teachers(results: Mapping[str, Any]) -> str:
    """Return whether the ensemble is better than the generalist alone, which the specialists are trained for.

    Args:
        results: What results.json holds.
    """
    found = results["ensemble"]["lead"]
    accuracy, nll = direction(found), -direction(found["nll"])
    who, than = "The ensemble", "than the generalist alone"
    right, probs = _MORE[accuracy], _BETTER[nll]
    if accuracy and nll:
        join = "and" if accuracy == nll else "but"
        return f"{who} is {right} {than}, {join} its probabilities are {probs}: {certainty(found)}"
    if accuracy:
        return f"{who} is {right} {than}; whether its probabilities are better is not certain: {certainty(found)}"
    if nll:
        unsure = "whether it is right more often is not certain"
        return f"{who} has {probs} probabilities {than}; {unsure}: {certainty(found)}"
    return f"That the ensemble is better {than} is not shown: {certainty(found)}"


_MORE = {1: "more often right", 0: "", -1: "less often right"}
_BETTER = {1: "better", 0: "", -1: "worse"}
"""How a certain lead in accuracy is told, and one in NLL."""


def direction(found: Mapping[str, Any]) -> int:
    """Return 1 for a difference that is certainly above zero, -1 for one that is below, 0 where it may be chance."""
    return int(found["low"] > 0) - int(found["high"] < 0)


def over_what(n_seeds: int) -> str:
    """Return what the intervals are over, and what they leave out.

    Args:
        n_seeds: Of the students.
    """
    if n_seeds > 1:
        return (
            f"The intervals are over {n_seeds} seeds of the students and over test examples. All had the same teachers."
        )
    return (
        "The intervals are over test examples, for these networks. How much another seed would change,"
        " `seeds: [0, 1, 2]` in the config says."
    )


LETTERS = 17
"""Columns for the name of a class, at most, where it stands with others."""
LIST = 32
"""Columns for a list of these."""

WIDE = 0.2
"""From this width on, in accuracy, an interval over seeds says little: few differences are as large."""


def too_wide(differences: Mapping[str, Difference], n_seeds: int) -> str:
    """Return that intervals around zero say little for want of seeds; nothing where there is one, or they are narrow.

    Args:
        differences: As results.json holds them.
        n_seeds: What they are over.
    """
    uncertain = [found for found in differences.values() if not direction(found)]
    widest = max((found["high"] - found["low"] for found in uncertain), default=0.0)
    if n_seeds == 1 or widest < WIDE:
        return ""
    return (
        f"An interval that is {100 * widest:.0f} points wide says next to nothing: {n_seeds} seeds that differ so much"
        " are too few to tell what another would do. More `seeds` in the config make it narrower."
    )


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


def of_given(given: Sequence[Background]) -> list[str]:
    """Return what is to be warned of about given teachers, as sentences.

    Args:
        given: As results.json holds it.
    """
    return [f"{warning[0].upper()}{warning[1:]}." for warning in warnings_of(given)]


def told(difference: Difference) -> str:
    """Return a difference of accuracies, such as `+1.39 points of accuracy (95 % interval -0.56 to +3.34)`."""
    return f"{points(difference['mean'])} points of accuracy (95 % interval {_ends(difference, points)})"


def told_nll(difference: Difference) -> str:
    """Return a difference of NLLs, such as `NLL −0.0084 (95 % interval −0.0369 to +0.0193)`."""
    return f"NLL {nats(difference['mean'])} (95 % interval {_ends(difference, nats)})"


def certainty(difference: Difference) -> str:
    """Return a difference in accuracy and in NLL, and of each whether it may be chance."""
    nll = difference["nll"]
    maybe = [found["low"] <= 0 <= found["high"] for found in (difference, nll)]
    if maybe[0] == maybe[1]:
        both = "Both may be chance." if maybe[0] else "Neither interval includes zero."
        return f"{told(difference)}, {told_nll(nll)}. {both}"
    leads = difference["mean"], -nll["mean"]
    certain = [f"is {'better' if lead > 0 else 'worse'}, by more than chance" for lead in leads]
    of_accuracy, of_nll = ("may be chance" if one else known for one, known in zip(maybe, certain, strict=True))
    return f"{told(difference)}, which {of_accuracy}; {told_nll(nll)}, which {of_nll}."


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


def prepared_words(prepared: Mapping[str, float]) -> str:
    """Return what was prepared and how long that took, such as `20 s compiling kernels`."""
    return "; ".join(f"{duration(seconds)} {what}" for what, seconds in prepared.items())


def prepared_by_all(prepared: Mapping[str, float]) -> str:
    """Return the same of all processes together, each of which prepares for itself; nothing where none did."""
    return f"{prepared_words(prepared)}, summed over the processes" if prepared else ""


def short_name(number: int) -> str:
    """Return what a specialist is called: the list of its classes may be long."""
    return f"S{number + 1}"


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

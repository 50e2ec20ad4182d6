"""What `compare` says of differences, in the terminal and on the page: figures as text, and what they are over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.counted import in_words
from stages.report import words

if TYPE_CHECKING:
    from pipeline.cli.compare import Comparison
    from stages.learning.metrics import Interval
    from stages.side_by_side import Difference


@dataclass(frozen=True)
class Part:
    """A part of a comparison, as text.

    Attributes:
        title: What the rows are.
        rows: Name, accuracy and NLL of each.
        note: What the intervals are over.
    """

    title: str
    rows: Sequence[tuple[str, str, str]]
    note: str


def parts(found: "Comparison") -> list[Part]:
    """Return the differences from the first run, and what runs say together that differ in the seed alone."""
    made: list[Part] = []
    if found.differences:
        first = next(iter(found.letters.values()))
        rows = [(f"{found.letters[one.run]} {one.model}", *_difference(one)) for one in found.differences]
        made.append(Part(f"minus {first}", rows, "; ".join([*_seeds(found), _over(found.differences)])))
    for group in found.seeds:
        names = ", ".join(found.letters[name] for name in group.runs)
        means = [(model, _share(facts["accuracy"]), _value(facts["nll"])) for model, facts in group.means.items()]
        leads = [(f"minus {control}", _points(lead.accuracy), _nats(lead.nll)) for control, lead in group.leads.items()]
        note = (
            f"means and standard deviations over {len(group.runs)} seeds; differences are paired by seed, with 95 %"
            f" intervals over seeds and test examples (Student's){_of_few(len(group.runs))}"
        )
        made.append(Part(f"seeds: {names}", means + leads, note))
    return made


def notes(found: "Comparison") -> list[str]:
    """Return which runs went on without some of their specialists."""
    lacking = {frozenset(found.dropped.get(name, ())) for name in found.letters}
    so = ": its ensemble, and all that learned from it, differs by that, too" if len(lacking) > 1 else ""
    return [
        f"{found.letters[name]} went on without {in_words(dropped)}, which failed{so}"
        for name, dropped in found.dropped.items()
    ]


def _seeds(found: "Comparison") -> list[str]:
    """Return by run which seeds of its students are compared, and which are not, where it has several or another."""
    first = next(iter(found.letters.values()))
    students = {one.run: one for one in found.differences if one.model not in {"generalist", "ensemble"}}
    return [
        f"students of {found.letters[name]}: {_paired(one, found.letters[name], first)}"
        for name, one in students.items()
        if list(one.seeds) != list(one.against) or one.unused or one.unused_against or one.is_over_seeds
    ]


def _paired(one: "Difference", letter: str, first: str) -> str:
    """Return which seeds of two runs are paired, and which are not used, and why."""
    if set(one.seeds) != set(one.against):
        return f"{_numbers(one.seeds)} against {_numbers(one.against)}, unpaired, for the runs have none in common"
    unused = [
        f"{_numbers(seeds)} of {whose} not used, for {other} has no such"
        for seeds, whose, other in ((one.unused, letter, first), (one.unused_against, first, letter))
        if seeds
    ]
    return ", ".join([f"{_numbers(one.seeds)} paired with the same of {first}", *unused])


def _numbers(seeds: Sequence[int]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def _over(differences: "Sequence[Difference]") -> str:
    """Return what the intervals are over, and what they do not hold."""
    over = "points and nats, with 95 % intervals over test examples (paired bootstrap)"
    if not any(one.is_over_seeds for one in differences):
        return f"{over}; another seed may change more: of one seed there is no interval over seeds"
    fewest = min(min(len(one.seeds), len(one.against)) for one in differences if one.is_over_seeds)
    return (
        f"{over}, of students of several seeds over these, too (Student's){_of_few(fewest)}; where there is one seed,"
        " another may change more"
    )


def _of_few(n_seeds: int) -> str:
    """Return that an interval over so few seeds is too wide to say much, as the end of a sentence."""
    from stages.side_by_side import FEWEST  # noqa: PLC0415  # brings numpy

    return "" if n_seeds >= FEWEST else f": over fewer than {FEWEST} seeds they are too wide to say much (give more)"


def _difference(one: "Difference") -> tuple[str, str]:
    return ("same network", "") if one.same else (_points(one.accuracy), _nats(one.nll))


def _share(found: Mapping[str, float]) -> str:
    return f"{words.percent(found['mean'])} ± {100 * found['deviation']:.2f}"


def _value(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.4f} ± {found['deviation']:.4f}"


def _points(interval: "Interval") -> str:
    return words.spanned(interval._asdict(), words.points)


def _nats(interval: "Interval") -> str:
    return words.spanned(interval._asdict(), words.nats)

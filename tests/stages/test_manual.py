"""Subsets that the config lists."""

from pipeline.errors import MisfitError
from stages import manual

NAMES = ["cat", "dog", "deer", "deer", "frog"]


def test_resolve_gives_the_same_however_subsets_are_listed():
    expected = [[0, 1], [2, 3, 4]]
    assert manual.resolve([["dog", "cat"], [4, 3, 2]], NAMES) == expected
    assert manual.resolve([[2, "frog", 3], [0, "dog"]], NAMES) == expected


def test_resolve_takes_a_name_that_reads_like_a_number_for_a_name():
    assert manual.resolve([["1", 0]], ["5", "1", "0"]) == [[0, 1]]


def test_faults_of_names_all_and_what_may_be_meant():
    listed = [["cta", "dog"], [5, 0, "cat"], ["deer", -1], [0, 1, 2, 3, 4], ["dog", "cta"]]
    faults = [(("specialists", "subsets", *place), fault) for place, fault in manual.faults_of(listed, 5, NAMES)]
    assert str(MisfitError(faults)).splitlines() == [
        "specialists.subsets[0][0]: must be the name of a class; got 'cta'; did you mean 'cat'?",
        "specialists.subsets[1][0]: must be a class id within 0..4; got 5",
        "specialists.subsets[1][2]: must be listed once in its subset; got 'cat' again",
        "specialists.subsets[2][0]: must be a class id, for several classes have this name; got 'deer'",
        "specialists.subsets[2][1]: must be a class id within 0..4; got -1",
        "specialists.subsets[3]: must leave out one of the 5 classes or more; got 5 of them",
        "specialists.subsets[4][1]: must be the name of a class; got 'cta'; did you mean 'cat'?",
        "specialists.subsets[4]: must be another subset than those before it; got ['dog', 'cta'] again",
    ]


def test_faults_of_leaves_names_alone_while_they_are_not_known():
    assert list(manual.faults_of([["cta", "dog"], ["dog", "dog"]], 5)) == [
        ((1, 1), "must be listed once in its subset; got 'dog' again")
    ]

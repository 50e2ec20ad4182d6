"""Facts that stand in for those that are not there yet."""

import numpy as np
import pytest

from stages import assumptions, tasks
from stages.learning.split import split_holdout
from stages.parameters import Parameters


def parameters(**sections):
    return Parameters.model_validate({"data": {"source": "npz:x.npz"}} | sections)


def test_assumed_holdout_is_what_is_held_out():
    wanted = parameters(data={"source": "npz:x.npz", "holdout": 0.17})
    counts = [2, 3, 10, 101, 7]
    labels = np.repeat(np.arange(5), counts)
    facts = assumptions.data(
        wanted.data.holdout, class_names=list("abcde"), class_counts=counts, test=3, image_shape=[2, 2, 1]
    )
    assert facts["data[train]"]["holdout"] == split_holdout(labels, 0.17, seed=5).sum()
    assert facts["data[train]"]["transfer"] + facts["data[train]"]["holdout"] == len(labels)


@pytest.mark.parametrize(
    ("specialists", "sizes"),
    [
        ({"count": 3}, [4, 4, 4]),
        ({"count": 4, "size": 6}, [6] * 4),
        ({"method": "manual", "subsets": [[0, 1], [2, 3, 4]]}, [2, 3]),
    ],
)
def test_assumed_subsets_are_as_many_and_as_large_as_asked_for(specialists, sizes):
    subsets = assumptions.subsets(parameters(specialists=specialists), 10)["subsets"]["subsets"]
    assert [len(set(subset["classes"])) for subset in subsets] == sizes
    assert len({tuple(subset["classes"]) for subset in subsets}) == len(sizes)


def test_open_subsets_share_no_specialist():
    halves = assumptions.data(0.15, class_names="abcde", class_counts=[9] * 5, test=3, image_shape=[2, 2, 1])
    lists = [tasks.specialist(parameters(), {"models": {}} | halves | way) for way in assumptions.OPEN_SUBSETS]
    first, second = ({task.id for task in listed} for listed in lists)
    assert not first & second
    assert first | second

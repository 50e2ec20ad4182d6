"""A student that two processes train is the one that one alone trains."""

import numpy as np
import pytest

from pipeline.stage import Team, Work
from stages import student
from stages.parameters import SmallModelParameters
from tests.stages.conftest import STUDENT
from tests.stages.team import SIZE, in_each

MLP = STUDENT.model_copy(update={"model": SmallModelParameters(name="mlp", width=8), "match_frequencies": True})


def train(team, parameters, dataset, views, targets):
    """Return a student, trained on batches of 32, 32, ..., 16."""
    work = Work(seed=11, team=team)
    return student.train(dataset=dataset, views=views, targets=targets, student=parameters, work=work)


def test_two_train_the_student_of_one(dataset, two_views, combined_tables, pool, tmp_path):
    alone = train(Team(), MLP, dataset, two_views, combined_tables)
    both = MLP.model_copy(update={"workers": SIZE})
    asked = in_each(pool, tmp_path, train, both, dataset, two_views, combined_tables)
    first, other = (end.result() for end in asked)
    assert first.facts == other.facts
    assert all(np.array_equal(first.arrays[name], other.arrays[name]) for name in first.arrays)
    assert first.facts["holdout"] == pytest.approx(alone.facts["holdout"], rel=1e-4)
    assert first.facts["shift"] == pytest.approx(alone.facts["shift"], abs=1e-4)
    assert all(np.allclose(first.arrays[name], alone.arrays[name], atol=1e-5) for name in alone.arrays)


def test_as_many_must_train_as_the_recipe_says(dataset, two_views):
    with pytest.raises(ValueError, match=r"^student.workers must be the number of processes .* got 2 for 1$"):
        train(Team(), MLP.model_copy(update={"workers": 2}), dataset, two_views, [])

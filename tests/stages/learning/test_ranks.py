"""Processes that train together: two on the CPU end where one alone does."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.stage import Team
from stages.learning import models, objectives, training, views
from stages.learning.batches import Batch, Share, batch_slices, share_of
from stages.learning.errors import TrainingError
from stages.learning.meeting import joined
from stages.learning.ranks import ALONE
from stages.learning.settings import Settings
from tests.stages.learning.test_training import EVERYTHING, MEAN, STD, Kept, judged, stripes, with_dropout
from tests.stages.team import in_each

BATCH = 15
"""Of 48 examples: a share has 7 or 8, and of the last batch one or two."""

SETTINGS = Settings(epochs=4, steps_per_epoch=4, learning_rate=0.1)


def batches_of(ranks, images, labels):
    def batches(epoch, first):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        for batch in batch_slices(len(images), BATCH)[first:]:
            share = ranks.share(batch)
            rows = order[share.rows]
            yield Batch(views.normalise(images[rows], MEAN, STD), labels[rows], weight=share.weight)

    return batches


class Spare(torch.nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.used = models.build("mlp", classes=3, channels=1, image_size=(8, 8), width=8, seed=1)
        self.spare = torch.nn.Linear(2, 2)

    def forward(self, images):
        return self.used(images)


def made(name):
    kinds = {"spare": Spare, "dropout": with_dropout}
    if name in kinds:
        return kinds[name]()
    return models.build(name, classes=3, channels=1, image_size=(8, 8), width=8, seed=1)


def train(team, settings, name="mlp", kept=None):
    """Return weights, history and what was kept of a training, perhaps one of several processes'."""
    model, checkpoint = made(name), Kept()
    if kept is not None and team.rank == 0:
        checkpoint.saved[kept.facts["step"]] = kept
    with joined(team) as ranks:
        history = training.fit(
            model,
            batches_of(ranks, *stripes()),
            objectives.labels_loss,
            settings,
            validate=lambda: judged(model),
            checkpoint=checkpoint,
            ranks=ranks,
        )
    return models.state_to_arrays(model), history, checkpoint.saved


def test_shares_are_the_batch_and_weigh_as_much():
    for n in range(1, 12):
        shares = [share_of(slice(10, 10 + n), rank, 4) for rank in range(4)]
        counted = [row for rows, weight in shares if weight for row in range(rows.start, rows.stop)]
        assert counted == list(range(10, 10 + n))
        assert sum(share.weight for share in shares) == pytest.approx(1.0)
        assert all(rows.stop - rows.start >= min(n, 2) for rows, _ in shares)
    assert share_of(slice(10, 13), 3, 4) == Share(slice(10, 13), 0.0)
    assert ALONE.share(slice(5, 9)) == Share(slice(5, 9), 1.0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {}),
        ("mlp", {"optimiser": "adamw", "learning_rate": 0.01, "ema": 0.8, "keep": "best", "clip": 1.0}),
        ("spare", {"max_norm": 1.0}),
    ],
)
def test_two_end_where_one_alone_does(pool, tmp_path, name, options):
    settings = dataclasses.replace(SETTINGS, **options)
    expected, history, _ = train(Team(), settings, name)
    (weights, told, _), (_, others, _) = (end.result() for end in in_each(pool, tmp_path, train, settings, name))
    assert told == others
    for epoch, alone in zip(told, history, strict=True):
        assert epoch == pytest.approx(alone, rel=1e-4)
    assert list(weights) == list(expected)
    assert max(np.abs(weights[array] - expected[array]).max() for array in expected) < 1e-5
    moved = models.state_to_arrays(made(name))
    assert max(np.abs(moved[array] - expected[array]).max() for array in expected) > 0.01


def test_two_learn_with_norms_of_their_own_shares(pool, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=12)
    first, other = (end.result() for end in in_each(pool, tmp_path, train, settings, "cnn"))
    assert first[1][-1]["accuracy"] == 1.0
    arrays, others = first[0], other[0]
    assert all(np.array_equal(arrays[name], others[name]) for name in arrays if "running" not in name)


def test_two_go_on_from_what_the_first_has_kept_with_the_same_bits(pool, tmp_path):
    settings = dataclasses.replace(SETTINGS, **EVERYTHING)
    (whole, history, kept), (_, _, nothing) = (
        end.result() for end in in_each(pool, tmp_path, train, settings, "dropout")
    )
    assert list(kept) == list(range(1, 17))
    assert nothing == {}
    for step in (6, 8):  # in an epoch, and at the end of one
        first, other = (end.result() for end in in_each(pool, tmp_path, train, settings, "dropout", kept[step]))
        assert first[1] == other[1] == history
        assert min(first[2]) == step
        assert all(np.array_equal(first[0][name], whole[name]) for name in whole)


def units_left(team):
    """Return which units each step left in the network of one process."""
    model, left = with_dropout(), []
    model[3].register_forward_hook(lambda module, given, made: left.append((made != 0).flatten().tolist()))
    images = torch.full((2, 1, 8, 8), 1.0)

    def batches(epoch, first):
        return [Batch(images, torch.tensor([0, 1]), weight=0.5)] * 2

    def objective(logits, batch):
        return 0 * logits.sum()  # the networks stay alike

    settings = dataclasses.replace(SETTINGS, epochs=1, steps_per_epoch=2, weight_decay=0.0)
    with joined(team) as ranks:
        training.fit(model, batches, objective, settings, ranks=ranks)
    return left


def test_two_leave_out_other_units_of_the_same_images(pool, tmp_path):
    (first, then), (other, _) = (end.result() for end in in_each(pool, tmp_path, units_left))
    assert first != then
    assert first != other


def fail_second(team):
    def objective(logits, batch):
        if team.rank == 1:
            raise TrainingError("the second must fail")
        return objectives.labels_loss(logits, batch)

    with joined(team) as ranks:
        training.fit(made("mlp"), batches_of(ranks, *stripes()), objective, SETTINGS, ranks=ranks)


def test_one_that_fails_says_why_and_the_other_that_it_has_gone(pool, tmp_path):
    first, second = in_each(pool, tmp_path, fail_second)
    with pytest.raises(TrainingError, match=r"^the second must fail$"):
        second.result()
    with pytest.raises(ConnectionError, match=r"^worker 1 of 2 must stay in touch with the others; got .*gloo"):
        first.result()


def test_what_the_first_cannot_do_is_its_own_error(pool, tmp_path):
    first, _ = in_each(pool, tmp_path, diverge)
    with pytest.raises(TrainingError, match=r"^loss must be finite; got nan in epoch 1 of 4, step 1 of 4"):
        first.result()


def diverge(team):
    def objective(logits, batch):
        return objectives.labels_loss(logits, batch) * (float("nan") if team.rank == 1 else 1.0)

    with joined(team) as ranks:
        training.fit(made("mlp"), batches_of(ranks, *stripes()), objective, SETTINGS, ranks=ranks)

"""What the stages that train have in common."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact, Work
from stages import fitting, network
from stages.data import training_rows
from stages.learning import amounts, views
from stages.learning.errors import TrainingError
from stages.learning.objectives import labels_loss
from stages.learning.settings import Settings
from stages.parameters import AugmentParameters, ModelParameters, TrainingParameters
from stages.shown import Pixels, replayed_view


@pytest.fixture(scope="module")
def pixels(dataset):
    return Pixels.of(dataset)


def epoch_of(dataset, view, order, log_q=None):
    shown, parameters = replayed_view(view, order)
    return fitting.Epoch(shown, dataset.arrays["labels"][shown], parameters, log_q)


def test_student_and_teacher_see_the_same_pixels(dataset, two_views, pixels):
    order = fitting.permutation(240, Work(seed=1), 0)
    shown_to_student = torch.cat([batch.images for batch in epoch_of(dataset, two_views[1], order).batches(pixels, 32)])
    seen_by_teacher = pixels.seen(*replayed_view(two_views[1], np.arange(240)))
    normalised = views.normalise(seen_by_teacher, pixels.mean, pixels.std)
    assert torch.equal(shown_to_student, normalised[order])


def test_batches_are_made_ahead_where_they_are_read_for_a_gpu(dataset, pixels):
    on_gpu = dataclasses.replace(pixels, device=torch.device("meta"))
    resident = Pixels.of(dataset, budget=2**30)
    for where in (pixels, resident, dataclasses.replace(on_gpu, resident=resident.resident)):
        batches = iter("abc")
        assert fitting.in_time(batches, where) is batches
    batches = iter("abc")
    coming = fitting.in_time(batches, on_gpu)
    assert coming is not batches
    assert list(coming) == ["a", "b", "c"]


def test_pixels_seen_are_augmented(dataset, two_views, pixels):
    examples = training_rows(dataset)
    seen = [pixels.seen(*replayed_view(view, np.arange(240))) for view in two_views]
    assert not torch.equal(seen[0], seen[1])
    nothing = {name: np.zeros(240, dtype=np.int8) for name in ("dx", "dy", "flip")}
    assert torch.equal(pixels.seen(examples, nothing), pixels.seen(examples))


def test_epoch_gives_every_batch_its_own_labels_and_soft_targets(dataset, two_views, pixels):
    order = np.arange(240)[::-1].copy()
    log_q = torch.arange(240.0)[:, None]
    batches = list(epoch_of(dataset, two_views[0], order, log_q).batches(pixels, 100))
    assert [len(batch.labels) for batch in batches] == [100, 100, 40]
    assert torch.equal(torch.cat([batch.log_q for batch in batches]), log_q)
    labels = dataset.arrays["labels"][two_views[0].arrays["examples"]]
    assert torch.cat([batch.labels for batch in batches]).tolist() == labels[order].tolist()


@pytest.mark.parametrize("first", [0, 1, 2, 3, 5])
def test_batches_made_together_are_those_made_one_by_one_wherever_they_begin(dataset, two_views, pixels, first):
    asked = []

    class LogQ:
        def __getitem__(self, rows):
            asked.append((rows.start, rows.stop))
            return torch.arange(240.0)[rows, None]

    epoch = epoch_of(dataset, two_views[0], np.arange(240), LogQ())
    alone = list(epoch.batches(pixels, 50, first))
    asked.clear()
    together = list(epoch.batches(pixels, 50, first, together=2))
    assert asked == [(0, 100), (100, 200), (200, 240)][first // 2 :]
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.log_q, other.log_q)


def test_small_batches_are_made_together_on_a_gpu_as_many_as_there_is_room_for(pixels):
    def together(batch_size, side):
        images = np.broadcast_to(np.uint8(0), (1, side, side, 3))
        there = dataclasses.replace(pixels, images=images, device=torch.device("cuda"))
        return fitting.batches_together(there, batch_size)

    assert [together(128, 32), together(2048, 32), together(4096, 224)] == [8, 2, 1]
    assert fitting.batches_together(pixels, 16) == 1


def test_permutation_is_another_in_each_epoch_and_for_each_seed():
    first = fitting.permutation(50, Work(seed=1), 0)
    assert sorted(first) == list(range(50))
    assert np.array_equal(first, fitting.permutation(50, Work(seed=1), 0))
    assert not np.array_equal(first, fitting.permutation(50, Work(seed=1), 1))
    assert not np.array_equal(first, fitting.permutation(50, Work(seed=2), 0))


def test_fresh_views_of_what_is_shown_again_differ(pixels):
    augment, work = AugmentParameters(shift=3), Work(seed=5)
    ids = np.array([7, 2, 7, 9, 7, 2])
    drawn = fitting.fresh_views(pixels, ids, augment, work, 2)
    once = fitting.fresh_view(pixels, np.array([7, 2, 9]), augment, work, 2)
    assert all(np.array_equal(drawn[name][[0, 1, 3]], once[name]) for name in once)
    shown = [(int(i), int(dx), int(dy)) for i, dx, dy in zip(ids, drawn["dx"], drawn["dy"], strict=True)]
    assert len(set(shown)) == len(ids)
    many = np.tile(np.arange(50), 40)
    of_many = fitting.fresh_views(pixels, many, augment, work, 2)
    shown = set(zip(many.tolist(), of_many["dx"].tolist(), of_many["dy"].tolist(), strict=True))
    assert len(shown) > 50 * 20  # of 49 shifts each
    assert len(fitting.fresh_views(pixels, many[:0], augment, work, 2)["dx"]) == 0


def test_fresh_view_depends_on_the_example_and_not_on_its_place(pixels):
    augment, work = AugmentParameters(shift=3, flip=True, rotate=20, cutout=2, padding="reflect"), Work(seed=1)
    ids = np.arange(40)
    drawn, reversed_ = (fitting.fresh_view(pixels, shown, augment, work, 2) for shown in (ids, ids[::-1].copy()))
    assert set(drawn) == set(amounts.AMOUNTS)
    assert all(np.array_equal(drawn[name], reversed_[name][::-1]) for name in drawn)
    assert not np.array_equal(drawn["dx"], fitting.fresh_view(pixels, ids, augment, work, 3)["dx"])


def test_holdout_judges_all_classes(dataset):
    whole = fitting.Holdout.of(dataset)
    logits = 100.0 * torch.nn.functional.one_hot(torch.from_numpy(whole.labels), 5)
    assert whole.judge(logits) == pytest.approx({"accuracy": 1.0, "nll": 0.0})


def test_holdout_of_a_subset_has_its_examples_alone_and_no_dustbin(dataset):
    inside = fitting.Holdout.of_subset(dataset, [2, 3])
    assert (dataset.arrays["labels"][inside.examples] == inside.labels + 2).all()
    assert np.bincount(inside.labels).tolist() == [12, 12]
    logits = torch.nn.functional.one_hot(torch.from_numpy(inside.labels), 3).float()
    logits[:, 2] = 50.0  # all that the dustbin says is not looked at
    assert inside.judge(logits)["accuracy"] == 1.0
    assert inside.judge(logits)["nll"] == pytest.approx(np.log1p(np.exp(-1.0)))


def test_fit_tells_its_progress_and_the_holdout(dataset, two_views, pixels):
    told = []
    description = network.describe(ModelParameters(width=2), outputs=5, dataset=dataset)
    history = fitting.fit(
        network.build(description, seed=0),
        pixels,
        lambda number: epoch_of(dataset, two_views[number % 2], np.arange(240)),
        labels_loss,
        fitting.Holdout.of(dataset),
        parameters=TrainingParameters(epochs=2, batch_size=120),
        work=Work(seed=2**63 - 1, progress=told.append),
    )
    assert [set(facts) for facts in history] == [{"epoch", "loss", "accuracy", "nll"}] * 2
    assert told == [{"epochs": 2, **facts} for facts in history]


def test_every_setting_of_a_training_can_be_asked_for():
    asked = set(TrainingParameters.model_fields)
    assert {field.name for field in dataclasses.fields(Settings)} - asked == {"steps_per_epoch", "seed"}
    assert asked - {field.name for field in dataclasses.fields(Settings)} == {
        "batch_size", "threads", "label_smoothing",
    }  # fmt: skip


def test_fit_refuses_epochs_of_different_lengths(dataset, two_views, pixels):
    description = network.describe(ModelParameters(width=2), outputs=5, dataset=dataset)
    with pytest.raises(TrainingError, match="epoch 2 must have 2 batches"):
        fitting.fit(
            network.build(description, seed=0),
            pixels,
            lambda number: epoch_of(dataset, two_views[0], np.arange(240 if number == 0 else 120)),
            labels_loss,
            fitting.Holdout.of(dataset),
            parameters=TrainingParameters(epochs=2, batch_size=120),
            work=Work(),
        )


def test_network_comes_back_from_its_artifact(dataset, generalist_net):
    images = torch.from_numpy(dataset.arrays["images"][:20])
    rebuilt = network.from_artifact(generalist_net)
    again = network.to_artifact(rebuilt, generalist_net.facts["network"], {})
    assert all(np.array_equal(again.arrays[name], generalist_net.arrays[name]) for name in generalist_net.arrays)
    assert (
        again.facts["parameters"] == generalist_net.facts["parameters"] == sum(p.numel() for p in rebuilt.parameters())
    )
    once = network.predictor(generalist_net, images.device)
    assert torch.equal(once(images), network.predict(generalist_net, images))
    assert torch.equal(once(images), once(images))


def test_network_takes_read_only_weights(generalist_net):
    frozen = {name: np.broadcast_to(array, array.shape) for name, array in generalist_net.arrays.items()}
    found = network.predict(Artifact(frozen, generalist_net.facts), torch.zeros(1, 8, 8, 1, dtype=torch.uint8))
    assert found.shape == (1, 5)

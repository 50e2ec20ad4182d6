"""The halves of a data set."""

import numpy as np
import pytest

from pipeline.errors import StageError
from pipeline.stage import Work
from stages import data, views
from stages.learning.errors import LearningError
from stages.parameters import AugmentParameters


def test_load_holds_out_the_same_share_of_each_class(dataset):
    held_out = dataset.arrays["labels"][dataset.arrays["holdout"]]
    assert np.bincount(held_out).tolist() == [12] * 5
    assert dataset.facts["class_names"] == [f"class {c}" for c in range(5)]
    assert (dataset.facts["transfer"], dataset.facts["holdout"]) == (240, 60)


def test_load_measures_mean_and_std_without_the_holdout(dataset):
    seen = dataset.arrays["images"][~dataset.arrays["holdout"]] / 255
    assert dataset.facts["mean"] == pytest.approx(seen.mean(axis=(0, 1, 2)))
    assert dataset.facts["std"] == pytest.approx(seen.std(axis=(0, 1, 2)))


def test_load_measures_each_channel_over_all_blocks():
    images = np.random.default_rng(0).integers(0, 256, (2500, 3, 3, 3), dtype=np.uint8)
    images[..., 1] //= 4
    images[..., 2] = 7
    mean, std = data._channel_statistics(images)
    assert mean == pytest.approx(images.mean(axis=(0, 1, 2)) / 255)
    assert std == pytest.approx(images.std(axis=(0, 1, 2)) / 255)


def test_load_only_centres_a_channel_that_never_varies(tmp_path):
    labels = np.array([0, 0, 1, 1])
    images = np.full((4, 2, 2), 51, dtype=np.uint8)
    np.savez(tmp_path / "flat.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    digest = data.sources.identify("npz:flat.npz", tmp_path).digest
    half = data.load(
        split="train", kind="npz", digest=digest, source="npz:flat.npz", root=str(tmp_path), holdout=0.5, work=Work()
    )
    assert half.facts["mean"] == pytest.approx([0.2])
    assert half.facts["std"] == [1e-3]


def test_load_draws_the_holdout_from_the_seed(source, dataset):
    same, other = (data.load(split="train", holdout=0.2, work=Work(seed=seed), **source) for seed in (3, 4))
    assert np.array_equal(same.arrays["holdout"], dataset.arrays["holdout"])
    assert not np.array_equal(other.arrays["holdout"], dataset.arrays["holdout"])


def test_load_holds_nothing_out_where_nothing_is_asked_for(source):
    whole = data.load(split="train", holdout=0.0, work=Work(seed=3), **source)
    assert (whole.facts["transfer"], whole.facts["holdout"]) == (300, 0)
    assert not whole.arrays["holdout"].any()
    assert whole.facts["mean"] == pytest.approx([whole.arrays["images"].mean() / 255])


def test_load_gives_the_test_half_whatever_the_seed(source, test_half):
    other = data.load(split="test", work=Work(seed=99), **source)
    assert all(np.array_equal(other.arrays[name], test_half.arrays[name]) for name in ("images", "labels"))
    names = [f"class {c}" for c in range(5)]
    image_shape = list(test_half.arrays["images"].shape[1:])
    assert other.facts == test_half.facts == {"class_names": names, "image_shape": image_shape, "test": 100}


def test_load_refuses_another_digest(source):
    with pytest.raises(LearningError, match="must be what it was when the run was planned"):
        data.load(split="test", work=Work(), **source | {"digest": "0" * 64})


@pytest.mark.parametrize(("split", "holdout"), [("train", None), ("test", 0.2)])
def test_load_refuses_a_holdout_where_it_does_not_belong(source, split, holdout):
    with pytest.raises(StageError, match="holdout or folds must be given for the training half and for no other"):
        data.load(split=split, holdout=holdout, work=Work(), **source)


def test_training_rows_are_what_is_not_held_out(dataset):
    rows = data.training_rows(dataset)
    assert len(rows) == 240
    assert not dataset.arrays["holdout"][rows].any()
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize(("name", "amount"), [("shift", 8), ("shift", 127), ("cutout", 8)])
def test_views_draw_refuses_what_can_leave_nothing(dataset, name, amount):
    with pytest.raises(StageError, match=f"augment.{name} must be less than the image's smaller side, 8; got {amount}"):
        views.draw(dataset=dataset, augment=AugmentParameters(**{name: amount}), view=0, work=Work())


def test_views_draw_lists_the_transfer_set_and_its_augmentation(dataset):
    drawn = views.draw(dataset=dataset, augment=AugmentParameters(shift=2, flip=True), view=1, work=Work(seed=2))
    assert np.array_equal(drawn.arrays["examples"], data.training_rows(dataset))
    assert all(drawn.arrays[name].dtype == np.int8 for name in ("dx", "dy", "flip"))
    assert (abs(drawn.arrays["dx"]).max(), drawn.arrays["flip"].max()) == (2, 1)
    assert drawn.facts == {"view": 1, "rows": 240}

"""Reading tables: by row, by example and view, in batches, as a Dataset; straight from the stages and from a store."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipeline.errors import DamagedError, StageError, StoreError
from pipeline.stage import Artifact
from pipeline.store import Store
from stages import soft_targets, tables
from stages.shown import Pixels, replayed_view
from stages.soft_targets import SoftTargets

TEACHERS = ["combined", "generalist", "0-1", "2-3"]


@pytest.fixture(params=TEACHERS)
def teacher(request):
    return request.param


def exact(kept, teacher):
    """Return the log-probabilities of all rows, computed from the shards in float64."""
    return torch.cat([soft_targets.decode_probs(shard).log() for shard in kept.whole(teacher)]).float()


def test_rows_are_those_of_the_shards_in_order(kept, teacher):
    targets = kept.open(teacher)
    found = targets.log_probs(range(len(targets)))
    assert found.dtype == torch.float32
    assert found.shape == (len(targets), targets.n_outputs)
    assert torch.allclose(found, exact(kept, teacher), atol=1e-5)


def test_reading_from_a_store_is_reading_from_the_stages(kept, teacher, two_views, dataset):
    straight = SoftTargets(kept.whole(teacher), two_views, dataset)
    rows = np.random.default_rng(0).integers(0, len(straight), 100)
    assert torch.equal(straight.log_probs(rows), kept.open(teacher).log_probs(rows))


@pytest.mark.parametrize(
    "rows", [range(20, 60), [5, 3, 3], [7], [149, 150, 151], [479, 0, 200, 3], [20, 22, 21, 23], []], ids=str
)
def test_kept_rows_are_copies_of_what_the_stages_made(kept, rows):
    found = kept.open("generalist").kept(rows)
    assert set(found) == {"logits"}
    whole = np.concatenate([shard.arrays["logits"] for shard in kept.whole("generalist")])
    assert found["logits"].dtype == np.float16
    assert np.array_equal(found["logits"], whole[list(rows)])
    found["logits"][:] = 0
    assert np.array_equal(kept.open("generalist").kept(rows)["logits"], whole[list(rows)])


@pytest.mark.parametrize("index", [7, np.int64(7), [7], np.array([7], np.uint8), torch.tensor([7])])
def test_rows_may_be_given_in_any_way(kept, index):
    targets = kept.open()
    assert torch.equal(targets.log_probs(index), targets.log_probs(range(7, 8)))


@pytest.mark.parametrize("index", [-1, 480, [0, 480]])
def test_rows_outside_of_the_table_are_refused(kept, index):
    with pytest.raises(IndexError, match=r"rows must be within 0\.\.479; got"):
        kept.open().log_probs(index)


def test_rows_that_are_no_whole_numbers_are_refused(kept):
    with pytest.raises(TypeError, match="rows must be whole numbers; got float64"):
        kept.open().log_probs([0.5])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_log_probs_are_tempered_on_read(kept, temperature):
    targets = kept.open()
    expected = (exact(kept, "combined") / temperature).log_softmax(dim=1)
    assert torch.allclose(targets.log_probs(range(480), temperature=temperature), expected, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(kept, temperature):
    with pytest.raises(StageError, match="temperature must be positive; got"):
        kept.open().log_probs(0, temperature=temperature)


def test_find_and_ids_are_inverse(kept, teacher):
    targets = kept.open(teacher)
    rows = np.random.default_rng(0).permutation(len(targets))
    examples, views = targets.ids(rows)
    assert np.array_equal(targets.find(examples, views), rows)
    assert targets.contains(examples, views).all()


def test_ids_are_those_of_the_views(kept, two_views):
    examples, views = kept.open().ids(range(480))
    assert np.array_equal(examples, np.concatenate([view.arrays["examples"] for view in two_views]))
    assert views.tolist() == [0] * 240 + [1] * 240


def test_specialist_has_the_rows_it_was_asked_about_and_no_others(kept):
    targets = kept.open("0-1")
    asked = [
        start + np.asarray(shard.arrays["rows"]) for start, shard in zip((0, 150), kept.whole("0-1")[:2], strict=True)
    ]
    examples = kept.artifacts["views[0]"].arrays["examples"]
    is_there = targets.contains(examples, 0)
    assert np.flatnonzero(is_there).tolist() == np.concatenate(asked).tolist()
    absent = examples[~is_there]
    with pytest.raises(
        StageError, match=rf"0-1 was asked about; got {len(absent)} that are not, such as {absent[0]} in"
    ):
        targets.find(examples, 0)


@pytest.mark.parametrize(("example", "view"), [(10**6, 0), (-1, 1), (0, 2)])
def test_find_refuses_what_was_never_shown(kept, example, view):
    assert not kept.open().contains(example, view).any()
    with pytest.raises(StageError, match=rf"got 1 that are not, such as {example} in view {view}"):
        kept.open().find(example, view)


def test_held_out_examples_have_no_row(kept, dataset):
    assert not kept.open().contains(np.flatnonzero(dataset.arrays["holdout"]), 0).any()


def test_find_refuses_what_is_no_id(kept):
    with pytest.raises(TypeError, match="examples must be whole numbers; got float32"):
        kept.open().find(torch.tensor([0.5]), 0)
    with pytest.raises(TypeError, match="views must be whole numbers; got bool"):
        kept.open().contains([0], True)


def test_find_takes_an_empty_request(kept):
    assert kept.open().find([], 0).shape == (0,)


def test_specialist_that_was_never_asked_has_an_empty_table(kept, two_views, dataset):
    shards = [
        Artifact(soft_targets.encode(torch.empty(0, 3)) | {"rows": np.empty(0, np.int64)}, shard.facts | {"rows": 0})
        for shard in kept.whole("0-1")
    ]
    targets = SoftTargets(shards, two_views, dataset)
    assert len(targets) == 0
    assert list(targets.batches(8)) == []
    assert not targets.contains(two_views[0].arrays["examples"], 0).any()
    assert targets.log_probs([]).shape == (0, 3)


@pytest.mark.parametrize("seed", [None, 0])
def test_batches_give_every_row_once_and_lie_in_one_shard(kept, teacher, seed):
    targets = kept.open(teacher)
    batches = list(targets.batches(32, seed=seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(targets)))
    assert max(len(rows) for rows in batches) == 32
    ends = np.cumsum([shard.facts["rows"] for shard in kept.whole(teacher)])
    assert all(len(set(np.searchsorted(ends, rows, side="right"))) == 1 for rows in batches)


def test_batches_are_shuffled_by_their_seed_alone(kept):
    targets = kept.open()
    canonical, first, again, second = (
        np.concatenate(list(targets.batches(32, seed=seed))).tolist() for seed in (None, 0, 0, 1)
    )
    assert canonical == list(range(480))
    assert first == again
    assert len({tuple(order) for order in (canonical, first, second)}) == 3


def test_batches_refuse_a_size_of_nothing(kept):
    with pytest.raises(StageError, match="size of a batch must be at least 1; got 0"):
        next(kept.open().batches(0))


def test_dataset_gives_example_view_and_log_probs(kept):
    targets = kept.open()
    dataset = targets.dataset(temperature=2.0)
    assert len(dataset) == 480
    example, view, log_probs = dataset[250]
    assert (example, view) == tuple(int(values[0]) for values in targets.ids(250))
    assert torch.equal(log_probs, targets.log_probs(250, temperature=2.0)[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_dataset_serves_a_data_loader(kept, workers):
    targets = kept.open("0-1")
    dataset = targets.dataset(sample=_doubled)
    batches = list(DataLoader(dataset, batch_size=64, num_workers=workers))
    assert torch.allclose(torch.cat(batches), 2 * targets.log_probs(range(len(targets))))


def _doubled(example, view, log_probs):
    return 2 * log_probs


def test_pixels_are_those_the_student_is_shown(kept, two_views, dataset):
    targets = kept.open("2-3")
    rows = np.random.default_rng(0).permutation(len(targets))
    found = targets.pixels(rows)
    examples, views = targets.ids(rows)
    for view in two_views:
        of_view = views == view.facts["view"]
        view_rows = np.searchsorted(view.arrays["examples"], examples[of_view])
        seen = Pixels.of(dataset).seen(*replayed_view(view, view_rows)).cpu()
        assert torch.equal(found[torch.from_numpy(of_view)], seen)


def test_labels_are_those_of_the_examples(kept, dataset):
    targets = kept.open()
    examples, _ = targets.ids([5, 300])
    assert targets.labels([5, 300]).tolist() == dataset.arrays["labels"][examples].tolist()


def test_table_says_what_it_is_of(kept):
    targets = kept.open("2-3")
    assert (targets.teacher, targets.subset, targets.n_classes, targets.n_outputs) == ("2-3", [2, 3], 5, 3)
    assert targets.class_names == [f"class {c}" for c in range(5)]
    assert targets.views == [0, 1]
    assert kept.open().n_outputs == 5


def test_table_may_be_sent_to_another_process(kept):
    targets = kept.open("0-1")
    assert torch.equal(pickle.loads(pickle.dumps(targets)).log_probs([3, 1]), targets.log_probs([3, 1]))


def test_shards_of_different_teachers_are_no_table(kept, two_views, dataset):
    first, *others = kept.whole("0-1")
    with pytest.raises(StageError, match=r"the same teacher; got 2-3 beside 0-1\n.*the same subset"):
        SoftTargets([first, kept.whole("2-3")[1], *others[1:]], two_views, dataset)


def test_shards_of_different_encodings_are_no_table(kept, two_views, dataset):
    first, *others = kept.whole("combined")
    other = Artifact(first.arrays, first.facts | {"encoding": {"name": "top-k", "k": 2}})
    with pytest.raises(
        StageError, match=r"same encoding\.name; got dense beside top-k\n.*encoding\.k; got None beside 2"
    ):
        SoftTargets([other, *others], two_views, dataset)


def test_damaged_shard_is_named_and_not_read(keep):
    kept = keep()
    store = Store.open(kept.location)
    shard = tables.describe(store, tables.find(store, "tiny"))["shards"][2]
    path = Path(kept.location, "objects", shard["sha256"][:2], shard["sha256"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    targets = kept.open()
    assert targets.log_probs([0]).shape == (1, 5)
    with pytest.raises(DamagedError, match=shard["sha256"]):
        targets.log_probs([240])


def test_shards_of_another_format_are_refused(kept, two_views, dataset):
    shards = [Artifact(shard.arrays, shard.facts | {"format": 0}) for shard in kept.whole("combined")]
    with pytest.raises(StoreError, match="format of a soft-target table must be 1; got 0: do the run again"):
        SoftTargets(shards, two_views, dataset)


@pytest.mark.parametrize("chosen", [[0], [1, 0], [0, 1, 1], [1]])
def test_shards_must_make_up_whole_views(kept, two_views, dataset, chosen):
    shards = kept.whole("combined")
    with pytest.raises(StageError, match="shards of view 0 must follow each other from 0 to 240; got"):
        SoftTargets([shards[i] for i in chosen], two_views, dataset)


def test_views_of_the_shards_must_be_given(kept, two_views, dataset):
    with pytest.raises(StageError, match=r"view 1 must be given; got views \[0\]"):
        SoftTargets(kept.whole("combined"), two_views[:1], dataset)


def test_one_view_of_several_is_a_table(kept, two_views, dataset):
    targets = SoftTargets(kept.whole("combined")[2:], two_views, dataset)
    assert targets.views == [1]
    assert targets.ids([0])[1].tolist() == [1]
    assert not targets.contains(two_views[0].arrays["examples"], 0).any()

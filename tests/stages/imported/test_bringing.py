"""From somebody's files to a table in the store, or to all that is wrong with them."""

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.store import verify
from stages import tables
from stages.imported import kept
from tests.stages.imported.conftest import N_EXAMPLES, drawn, softmax

SHUFFLED = np.random.default_rng(1).permutation(N_EXAMPLES)


def probs(table, examples, view=0):
    return table.log_probs(table.find(examples, view)).exp().numpy()


def test_table_says_what_somebody_said(bring, read, dataset):
    logits = drawn()
    table = read(bring(logits))
    assert len(table) == N_EXAMPLES
    assert probs(table, np.arange(N_EXAMPLES)) == pytest.approx(softmax(logits), abs=2e-3)
    assert np.array_equal(table.pixels([3, 8]), dataset.arrays["images"][[3, 8]])


def test_columns_are_put_where_their_classes_belong(bring, read):
    logits = drawn(n_columns=3)
    table = read(bring(logits, listed=["class 4", None, "class 1"]))
    assert table.subset == [1, 4]
    assert probs(table, [7, 2]) == pytest.approx(softmax(logits)[[7, 2]][:, [2, 0, 1]], abs=2e-3)


def test_rows_may_come_in_any_order_and_leave_out_examples(bring, read):
    logits = drawn(100)
    table = read(bring(logits, SHUFFLED[:100]))
    assert probs(table, SHUFFLED[:100]) == pytest.approx(softmax(logits), abs=2e-3)
    assert not table.contains(SHUFFLED[100:], 0).any()


def test_rows_of_views_show_what_the_run_showed(bring, read, keep, store):
    run = keep().open("generalist")
    examples, views = run.ids(np.arange(len(run)))
    chosen = np.random.default_rng(0).permutation(len(run))[:150]
    log_probs = run.log_probs(chosen).numpy()
    table = read(bring(log_probs, examples[chosen], views[chosen], meaning="log-probs"))
    rows = table.find(examples[chosen], views[chosen])
    assert torch.equal(table.pixels(rows), run.pixels(chosen))
    assert table.log_probs(rows).numpy() == pytest.approx(log_probs, rel=1e-3, abs=1e-3)


def test_content_decides_what_it_is_kept_under(bring):
    logits = drawn(dtype=np.float16)
    first = bring(logits)
    again = bring(logits.astype(np.float64)[SHUFFLED], SHUFFLED)
    assert first.is_new
    assert not again.is_new
    assert again.table.run.name == first.table.run.name
    assert bring(logits, listed=[0, 1, 2, 3, 4]).table.facts["digest"] == first.table.facts["digest"]
    other = logits.copy()
    other[7, 2] += 0.5
    assert bring(other, name="other").table.facts["digest"] != first.table.facts["digest"]


def test_logits_and_their_probabilities_are_one_table(bring):
    # Powers of two are exact in every type.
    shares = np.array([[0.5, 0.25, 0.125, 0.0625, 0.0625], [0.0625, 0.5, 0.25, 0.125, 0.0625]])
    digests = {
        bring(numbers, np.arange(2), meaning=meaning).table.facts["digest"]
        for meaning, numbers in (("probs", shares), ("log-probs", np.log(shares)), ("logits", np.log(shares)))
    }
    assert len(digests) == 1


def test_another_name_is_another_table_of_the_same_objects(bring, store):
    first, second = bring(drawn()), bring(drawn(), name="vit")
    assert first.table.facts["digest"] == second.table.facts["digest"]
    shards = [table.run.keys[f"imported[{table.name}/0.0]"] for table in (first.table, second.table)]
    assert shards[0] == shards[1]
    assert set(kept.imports_in(store)) == {"clip", "vit"}


def test_newest_of_a_name_is_meant(bring, store):
    old, new = bring(drawn()), bring(drawn(seed=1), replace=True)
    assert old.table.run.name < new.table.run.name
    assert old.replaced is None
    assert new.replaced is not None
    assert new.replaced.run.name == old.table.run.name
    assert kept.imports_in(store)["clip"].facts == new.table.facts


@pytest.mark.parametrize(
    ("logits", "examples"), [(drawn(seed=1), None), (drawn(), SHUFFLED), (drawn(100), np.arange(100))]
)
def test_other_content_under_a_taken_name_is_refused_and_nothing_is_kept(bring, store, logits, examples):
    table = bring(drawn()).table
    before = store.files.listing("")
    (fault,) = faults(bring, logits, examples)
    known = f"{table.run.name}:clip (300 rows of 300 examples, 5 outputs)"
    assert fault.startswith(f"--name: must be one that no other content has; got 'clip', which is {known}: ")
    assert fault.endswith("--replace")
    assert store.files.listing("") == before


def test_import_is_listed_described_and_verified_like_any_table(bring, store):
    brought = bring(drawn(n_columns=3), listed=[0, 2, None])
    found = tables.find(store, "imported:clip")
    assert found.key == f"{brought.table.run.name}:clip"
    described = tables.describe(store, found)
    assert {name: described[name] for name in ("teacher", "subset", "rows", "examples", "views")} == {
        "teacher": "clip",
        "subset": [0, 2],
        "rows": N_EXAMPLES,
        "examples": N_EXAMPLES,
        "views": [0],
    }
    assert tables.output_names(described) == ["class 0", "class 2", "any other class"]
    assert set(described["provenance"]["teachers"]) == {"import[clip]"}
    assert verify(store) == []


def test_import_whose_facts_are_gone_is_no_import(bring, store):
    brought = bring(drawn())
    store.discard(store.find(brought.table.run.keys["import[clip]"]), "for the test")
    assert kept.imports_in(store) == {}


def faults(bring, *arguments, **options):
    with pytest.raises(ConfigError) as error:
        bring(*arguments, **options)
    return [line.partition("logits.npy: ")[2] or line for line in str(error.value).splitlines()]


def test_all_faults_are_told_at_once_and_nothing_is_kept(bring, store):
    before = store.files.listing("")
    logits = drawn(6, 3)
    logits[1, 0], logits[4, 2] = np.nan, np.inf
    examples = np.array([0, 5, 5, -1, 300, 5])
    assert faults(bring, logits, examples, name="3-5", listed=[0, "class 9", None]) == [
        "--name: must begin with a letter and be of at most 40 letters, digits, '.', '-' and '_'; got '3-5'",
        "--classes[1] must be the name of a class; got 'class 9'; did you mean 'class 4'?",
        "examples must be within 0..299; got -1 in row 3, 300 in row 4",
        "each example must have one row; got another of 5 in row 2, 5 in row 5",
        "logits must be finite numbers; got otherwise in 2 rows, such as 1, 4",
    ]
    assert store.files.listing("") == before


@pytest.mark.parametrize("name", ["combined", "generalist"])
def test_name_of_another_table_is_refused(bring, name):
    assert faults(bring, drawn(), name=name) == [
        f"--name: must be another than combined and generalist, which runs use; got '{name}'"
    ]


def test_columns_must_be_as_many_as_classes(bring):
    assert faults(bring, drawn(n_columns=4)) == [
        "must have 5 columns, a class each; got 4: say by --classes which class each is of"
    ]
    assert faults(bring, drawn(n_columns=4), listed=[0, None]) == ["must have 2 columns, as --classes lists; got 4"]


def test_rows_without_ids_must_be_all_examples(bring):
    (fault,) = faults(bring, drawn(240))
    assert fault.startswith(
        "must have a row for each of the 300 training examples, or come with each row's example by --ex"
    )


def test_import_of_no_row_is_refused(bring):
    assert faults(bring, drawn(0), np.arange(0)) == ["must have a row; got none"]


def test_views_must_be_those_of_the_run(bring, keep):
    transfer = keep().artifacts["views[0]"].arrays["examples"]
    held_out = np.setdiff1d(np.arange(N_EXAMPLES), transfer)
    examples = np.array([transfer[0], transfer[0], transfer[1], held_out[0]])
    where = "of the transfer set where views are given"
    assert faults(bring, drawn(4), examples, np.array([1, 1, 2, 0])) == [
        "views must be those of the run, 0, 1; got 2 in row 2",
        f"examples must be {where}, for the holdout has none; got {held_out[0]} in row 3",
        f"each example must have one row in each view; got another of {transfer[0]} in row 1",
    ]


@pytest.mark.parametrize(
    ("meaning", "row", "told"),
    [
        ("probs", [0.5, 0.5, 0.5, -0.5, 0.0], "probs must be finite numbers of 0 or more; got otherwise in row 1"),
        ("probs", [0.5, 0.4, 0.0, 0.0, 0.0], "probs must be of distributions, which sum to 1 within 0.001; got"),
        ("log-probs", [0.0, 0.0, -1.0, -2.0, -3.0], "log-probs must be of distributions, which sum to 1"),
        ("log-probs", [-np.inf] * 5, "log-probs must be of distributions, which sum to 1 within 0.001; got otherwise"),
        ("log-probs", [0.0, np.nan, -np.inf, -np.inf, -np.inf], "log-probs must be finite numbers or minus infinity"),
        ("logits", [0.0, -np.inf, 1.0, 1.0, 1.0], "logits must be finite numbers; got otherwise in row 1"),
    ],
)
def test_numbers_must_be_what_they_are_said_to_be(bring, meaning, row, told):
    good = {"probs": [0.2] * 5, "log-probs": np.log([0.2] * 5), "logits": [0.0] * 5}[meaning]
    numbers = np.array([good, row, good], dtype=np.float32)
    (fault,) = faults(bring, numbers, np.arange(3), meaning=meaning)
    assert fault.startswith(told)


def test_class_that_is_ruled_out_stays_so(bring, read):
    table = read(bring(np.array([[0.5, 0.5, 0.0, 0.0, 0.0]]), np.array([9]), meaning="probs"))
    assert table.log_probs([0])[0].tolist() == pytest.approx([np.log(0.5)] * 2 + [-np.inf] * 3)


def test_half_precision_may_sum_to_one_less_closely(bring, read):
    logits = drawn(50)
    table = read(bring(softmax(logits).astype(np.float16), np.arange(50), meaning="probs"))
    assert probs(table, np.arange(50)) == pytest.approx(softmax(logits), abs=2e-3)


def test_table_of_many_shards_is_read_like_one_of_few(bring, read):
    examples = SHUFFLED[:200]
    whole, parts = bring(drawn(200), examples), bring(drawn(200), examples, name="parts", shard_bytes=70 * 18)
    assert parts.table.facts["shard_rows"] == 70
    assert [task for task in parts.table.run.keys if "parts/" in task] == [f"imported[parts/0.{i}]" for i in range(3)]
    rows = np.arange(200)
    assert torch.equal(read(parts).log_probs(rows), read(whole).log_probs(rows))

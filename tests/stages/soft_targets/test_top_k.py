"""The encoding that keeps the largest of each row: what it knows of the others, and when it is refused."""

from inspect import signature

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StageError
from pipeline.stage import Work
from stages import combined, soft_targets, tables, tasks
from stages.parameters import DataParameters, Parameters, StudentParameters, TargetsParameters, check_classes
from stages.soft_targets import SoftTargets, encoding


def normal_logits(scale, rows=50, outputs=200):
    return scale * torch.randn(rows, outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def read_back(logits, k, temperature):
    rows = encoding.as_rows(encoding.encode_top_k(logits, k))
    return (encoding.shifted_logits(rows, logits.shape[1], temperature).double() / temperature).softmax(dim=1)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0, 4.0, 8.0, 20.0])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_what_is_left_out_has_its_share_at_every_temperature(scale, temperature):
    logits = normal_logits(scale)
    exact, found = (logits / temperature).softmax(dim=1), read_back(logits, 16, temperature)
    kept = logits.topk(16, dim=1).indices
    assert torch.allclose(found.gather(1, kept), exact.gather(1, kept), rtol=5e-3)
    shares = [1 - probs.gather(1, kept).sum(dim=1) for probs in (exact, found)]
    assert torch.allclose(*shares, rtol=5e-3, atol=1e-4)


def test_what_is_left_out_is_spread_evenly():
    probs = read_back(normal_logits(4.0, rows=1), 16, 4.0)[0].sort().values
    assert torch.allclose(probs[:184], probs[0])
    assert float(probs.sum()) == pytest.approx(1.0)


def test_all_but_one_kept_loses_next_to_nothing():
    logits = normal_logits(3.0, outputs=10)
    assert encoding.kl_of_top_k(logits, encoding.encode_top_k(logits, 9), 4.0) < 1e-6


def test_top_k_beats_a_uniform_rest_that_was_rounded():
    logits = normal_logits(8.0, outputs=1000)
    probs = logits.softmax(dim=1)
    top = probs.topk(32, dim=1)
    rounded = top.values.half().double()
    rest = (1 - rounded.sum(dim=1, keepdim=True)).clamp_min(1e-12) / 968
    naive = rest.expand_as(probs).scatter(1, top.indices, rounded).log()
    ours = encoding.kl_of_top_k(logits, encoding.encode_top_k(logits, 32), 4.0)
    assert ours < 0.8 * float(encoding.kl(logits, naive, 4.0).mean())


@pytest.mark.parametrize(("outputs", "dtype"), [(2**16, "uint16"), (2**16 + 1, "uint32")])
def test_indices_are_as_small_as_the_outputs_allow(outputs, dtype):
    logits = torch.zeros(1, outputs)
    logits[0, -1] = 5.0
    arrays = encoding.encode_top_k(logits, 1)
    assert arrays["indices"].dtype == dtype
    assert arrays["indices"].tolist() == [[outputs - 1]]
    assert sum(array.nbytes for array in arrays.values()) == tables.row_bytes(outputs, 1)


def test_classes_of_probability_zero_stay_there_together():
    logits = torch.tensor([[0.0, -1.0, -torch.inf, -torch.inf, -torch.inf]])
    found = read_back(logits, 2, 3.0)
    assert torch.allclose(found, (logits.double() / 3).softmax(dim=1))


def test_tail_of_few_classes_above_zero_keeps_its_sum():
    logits = torch.tensor([[0.0, -1.0, -2.0, -torch.inf, -torch.inf]])
    assert float(read_back(logits, 2, 2.0)[0, 2:].sum()) == pytest.approx(float((logits / 2).softmax(1)[0, 2:].sum()))


@pytest.mark.parametrize("k", [0, 5])
def test_top_k_refuses_a_k_that_is_out_of_range(k):
    with pytest.raises(StageError, match=rf"k must be within 1\.\.4.*got {k}"):
        encoding.encode_top_k(torch.zeros(1, 5), k)


def test_top_k_refuses_a_temperature_below_one():
    with pytest.raises(StageError, match=r"top-k must be at least 1; got 0\.5"):
        read_back(normal_logits(1.0), 16, 0.5)


@given(st.integers(1, 3000), st.integers(3, 100_000))
def test_top_k_within_fits_the_budget_and_no_more_would(budget, outputs):
    k = tables.top_k_within(budget, outputs)
    if k is None:
        assert tables.row_bytes(outputs) <= budget
    elif k >= 1:
        assert tables.row_bytes(outputs, k) <= budget < tables.row_bytes(outputs, k + 1)
        assert k < outputs - 1


@pytest.fixture
def wide(artifacts):
    """A generalist's table of 200 classes and the tables of no specialist."""
    facts = artifacts["targets[generalist/0.0]"].facts | {"rows": 50, "examples": 50, "classes": 200}

    def combine(scale, **limits):
        arrays = soft_targets.encode(normal_logits(scale))
        whole = combined.Artifact(arrays, facts)
        return combined.combine(generalist=whole, specialists=[], divergence="forward", work=Work(), **limits)

    return combine


def test_combined_table_is_dense_unless_a_budget_asks_for_less(wide):
    assert wide(4.0).facts["encoding"] == {
        "name": "dense",
        "because": "no limit is set for the 408 bytes of a dense row",
    }
    fitting = wide(4.0, bytes_per_row=408, max_kl=0.0, temperatures=[4.0])
    assert fitting.facts["encoding"]["name"] == "dense"
    assert "fit into targets.bytes_per_row, 408" in fitting.facts["encoding"]["because"]


def test_combined_table_is_top_k_where_little_is_lost(wide):
    table = wide(12.0, bytes_per_row=300, max_kl=0.05, temperatures=[1.0])
    encoded = table.facts["encoding"]
    assert (encoded["name"], encoded["k"], list(encoded["kl"])) == ("top-k", 68, ["1"])
    assert "exceed targets.bytes_per_row, 300" in encoded["because"]
    assert 0 < encoded["kl"]["1"] <= 0.05
    assert table.facts["bytes"] == 50 * 300


def test_combined_table_is_refused_by_name_where_too_much_is_lost(wide):
    with pytest.raises(StageError, match=r"k = 68 must lose at most KL 0\.01, targets\.max_kl.*at temperature 4"):
        wide(4.0, bytes_per_row=300, max_kl=0.01, temperatures=[4.0])


def test_reader_gives_top_k_at_the_temperature_it_is_asked_for(wide, two_views, dataset):
    table = wide(12.0, bytes_per_row=300, max_kl=9.0, temperatures=[4.0])
    view = combined.Artifact({"examples": np.arange(50)}, {"view": 0, "rows": 50})
    names = combined.Artifact(facts={"class_names": [str(c) for c in range(200)]})
    found = SoftTargets([table], [view], names)
    exact = normal_logits(12.0)
    lost = [float(encoding.kl(exact, found.logits(range(50), temperature=t), t).mean()) for t in (1.0, 4.0)]
    assert lost == pytest.approx(list(table.facts["encoding"]["kl"].values()), rel=0.1, abs=1e-5)
    assert torch.allclose(found.log_probs([3], temperature=4.0).exp().sum(), torch.ones(1))
    assert found.log_probs([]).shape == (0, 200)


def with_limits(temperature=4.0, **limits):
    return Parameters(
        data=DataParameters(source="npz:tiny.npz"),
        student=StudentParameters(temperature=temperature),
        targets=TargetsParameters(**limits),
    )


@pytest.mark.parametrize("limits", [{}, {"bytes_per_row": 2008}, {"bytes_per_row": 32}])
def test_budgets_that_can_be_kept_are_right(limits):
    assert check_classes(with_limits(**limits), 1000) == []


@pytest.mark.parametrize(("classes", "least"), [(1000, 32), (6, 20)])
def test_budget_that_fits_nothing_is_a_fault(classes, least):
    assert check_classes(with_limits(bytes_per_row=least - 1), classes) == [
        (("targets", "bytes_per_row"), f"must be at least {least} with {classes} classes; got {least - 1}")
    ]


def test_temperature_below_one_is_a_fault_where_something_is_left_out():
    assert check_classes(with_limits(temperature=0.5, bytes_per_row=2008), 1000) == []
    ((path, message),) = check_classes(with_limits(temperature=0.5, bytes_per_row=100), 1000)
    assert path == ("student", "temperature")
    assert "must be at least 1 where targets.bytes_per_row does not keep every class; got 0.5" in message


@pytest.mark.parametrize("limits", [{}, {"bytes_per_row": 300}])
def test_stage_takes_what_its_tasks_give(limits):
    known = {
        "data[train]": {"transfer": 10, "class_names": [str(c) for c in range(200)]},
        "subsets": {"subsets": [{"classes": [0, 1]}]},
    }
    for task in tasks.combined(with_limits(**limits), known):
        signature(combined.combine).bind(**dict.fromkeys([*task.inputs, *task.arguments, "work"]))
        assert ("temperatures" in task.arguments) == bool(limits)


@pytest.mark.parametrize("outputs", [40_000, 70_000])
def test_top_k_finds_the_last_of_many_outputs_in_as_many_bytes_as_are_kept(outputs):
    logits = torch.zeros(2, outputs, dtype=torch.float64)
    logits[0, -1], logits[1, 5] = 20.0, 20.0
    kept = encoding.encode_top_k(logits, 2)
    rows = encoding.as_rows(kept)
    found = encoding.shifted_logits(rows, outputs, 1.0)
    assert found.argmax(dim=1).tolist() == [outputs - 1, 5]
    assert sum(value.nbytes for value in rows.values()) == sum(kept[name].nbytes for name in rows)

"""What a dense table of logits keeps, and what comes back out of it."""

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div

from pipeline.errors import StageError
from pipeline.stage import Artifact
from stages import soft_targets


def table_of(logits, **facts):
    return Artifact(soft_targets.encode(logits), facts)


def random_logits(rows=200, outputs=1000, scale=4.0):
    return scale * torch.randn(rows, outputs, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("scale", [1.0, 4.0, 10.0])
def test_decode_loses_next_to_nothing_at_the_temperatures_in_use(scale, temperature):
    logits = random_logits(scale=scale)
    kept = soft_targets.decode(table_of(logits)).double()
    exact, found = ((values.double() / temperature).log_softmax(dim=1) for values in (logits, kept))
    assert float(kl_div(found, exact, reduction="none", log_target=True).sum(dim=1).mean()) <= 6e-7


def test_encode_keeps_halves_and_exact_sums():
    logits = random_logits(rows=5)
    arrays = soft_targets.encode(logits)
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "logits": ("float16", (5, 1000)),
        "maximum": ("float32", (5,)),
        "logsumexp": ("float32", (5,)),
    }
    assert np.array_equal(arrays["maximum"], logits.amax(dim=1).numpy())
    assert np.array_equal(arrays["logsumexp"], logits.double().logsumexp(dim=1).float().numpy())


def test_encode_takes_a_table_without_rows():
    assert soft_targets.decode(table_of(torch.empty(0, 3))).shape == (0, 3)


def test_minus_infinity_stays_a_probability_of_zero():
    table = table_of(torch.tensor([[0.0, -torch.inf, 0.0]]), view=0, prior_correction=0.0)
    assert soft_targets.decode_probs(table).tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize("maximum", [1e8, -1e8, 1e15])
def test_extreme_logits_keep_their_differences(maximum):
    logits = torch.tensor([[maximum, maximum - 2.0]], dtype=torch.float64)
    table = table_of(logits, view=0, prior_correction=0.0)
    exact = logits.softmax(dim=1)[0].tolist()
    assert soft_targets.decode_probs(table)[0].tolist() == pytest.approx(exact)


def test_logits_far_below_the_maximum_become_minus_infinity():
    assert soft_targets.decode(table_of(torch.tensor([[0.0, -1e6]]))).tolist() == [[0.0, -torch.inf]]


@pytest.mark.parametrize(
    "row",
    [[torch.nan, 0.0], [torch.inf, 0.0], [-torch.inf, -torch.inf], [-torch.inf, torch.nan]],
)
def test_encode_refuses_rows_without_a_finite_maximum(row):
    with pytest.raises(StageError, match=r"logits must be a finite maximum.*in 1 rows, the first \[1\]"):
        soft_targets.encode(torch.tensor([[0.0, 0.0], row]))


def test_prior_correction_is_applied_on_read_and_not_kept():
    logits = random_logits(rows=3, outputs=4)
    plain, corrected = table_of(logits, prior_correction=0.0), table_of(logits, prior_correction=1.5)
    assert all(np.array_equal(plain.arrays[name], corrected.arrays[name]) for name in plain.arrays)
    odds = [(probs[:, -1] / probs[:, 0]).log() for probs in map(soft_targets.decode_probs, (plain, corrected))]
    assert (odds[1] - odds[0]).tolist() == pytest.approx([1.5] * 3)


def test_corrected_leaves_its_argument_alone():
    logits = torch.zeros(2, 3, dtype=torch.float64)
    assert soft_targets.corrected(logits, 2.0).tolist() == [[0.0, 0.0, 2.0]] * 2
    assert not logits.any()


def test_statistics_tell_how_sharp_the_rows_are():
    logits = torch.tensor([[0.0, 0.0, -torch.inf], [0.0, -torch.inf, -torch.inf]])
    assert soft_targets.statistics(logits) == pytest.approx({"entropy": np.log(2) / 2, "confidence": 0.75})
    assert soft_targets.statistics(logits[:0]) == {}


def test_tables_may_be_read_only():
    table = table_of(random_logits(rows=2), view=0, prior_correction=0.5)
    before = {name: array.copy() for name, array in table.arrays.items()}
    for array in table.arrays.values():
        array.flags.writeable = False
    soft_targets.decode_probs(table)
    assert all(np.array_equal(before[name], table.arrays[name]) for name in before)

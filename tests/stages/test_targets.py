"""Scoring lazily, and combining what was scored."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact, Work
from specialists.active import active_set
from specialists.combine import combine as combine_full
from specialists.combine import is_compiled
from stages import combined, soft_targets, targets

SUBSETS = [torch.tensor([0, 1]), torch.tensor([2, 3])]


def combine(generalist, specialists, divergence="forward"):
    return combined.combine(generalist=generalist, specialists=specialists, divergence=divergence, work=Work())


def without_rows(table):
    """Return a specialist's table of a shard on which it is never active."""
    arrays = soft_targets.encode(torch.empty(0, 3)) | {"rows": np.empty(0, dtype=np.int64)}
    return Artifact(arrays, table.facts | {"rows": 0})


def test_generalist_scores_all_rows(generalist_tables):
    table = generalist_tables[1]
    assert table.arrays["logits"].shape == (240, 5)
    assert "rows" not in table.arrays
    probs = soft_targets.decode_probs(table)
    assert table.facts["statistics"] == {
        "entropy": pytest.approx(float(-(probs * probs.log()).sum(dim=1).mean()), abs=1e-3),
        "confidence": pytest.approx(float(probs.amax(dim=1).mean()), abs=1e-3),
    }
    assert {name: value for name, value in table.facts.items() if name != "statistics"} == {
        "format": 1,
        "teacher": "generalist",
        "view": 1,
        "start": 0,
        "examples": 240,
        "classes": 5,
        "subset": None,
        "prior_correction": 0.0,
        "rows": 240,
        "bytes": 240 * (5 * 2 + 4 + 4),
        "encoding": {"name": "dense"},
    }


def test_specialist_scores_the_rows_where_it_is_active(generalist_tables, specialist_tables, specialist_nets):
    active = active_set(soft_targets.decode(generalist_tables[0]), SUBSETS, 2)
    for m, table in enumerate(specialist_tables[0]):
        assert table.arrays["rows"].tolist() == active[:, m].nonzero().squeeze(1).tolist()
        assert 0 < table.facts["rows"] < table.facts["examples"] == 240
        assert table.facts["subset"] == SUBSETS[m].tolist()
        assert table.facts["prior_correction"] == specialist_nets[m].facts["prior_correction"]


def test_scoring_lazily_gives_what_scoring_all_rows_gives(dataset, two_views, specialist_nets, specialist_tables):
    whole = targets.score(dataset=dataset, view=two_views[0], teacher=specialist_nets[0], rows=(0, 240), work=Work())
    lazy = specialist_tables[0][0]
    expected = soft_targets.decode(whole)[lazy.arrays["rows"]]
    # A logit's last float32 bits depend on the batch it is in, and may round to the next float16.
    assert torch.allclose(soft_targets.decode(lazy), expected, rtol=2e-3, atol=1e-5)


def test_regularized_specialist_has_a_table_like_any_other(
    dataset, two_views, generalist_tables, specialist_tables, train_specialist
):
    net = train_specialist([0, 1], regularize="soft_targets")
    lazy, whole = (
        targets.score(dataset=dataset, view=two_views[0], teacher=net, rows=(0, 240), work=Work(), **options)
        for options in ({"generalist": generalist_tables[0], "active_classes": 2}, {})
    )
    assert lazy.arrays["logits"].shape == specialist_tables[0][0].arrays["logits"].shape
    assert np.array_equal(lazy.arrays["rows"], specialist_tables[0][0].arrays["rows"])
    expected = soft_targets.decode(whole)[lazy.arrays["rows"]]
    assert torch.allclose(soft_targets.decode(lazy), expected, rtol=2e-3, atol=1e-5)
    assert combine(generalist_tables[0], [lazy, specialist_tables[0][1]]).facts["residual"] <= 1e-12


def test_scoring_in_shards_gives_the_rows_of_the_whole(dataset, two_views, generalist_net, generalist_tables):
    part = targets.score(dataset=dataset, view=two_views[1], teacher=generalist_net, rows=(100, 130), work=Work())
    assert part.facts["examples"] == part.facts["rows"] == 30
    expected = soft_targets.decode(generalist_tables[1])[100:130]
    assert torch.allclose(soft_targets.decode(part), expected, rtol=2e-3, atol=1e-5)


def test_combining_lazily_equals_combining_full_tables(generalist_tables, specialist_tables, combined_tables):
    active = torch.zeros(240, 2, dtype=torch.bool)
    probs = [torch.full((240, 3), torch.nan, dtype=torch.float64) for _ in SUBSETS]
    for m, table in enumerate(specialist_tables[0]):
        rows = table.arrays["rows"]
        active[rows, m] = True
        probs[m][rows] = soft_targets.decode_probs(table)
    expected = combine_full(soft_targets.decode_probs(generalist_tables[0]), probs, SUBSETS, active)
    kept = soft_targets.encode(expected.probs.log())
    assert all(np.array_equal(kept[name], combined_tables[0].arrays[name]) for name in kept)


def test_combining_calibrated_teachers_tempers_their_kept_logits(generalist_tables, specialist_tables, calibrations):
    temperatures = [fit.facts["temperature"] for fit in calibrations]
    whole, parts = generalist_tables[0], specialist_tables[0]
    found = combined.combine(
        generalist=whole, specialists=parts, divergence="forward", work=Work(), calibrations=calibrations
    )
    active = torch.zeros(240, 2, dtype=torch.bool)
    probs = [torch.full((240, 3), torch.nan, dtype=torch.float64) for _ in SUBSETS]
    for m, (table, temperature) in enumerate(zip(parts, temperatures[1:], strict=True)):
        rows = table.arrays["rows"]
        logits = soft_targets.decode(table).double()
        logits[:, -1] += table.facts["prior_correction"]
        active[rows, m] = True
        probs[m][rows] = (logits / temperature).softmax(dim=1)
    generalist = (soft_targets.decode(whole).double() / temperatures[0]).softmax(dim=1)
    expected = combine_full(generalist, probs, SUBSETS, active).probs
    assert soft_targets.decode(found).exp().numpy() == pytest.approx(expected.numpy(), abs=2e-3)
    plain = combine(whole, parts)
    assert not np.array_equal(found.arrays["logits"], plain.arrays["logits"])


def test_temperatures_of_1_change_nothing(generalist_tables, specialist_tables, combined_tables):
    ones = [Artifact(facts={"temperature": 1.0})] * 3
    found = combined.combine(
        generalist=generalist_tables[0],
        specialists=specialist_tables[0],
        divergence="forward",
        work=Work(),
        calibrations=ones,
    )
    assert all(np.array_equal(found.arrays[name], combined_tables[0].arrays[name]) for name in found.arrays)


def test_combined_is_proven_and_in_its_place(combined_tables):
    for view, table in enumerate(combined_tables):
        assert table.facts["residual"] <= 1e-12
        assert {name: table.facts[name] for name in ("teacher", "view", "rows")} == {
            "teacher": "combined",
            "view": view,
            "rows": 240,
        }


def test_combined_keeps_logarithms_of_distributions(combined_tables):
    table = combined_tables[0]
    assert abs(table.arrays["logsumexp"]).max() < 1e-7
    assert soft_targets.decode(table).double().exp().sum(dim=1).tolist() == pytest.approx([1.0] * 240, abs=1e-3)


def test_combined_differs_from_the_generalist_where_a_specialist_is_active(generalist_tables, specialist_tables):
    parts = [specialist_tables[0][0], without_rows(specialist_tables[0][1])]
    found = soft_targets.decode(combine(generalist_tables[0], parts)).softmax(dim=1)
    alone = soft_targets.decode(generalist_tables[0]).softmax(dim=1)
    changed = (found - alone).abs().amax(dim=1) > 1e-3
    rows = np.zeros(240, dtype=bool)
    rows[parts[0].arrays["rows"]] = True
    assert not changed[~rows].any()
    assert changed[rows].any()


@pytest.mark.parametrize("n_specialists", [0, 2])
def test_combined_without_an_active_specialist_is_the_generalist(generalist_tables, specialist_tables, n_specialists):
    parts = [without_rows(table) for table in specialist_tables[0][:n_specialists]]
    found = combine(generalist_tables[0], parts)
    expected = soft_targets.encode(soft_targets.decode_probs(generalist_tables[0]).log())
    assert np.array_equal(found.arrays["logits"], expected["logits"])
    assert found.facts["iterations"] == 0


def test_specialist_that_is_never_active_has_an_empty_table(dataset, two_views, generalist_tables, specialist_nets):
    sure = torch.full((240, 5), -50.0)
    sure[:, 4] = 0.0
    certain = Artifact(soft_targets.encode(sure), generalist_tables[0].facts)
    table = targets.score(
        dataset=dataset,
        view=two_views[0],
        teacher=specialist_nets[0],
        rows=(0, 240),
        generalist=certain,
        active_classes=1,
        work=Work(),
    )
    assert (table.facts["rows"], table.facts["bytes"]) == (0, 0)
    assert table.arrays["logits"].shape == (0, 3)
    assert combine(certain, [table]).facts["rows"] == 240


def test_both_divergences_are_minimised(generalist_tables, specialist_tables):
    forward, reverse = (
        combine(generalist_tables[0], specialist_tables[0], divergence) for divergence in ("forward", "reverse")
    )
    assert max(forward.facts["residual"], reverse.facts["residual"]) <= 1e-12
    assert not np.array_equal(forward.arrays["logits"], reverse.arrays["logits"])


def test_kernels_are_prepared_once_in_a_process(monkeypatch, generalist_tables, specialist_tables):
    monkeypatch.setattr(combined, "_PREPARED", set())
    told = []

    @contextmanager
    def preparing(what):
        told.append(what)
        yield

    for view in range(2):
        teachers = {"generalist": generalist_tables[view], "specialists": specialist_tables[view]}
        combined.combine(**teachers, divergence="forward", work=Work(preparing=preparing))
    assert told in ([combined.COMPILING], [combined.LOADING])
    assert is_compiled("forward")

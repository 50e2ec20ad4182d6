"""An imported table where a run's shards want its rows, and what the combination makes of it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from pipeline.errors import StageError
from pipeline.stage import Artifact, Work
from pipeline.store.manifest import object_path
from stages import combined, soft_targets, views
from stages.imported import placing
from stages.parameters import AugmentParameters
from tests.specialists.cases import objective, reverse_objective
from tests.stages.imported.conftest import drawn, softmax

SHARD = (150, 240)


@pytest.fixture
def place(store, two_views):
    def place(brought, view=None, rows=SHARD):
        where = {"store": store.location, "record": brought.table.run.name}
        table = placing.describe(imported=brought.table.facts["digest"], name=brought.table.name, **where, work=Work())
        return placing.place(table=table, view=view or two_views[1], rows=rows, **where, work=Work())

    return place


def test_shard_has_the_rows_that_the_table_has(bring, place, two_views):
    logits, chosen = drawn(120), np.random.default_rng(2).permutation(300)[:120]
    found = place(bring(logits, chosen))
    shown = two_views[1].arrays["examples"][slice(*SHARD)]
    held = np.flatnonzero(np.isin(shown, chosen))
    assert found.arrays["rows"].tolist() == held.tolist()
    expected = logits[[chosen.tolist().index(example) for example in shown[held]]]
    assert soft_targets.decode_probs(found).numpy() == pytest.approx(softmax(expected), abs=2e-3)
    told = {name: found.facts[name] for name in ("format", "view", "start", "examples", "classes", "rows", "subset")}
    assert told == {
        "format": 1,
        "view": 1,
        "start": 150,
        "examples": 90,
        "classes": 5,
        "rows": len(held),
        "subset": None,
    }


def test_row_of_an_example_holds_in_every_view(bring, place, two_views):
    brought = bring(drawn())
    first, second = (place(brought, view) for view in two_views)
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)


def test_row_of_a_view_holds_in_that_view_alone(bring, place, two_views):
    examples = two_views[1].arrays["examples"]
    brought = bring(drawn(240), examples, np.ones(240, dtype=int))
    assert place(brought, two_views[0]).facts["rows"] == 0
    assert place(brought, two_views[1]).facts["rows"] == 90


def test_shard_without_a_row_is_empty(bring, place, two_views):
    missing = two_views[1].arrays["examples"][:150]
    found = place(bring(drawn(150, 3), missing, listed=[0, 4, None]))
    assert found.arrays["rows"].shape == (0,)
    assert found.arrays["logits"].shape == (0, 3)
    assert found.facts["subset"] == [0, 4]


def test_other_views_are_refused(bring, place, two_views, dataset):
    examples = two_views[1].arrays["examples"]
    brought = bring(drawn(240), examples, np.ones(240, dtype=int))
    other = views.draw(dataset=dataset, augment=AugmentParameters(shift=1), view=1, work=Work(seed=99))
    with pytest.raises(
        StageError, match=r"views of the imported table clip must be the run's.*; got view 1 with another d"
    ):
        place(brought, other)


def test_rows_of_several_shards_are_found(bring, place):
    whole = place(bring(drawn()))
    parts = place(bring(drawn(), name="parts", shard_bytes=70 * 18))
    assert whole.facts["rows"] == 90
    assert all(np.array_equal(whole.arrays[name], parts.arrays[name]) for name in whole.arrays)


def test_import_that_is_another_by_now_is_refused(bring, store):
    brought = bring(drawn())
    where = {"store": store.location, "record": brought.table.run.name, "name": "clip"}
    with pytest.raises(StageError, match="clip must be what it was when the run was planned, with the digest 0000"):
        placing.describe(imported="0" * 64, **where, work=Work())


@pytest.mark.parametrize("task", ["views[0]", "imported[clip/0.0]"])
def test_what_is_gone_is_to_be_imported_again(bring, place, store, task):
    brought = bring(drawn())
    store.discard(store.find(brought.table.run.keys[task]), "for the test")
    with pytest.raises(StageError, match=r"of the import imported-.* must be in .*; got nothing: import it again"):
        place(brought)
    bring(drawn())
    assert place(brought).facts["rows"] == 90


def test_damaged_import_is_to_be_imported_again(bring, place, store):
    brought = bring(drawn())
    manifest = store.find(brought.table.run.keys["imported[clip/0.0]"])
    (sha256,) = (kept.sha256 for kept in manifest.objects if "arrays" in kept.name)
    with (Path(store.location) / object_path(sha256)).open("r+b") as file:
        file.seek(200)
        file.write(b"damage")
    with pytest.raises(StageError, match=r"is missing or damaged: import imported\[clip/0.0\] of imported-.* again"):
        place(brought)


def combine(generalist, specialists, imported, divergence="forward"):
    return combined.combine(
        generalist=generalist, specialists=specialists, imported=imported, divergence=divergence, work=Work()
    )


def probs_of(table):
    return soft_targets.decode_probs(table).numpy()


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_import_over_all_classes_is_a_second_generalist(bring, place, generalist_tables, divergence):
    view = generalist_tables[1]
    shard = place(bring(drawn(seed=3)), rows=(0, 240))
    found = combine(view, [], [shard], divergence)
    g, p = probs_of(view), probs_of(shard)
    expected = (g + p) / 2 if divergence == "forward" else np.sqrt(g * p)
    expected /= expected.sum(axis=1, keepdims=True)
    assert found.facts["residual"] <= 1e-12
    assert soft_targets.decode(found).softmax(dim=1).numpy() == pytest.approx(expected, abs=1e-3)


def kl(p, q):
    return float(np.sum(p * np.log(p / q)))


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_import_adds_its_divergence_on_the_rows_that_it_has(
    bring, place, generalist_tables, specialist_tables, two_views, divergence
):
    shown = two_views[1].arrays["examples"]
    whole = place(bring(drawn(5, seed=3), shown[:5]), rows=(0, 240))
    part = place(bring(drawn(5, 3, seed=4), shown[3:8], name="part", listed=[1, 2, None]), rows=(0, 240))
    view, parts = generalist_tables[1], specialist_tables[1]
    found = combine(view, parts, [whole, part], divergence)
    q = soft_targets.decode(found).double().softmax(dim=1).numpy()
    without = soft_targets.decode(combine(view, parts, [], divergence)).double().softmax(dim=1).numpy()
    assert np.array_equal(q[8:], without[8:])
    for row in range(8):
        assert q[row] == pytest.approx(minimum(row, view, [*parts, part], whole, divergence), abs=2e-3)
        assert q[row] != pytest.approx(without[row], abs=2e-3)


def minimum(row, generalist, over_subsets, over_all, divergence):
    """What a general minimiser finds for the objective, term by term."""
    teachers = []
    for table in over_subsets:
        if row in table.arrays["rows"]:
            p = probs_of(table)[table.arrays["rows"].tolist().index(row)]
            inside = np.isin(np.arange(5), table.facts["subset"])
            expanded = np.zeros(5)
            expanded[inside] = p[:-1]
            teachers.append((expanded, p[-1], inside))
    g = probs_of(generalist)[row]
    seconds = [probs_of(over_all)[i] for i in np.flatnonzero(over_all.arrays["rows"] == row)]
    forward = divergence == "forward"
    summed = objective if forward else reverse_objective

    def total(q):
        q = q / q.sum()
        return summed(q, g, teachers) + sum(kl(p, q) if forward else kl(q, p) for p in seconds)

    found = minimize(total, g, method="SLSQP", bounds=[(1e-9, 1.0)] * 5, options={"ftol": 1e-15, "maxiter": 500})
    return found.x / found.x.sum()


def test_calibration_leaves_imports_as_they_are(bring, place, generalist_tables, specialist_tables, calibrations):
    shard = place(bring(drawn(seed=3)), rows=(0, 240))
    ones = [Artifact(facts={"temperature": 1.0})] * 3
    arguments = {"generalist": generalist_tables[1], "specialists": specialist_tables[1], "divergence": "forward"}
    plain, same, calibrated = (
        combined.combine(**arguments, imported=[shard], calibrations=given, work=Work())
        for given in ([], ones, calibrations)
    )
    assert np.array_equal(plain.arrays["logits"], same.arrays["logits"])
    assert not np.array_equal(plain.arrays["logits"], calibrated.arrays["logits"])

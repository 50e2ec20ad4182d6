import pytest
import torch

from specialists.active import active_set
from specialists.calibration import calibrated
from specialists.combine import combine
from specialists.dustbin import corrected
from specialists.ensemble import Ensemble, Specialist
from specialists.errors import SpecialistsError

SUBSETS = [torch.tensor([3, 1]), torch.tensor([0, 1, 4]), torch.tensor([2, 5])]
ROWS = torch.arange(40)


def logits_of(outputs, seed):
    return 2 * torch.randn(len(ROWS), outputs, generator=torch.Generator().manual_seed(seed))


GENERALIST = logits_of(6, 0)
TABLES = [logits_of(len(subset) + 1, m + 1) for m, subset in enumerate(SUBSETS)]


def ensemble(tables=TABLES, corrections=(0.0, 0.0, 0.0), temperatures=(1.0, 1.0, 1.0), **options):
    made = [
        Specialist(table.__getitem__, subset, correction, temperature)
        for table, subset, correction, temperature in zip(tables, SUBSETS, corrections, temperatures, strict=True)
    ]
    return Ensemble(GENERALIST.__getitem__, made, **{"active_classes": 2} | options)


def test_ensemble_is_the_combination_of_corrected_and_calibrated_teachers():
    corrections, temperatures = (0.5, -1.0, 0.0), (2.0, 1.0, 0.7)
    found = ensemble(corrections=corrections, temperatures=temperatures, temperature=1.3)(ROWS)
    probs = [
        calibrated(corrected(table, correction), temperature).softmax(1)
        for table, correction, temperature in zip(TABLES, corrections, temperatures, strict=True)
    ]
    active = active_set(GENERALIST, SUBSETS, 2)
    expected = combine((GENERALIST.double() / 1.3).softmax(1), probs, SUBSETS, active)
    assert torch.equal(found.probs, expected.probs)
    assert torch.equal(found.active, active)
    assert found.combination.residual.max() <= 1e-12


def test_ensemble_is_bit_equal_whatever_specialists_say_where_they_are_not_active():
    active = active_set(GENERALIST, SUBSETS, 2)
    assert not active.all()
    assert active.any(0).all()
    spoiled = [torch.where(active[:, m : m + 1], table, torch.nan) for m, table in enumerate(TABLES)]
    assert torch.equal(ensemble(spoiled)(ROWS).probs, ensemble()(ROWS).probs)


def test_ensemble_asks_specialists_where_they_are_active_alone():
    asked = {m: [] for m in range(3)}

    def teacher(m):
        def predict(rows):
            asked[m].extend(rows.tolist())
            return TABLES[m][rows]

        return predict

    made = [Specialist(teacher(m), subset) for m, subset in enumerate(SUBSETS)]
    active = Ensemble(GENERALIST.__getitem__, made, active_classes=1)(ROWS).active
    assert asked == {m: active[:, m].nonzero().squeeze(1).tolist() for m in range(3)}
    assert sum(map(len, asked.values())) < 3 * len(ROWS)


def test_ensemble_does_not_call_a_specialist_that_is_nowhere_active():
    def silent(_):
        raise AssertionError

    rows = ROWS[GENERALIST.argmax(1) != 0]
    alone = Ensemble(GENERALIST.__getitem__, [Specialist(silent, torch.tensor([0]))], active_classes=1)(rows)
    torch.testing.assert_close(alone.probs, GENERALIST[rows].double().softmax(1), rtol=1e-12, atol=0)


def test_ensemble_without_specialists_is_the_generalist():
    found = Ensemble(GENERALIST.__getitem__, [], active_classes=2)(ROWS)
    torch.testing.assert_close(found.probs, GENERALIST.double().softmax(1), rtol=1e-12, atol=0)
    assert found.active.shape == (40, 0)


def test_ensemble_takes_batches_of_any_shape():
    images = torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0))
    generalist, head = torch.randn(9, 6), torch.randn(9, 3)
    made = Ensemble(
        lambda batch: batch.flatten(1) @ generalist,
        [Specialist(lambda batch: batch.flatten(1) @ head, torch.tensor([0, 5]))],
        active_classes=3,
    )
    whole, parts = made(images), [made(images[:2]), made(images[2:])]
    torch.testing.assert_close(whole.probs, torch.cat([part.probs for part in parts]))


def test_ensemble_says_what_is_wrong_with_a_teacher():
    narrow = [table[:, :-1] for table in TABLES]
    with pytest.raises(
        SpecialistsError, match=r"probs\[0\] must be \(19, 3\) of float16.*; got torch.float64 \(19, 2\)"
    ):
        ensemble(narrow)(ROWS)
    with pytest.raises(SpecialistsError, match="active classes must be within 1"):
        ensemble(active_classes=7)(ROWS)
    with pytest.raises(SpecialistsError, match="temperature must be above 0"):
        ensemble(temperature=0.0)(ROWS)

import math

import pytest
import torch

from specialists.dustbin import (
    corrected,
    enriched_epoch,
    folded,
    full_head,
    initial_head,
    regularized_targets,
    subset_labels,
)
from specialists.enrichment import epoch_size, prior_correction, used_fraction
from specialists.errors import SpecialistsError

LABELS = torch.tensor([0, 1, 2, 3, 4] * 20)
SUBSET = torch.tensor([3, 1])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_initial_head_copies_the_subset_and_averages_the_rest():
    weight, bias = torch.randn(5, 7, generator=generator()), torch.arange(5.0)
    new_weight, new_bias = initial_head(weight, bias, SUBSET)
    torch.testing.assert_close(new_weight, torch.stack([weight[3], weight[1], weight[[0, 2, 4]].mean(0)]))
    torch.testing.assert_close(new_bias, torch.tensor([3.0, 1.0, 2.0 + math.log(3)]))


def test_initial_head_keeps_the_posterior_where_outside_logits_are_equal():
    weight, bias = torch.randn(5, 7, generator=generator()), torch.randn(5, generator=generator(1))
    weight[[2, 4]], bias[[2, 4]] = weight[0].clone(), bias[0].clone()
    features = torch.randn(7, generator=generator(2))
    probs = (weight @ features + bias).softmax(0)
    new_weight, new_bias = initial_head(weight, bias, SUBSET)
    expected = torch.stack([probs[3], probs[1], probs[[0, 2, 4]].sum()])
    torch.testing.assert_close((new_weight @ features + new_bias).softmax(0), expected)


def test_initial_head_refuses_a_subset_of_all_classes_or_with_a_class_twice_or_unknown():
    for subset in ([0, 1, 2], [0, 0], [-1], [3]):
        with pytest.raises(SpecialistsError, match=r"different classes out of 0\.\.2, not all of them"):
            initial_head(torch.zeros(3, 2), torch.zeros(3), torch.tensor(subset))


def test_full_head_has_the_subset_first_and_every_class_once():
    weight, bias = torch.randn(5, 7, generator=generator()), torch.arange(5.0)
    new_weight, new_bias = full_head(weight, bias, SUBSET)
    assert new_bias.tolist() == [3.0, 1.0, 0.0, 2.0, 4.0]
    assert torch.equal(new_weight, weight[[3, 1, 0, 2, 4]])


def test_full_head_refuses_a_subset_of_all_classes():
    with pytest.raises(SpecialistsError, match=r"different classes out of 0\.\.2, not all of them"):
        full_head(torch.zeros(3, 2), torch.zeros(3), torch.arange(3))


def test_folded_keeps_the_posterior_of_a_full_head():
    logits = torch.randn(6, 5, generator=generator(), dtype=torch.float64)
    probs = logits.softmax(1)
    expected = torch.cat([probs[:, :2], probs[:, 2:].sum(1, keepdim=True)], 1)
    torch.testing.assert_close(folded(logits, 2).softmax(1), expected)


@pytest.mark.parametrize("n_inside", [0, 5, 6])
def test_folded_refuses_a_subset_of_no_class_or_all(n_inside):
    with pytest.raises(SpecialistsError, match=f"a subset must have 1 to 4 classes; got {n_inside}"):
        folded(torch.zeros(6, 5), n_inside)


def test_regularized_targets_are_labels_inside_and_the_generalists_shares_outside():
    logits = torch.randn(2, 5, generator=generator(), dtype=torch.float64)
    logits[1] = torch.nan  # an example of the subset: not read
    targets = regularized_targets(torch.tensor([2, 1]), logits, SUBSET).exp()
    outside = logits[0, [0, 2, 4]].softmax(0)
    torch.testing.assert_close(targets[0], torch.cat([torch.zeros(2, dtype=torch.float64), outside]))
    assert targets[1].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_regularized_targets_stand_a_generalist_that_is_certain_of_the_subset():
    logits = torch.tensor([[0.0, 0.0, 0.0, 1e4, 0.0]])
    targets = regularized_targets(torch.tensor([2]), logits, SUBSET).exp()
    torch.testing.assert_close(targets, torch.tensor([[0.0, 0.0, 1 / 3, 1 / 3, 1 / 3]]))


def test_corrected_adds_to_the_dustbin_of_a_copy():
    logits = torch.zeros(2, 3)
    assert corrected(logits, 0.5).tolist() == [[0.0, 0.0, 0.5]] * 2
    assert corrected(logits, 0.5).dtype == torch.float64
    assert not logits.any()


def test_subset_labels_count_positions_and_the_dustbin_last():
    assert subset_labels(torch.tensor([0, 1, 2, 3, 4]), SUBSET, 5).tolist() == [2, 1, 2, 0, 2]
    assert subset_labels(torch.empty(0, dtype=torch.int64), SUBSET, 5).tolist() == []


def test_subset_labels_refuse_a_subset_of_unknown_classes():
    with pytest.raises(SpecialistsError, match=r"subset must be different classes out of 0\.\.4.*; got \[-1\]"):
        subset_labels(torch.tensor([4]), torch.tensor([-1]), 5)


def test_subset_labels_refuse_labels_out_of_range():
    with pytest.raises(SpecialistsError, match=r"within 0..4; got values from -1 to 5"):
        subset_labels(torch.tensor([-1, 5]), SUBSET, 5)


def test_enriched_epoch_holds_the_subset_once_and_others_without_replacement():
    epoch = enriched_epoch(LABELS, SUBSET, 0.5, generator())
    inside = torch.isin(LABELS[epoch], SUBSET)
    assert inside.sum() == (~inside).sum() == 40
    assert len(epoch.unique()) == len(epoch)


def test_enriched_epoch_repeats_others_evenly_where_they_are_too_few():
    epoch = enriched_epoch(LABELS, SUBSET, 0.2, generator())
    counts = epoch.bincount(minlength=100)
    inside = torch.isin(LABELS, SUBSET)
    assert counts[inside].tolist() == [1] * 40
    assert counts[~inside].sum() == 160
    assert len(epoch) == epoch_size(40, 0.2) == 200
    assert set(counts[~inside].tolist()) == {2, 3}


def test_enriched_epoch_is_shuffled_and_repeats_with_its_generator():
    first, second = (enriched_epoch(LABELS, SUBSET, 0.5, generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, first.sort().values)
    assert not torch.equal(first, enriched_epoch(LABELS, SUBSET, 0.5, generator(4)))


def test_enriched_epoch_refuses_a_side_without_examples():
    with pytest.raises(SpecialistsError, match="at least one training example"):
        enriched_epoch(LABELS, torch.tensor([7]), 0.5, generator())
    with pytest.raises(SpecialistsError, match="examples outside"):
        enriched_epoch(LABELS, torch.arange(5), 0.5, generator())


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_fractions_must_lie_between_0_and_1(fraction):
    with pytest.raises(SpecialistsError, match="fraction must be above 0 and below 1"):
        epoch_size(10, fraction)
    with pytest.raises(SpecialistsError, match="fraction must be above 0 and below 1"):
        prior_correction(fraction, 0.5)
    with pytest.raises(SpecialistsError, match="prior must be above 0 and below 1"):
        prior_correction(0.5, fraction)


def test_used_fraction_is_the_share_in_an_epoch():
    for fraction in (0.1, 0.37, 0.5, 0.999):
        epoch = enriched_epoch(LABELS, SUBSET, fraction, generator())
        share = torch.isin(LABELS[epoch], SUBSET).double().mean().item()
        assert used_fraction(40, fraction) == pytest.approx(share, rel=1e-12)


def test_prior_correction_is_0_where_training_saw_the_data_as_they_are():
    assert prior_correction(0.3, 0.3) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(("fraction", "prior"), [(0.5, 0.1), (0.25, 0.7), (0.9, 0.02)])
def test_prior_correction_recovers_the_bayes_posterior(fraction, prior):
    # Gaussian classes in one dimension: class 0 and 1 are the subset, the rest is the dustbin.
    x = torch.linspace(-6, 6, 201, dtype=torch.float64)
    means = torch.tensor([-1.0, 1.0, 0.3], dtype=torch.float64)
    log_density = -((x[:, None] - means) ** 2) / 2

    def log_posterior(share):
        weights = torch.tensor([0.4 * share, 0.6 * share, 1 - share], dtype=torch.float64)
        return (log_density + weights.log()).log_softmax(1)

    logits = log_posterior(fraction)  # what training on enriched epochs converges to
    corrected = logits.clone()
    corrected[:, -1] += prior_correction(fraction, prior)
    torch.testing.assert_close(corrected.softmax(1), log_posterior(prior).exp(), rtol=1e-12, atol=1e-14)
    assert (logits.softmax(1) - log_posterior(prior).exp()).abs().max() > 0.05


X = torch.linspace(-6, 6, 201, dtype=torch.float64)
MEANS = torch.tensor([-1.0, 1.0, 0.3, -0.4, 2.0], dtype=torch.float64)
PRIORS = torch.tensor([0.04, 0.3, 0.36, 0.06, 0.24], dtype=torch.float64)
LOG_DENSITY = -((X[:, None] - MEANS) ** 2) / 2


def bayes(priors):
    """The posterior of five Gaussian classes in one dimension, (points, classes)."""
    return (LOG_DENSITY + priors.log()).softmax(1)


def expected_targets(fraction, targets_of):
    """The mean target at every point in enriched training: what a network with a full head converges to."""
    inside = torch.zeros(5, dtype=torch.bool)
    inside[SUBSET] = True
    prior = PRIORS[inside].sum()
    enriched = torch.where(inside, PRIORS * fraction / prior, PRIORS * (1 - fraction) / (1 - prior))
    local = subset_labels(torch.arange(5), SUBSET, 5)
    by_class = torch.stack([targets_of(local[c].expand(len(X))).exp() for c in range(5)], dim=1)
    return (bayes(enriched)[:, :, None] * by_class).sum(1), prior.item()


def posterior_error(probs, fraction, prior):
    """The largest error of a corrected specialist that has converged to these probabilities over all classes."""
    logits = corrected(folded(probs.log(), 2), prior_correction(fraction, prior))
    exact = bayes(PRIORS)
    expected = torch.cat([exact[:, SUBSET], 1 - exact[:, SUBSET].sum(1, keepdim=True)], 1)
    return (logits.softmax(1) - expected).abs().max().item()


@pytest.mark.parametrize("fraction", [0.5, 0.25, 0.9])
@pytest.mark.parametrize("knows_bayes", [True, False])
def test_regularized_specialist_recovers_the_bayes_posterior_of_any_generalist(fraction, knows_bayes):
    noise = 0.0 if knows_bayes else torch.randn(len(X), 5, generator=generator(), dtype=torch.float64)
    generalist = bayes(PRIORS).log() + noise
    probs, prior = expected_targets(fraction, lambda local: regularized_targets(local, generalist, SUBSET))
    assert posterior_error(probs, fraction, prior) < 1e-12
    # Among the other classes it says what the generalist says.
    outside = [0, 2, 4]
    torch.testing.assert_close(probs[:, 2:].log().softmax(1), generalist[:, outside].softmax(1))


def test_soft_targets_that_keep_the_generalists_mass_on_the_subset_cannot_be_corrected():
    generalist = bayes(PRIORS).log()[:, [3, 1, 0, 2, 4]]

    def targets_of(local):
        labels = torch.full_like(generalist, -math.inf)
        labels[torch.arange(len(X)), local] = 0.0
        return torch.where(local[:, None] < 2, labels, generalist)

    probs, prior = expected_targets(0.5, targets_of)
    assert posterior_error(probs, 0.5, prior) > 0.05

"""What is measured on the test split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.errors import StageError
from pipeline.stage import Artifact
from specialists.active import active_set
from specialists.combine import combine as combine_full
from stages import comparison, evaluate, network, soft_targets
from stages.asked import Said, Teachers
from stages.learning import metrics
from stages.parameters import CombineParameters
from stages.shown import Pixels, replayed_view


def part_of(test_half, keep):
    """Return the test half with some of its examples."""
    return Artifact({name: array[keep] for name, array in test_half.arrays.items()}, test_half.facts)


def log_probs_of(net, test_half):
    logits = network.predict(net, torch.from_numpy(test_half.arrays["images"]))
    return logits.double().log_softmax(dim=1).numpy()


def test_generalist_is_not_the_control_of_that_name(evaluation, test_half, generalist_net, students):
    labels = test_half.arrays["labels"]
    teacher, control = (log_probs_of(net, test_half) for net in (generalist_net, students["generalist"]))
    facts = evaluation.facts
    assert facts["generalist"]["nll"] == pytest.approx(metrics.nll(teacher, labels), rel=1e-5)
    assert facts["students"]["generalist"]["nll"] == pytest.approx(metrics.nll(control, labels), rel=1e-5)
    assert facts["generalist"]["parameters"] > facts["students"]["generalist"]["parameters"]
    assert evaluation.arrays["generalist"] == pytest.approx(teacher, abs=1e-5)
    assert evaluation.arrays["student-generalist"] == pytest.approx(control, abs=1e-5)


def test_ensemble_is_the_combination_of_corrected_outputs(evaluation, test_half, generalist_net, specialist_nets):
    images = torch.from_numpy(test_half.arrays["images"])
    logits = network.predict(generalist_net, images)
    probs = []
    for net in specialist_nets:
        output = network.predict(net, images).double()
        output[:, -1] += net.facts["prior_correction"]
        probs.append(output.softmax(dim=1))
    subsets = [torch.tensor(net.facts["subset"]) for net in specialist_nets]
    active = active_set(logits, subsets, 2)
    expected = combine_full(logits.double().softmax(dim=1), probs, subsets, active)
    assert np.exp(evaluation.arrays["ensemble"]) == pytest.approx(expected.probs.numpy(), abs=1e-6)
    assert evaluation.facts["ensemble"]["mean_active"] == pytest.approx(float(active.sum()) / 100)


def test_calibrated_ensemble_is_the_combination_at_the_teachers_temperatures(
    measure, evaluation, calibrations, test_half, generalist_net, specialist_nets
):
    images = torch.from_numpy(test_half.arrays["images"])
    temperatures = [fit.facts["temperature"] for fit in calibrations]
    assert all(abs(temperature - 1) > 0.01 for temperature in temperatures)
    logits = network.predict(generalist_net, images)
    probs = []
    for net, temperature in zip(specialist_nets, temperatures[1:], strict=True):
        output = network.predict(net, images).double()
        output[:, -1] += net.facts["prior_correction"]
        probs.append((output / temperature).softmax(dim=1))
    subsets = [torch.tensor(net.facts["subset"]) for net in specialist_nets]
    active = active_set(logits, subsets, 2)
    expected = combine_full((logits.double() / temperatures[0]).softmax(dim=1), probs, subsets, active)
    found = measure(calibrations=calibrations)
    assert np.exp(found.arrays["ensemble"]) == pytest.approx(expected.probs.numpy(), abs=1e-6)
    ensemble, before = found.facts["ensemble"], evaluation.facts["ensemble"]
    assert ensemble["temperatures"] == dict(zip(("generalist", "0-1", "2-3"), temperatures, strict=True))
    assert ensemble["uncalibrated"] == {"nll": before["nll"], "ece": before["ece"]}
    assert ensemble["nll"] != before["nll"]
    assert found.facts["generalist"]["nll"] == evaluation.facts["generalist"]["nll"]


def test_ensemble_agrees_with_the_tables_of_soft_targets(
    measure, dataset, two_views, generalist_net, specialist_nets, combined_tables
):
    """What a student is taught is what is evaluated: the same pixels give the same ensemble either way."""
    pixels = Pixels.of(dataset).seen(*replayed_view(two_views[0], np.arange(240)))
    labels = dataset.arrays["labels"][two_views[0].arrays["examples"]]
    seen = Artifact({"images": pixels.numpy(), "labels": labels}, {"class_names": dataset.facts["class_names"]})
    found = measure(test=seen, variants=("distilled",)).arrays["ensemble"]
    assert np.exp(found) == pytest.approx(soft_targets.decode(combined_tables[0]).exp().numpy(), abs=2e-3)


def test_per_class_shares_weigh_up_to_the_accuracy(evaluation):
    found = evaluation.facts["per_class"]
    assert found["examples"] == [20] * 5
    for shares, measured in (
        (found["generalist"], evaluation.facts["generalist"]),
        (found["ensemble"], evaluation.facts["ensemble"]),
        *((found["students"][name], student) for name, student in evaluation.facts["students"].items()),
    ):
        assert np.mean(shares) == pytest.approx(measured["accuracy"])  # the classes have equally many examples


def test_per_class_shares_are_means_over_seeds_where_there_are_examples():
    labels = np.array([0, 0, 2, 2])
    first, second = np.eye(3)[[0, 0, 2, 1]], np.eye(3)[[0, 1, 2, 1]]
    found = comparison.per_class(first, second, {"hard": [first, second]}, labels)
    assert found["examples"] == [2, 0, 2]
    assert found["ensemble"] == [0.5, None, 0.5]
    assert found["students"] == {"hard": [0.75, None, 0.5]}


def test_by_cover_counts_all_examples(evaluation, test_half):
    labels = test_half.arrays["labels"]
    before, after = (metrics.correct(evaluation.arrays[name], labels) for name in ("generalist", "ensemble"))
    rows = {row["specialists"]: row for row in evaluation.facts["ensemble"]["by_cover"]}
    assert {n: row["examples"] for n, row in rows.items()} == {0: 20, 1: 80}
    covered = labels < 4
    gained = int(after[covered].sum()) - int(before[covered].sum())
    assert rows[1]["gained"] == gained
    assert rows[1]["relative"] == pytest.approx(gained / before[covered].sum())


def test_by_cover_has_no_relative_gain_over_nothing(measure, test_half, generalist_net):
    wrong = measure().arrays["generalist"].argmax(axis=1) != test_half.arrays["labels"]
    keep = wrong & (test_half.arrays["labels"] < 4)
    assert keep.any()
    (row,) = measure(test=part_of(test_half, keep)).facts["ensemble"]["by_cover"]
    assert row["relative"] is None
    assert row["gained"] >= 0


def test_specialists_are_compared_within_their_subset(evaluation, test_half, specialist_nets):
    labels = test_half.arrays["labels"]
    output = network.predict(specialist_nets[0], torch.from_numpy(test_half.arrays["images"])).numpy()
    inside = labels < 2
    found = evaluation.facts["specialists"][0]
    assert found["conditional_accuracy"] == (output[inside, :2].argmax(axis=1) == labels[inside]).mean()
    among = evaluation.arrays["generalist"][inside, :2].argmax(axis=1) == labels[inside]
    assert found["generalist_conditional_accuracy"] == among.mean()
    output[:, 2] += specialist_nets[0].facts["prior_correction"]
    assert found["dustbin_recall"] == pytest.approx((output[~inside].argmax(axis=1) == 2).mean())
    assert (found["classes"], found["names"], found["state"]) == ([0, 1], ["class 0", "class 1"], "trained")


@pytest.mark.parametrize(("correction", "recall"), [(-20.0, 0.0), (20.0, 1.0)])
def test_dustbin_is_recalled_with_the_prior_corrected(measure, specialist_nets, correction, recall):
    net = specialist_nets[0]
    sure = Artifact(net.arrays, {**net.facts, "prior_correction": correction})  # by more than its logits differ
    found = measure(specialists=[sure, specialist_nets[1]], variants=("distilled",)).facts["specialists"]
    assert found[0]["dustbin_recall"] == recall


def test_shares_of_examples_that_are_not_there_are_none(measure, test_half):
    inside = measure(test=part_of(test_half, test_half.arrays["labels"] < 2)).facts["specialists"]
    assert inside[0]["dustbin_recall"] is None
    assert inside[0]["conditional_accuracy"] is not None
    assert inside[1]["conditional_accuracy"] is None
    assert inside[1]["generalist_conditional_accuracy"] is None
    assert inside[1]["dustbin_recall"] is not None


def test_differences_are_the_distilled_students_lead(evaluation):
    students = evaluation.facts["students"]
    assert set(evaluation.facts["differences"]) == {"hard", "generalist"}
    for control, found in evaluation.facts["differences"].items():
        lead = students["distilled"]["accuracy"] - students[control]["accuracy"]
        assert found["mean"] == pytest.approx(lead)
        assert found["low"] <= found["mean"] <= found["high"]


def test_lead_of_the_ensemble_is_over_the_generalist(evaluation):
    found = evaluation.facts["ensemble"]["lead"]
    for fact, lead in (("accuracy", found), ("nll", found["nll"])):
        ours, theirs = (evaluation.facts[model][fact] for model in ("ensemble", "generalist"))
        assert lead["mean"] == pytest.approx(ours - theirs, abs=1e-6)
        assert lead["low"] <= lead["mean"] <= lead["high"]
        assert lead["low"] < lead["high"]


def test_interval_of_a_difference_of_shares_is_no_wider_than_it_can_be():
    labels = np.zeros(4, dtype=np.int64)
    right, wrong = (np.log(np.array([row] * 4)) for row in ([0.9, 0.1], [0.1, 0.9]))
    ours, theirs = (comparison.of_examples(scores, labels) for scores in ([right, wrong], [wrong, right]))
    for is_paired in (True, False):
        found = comparison.leads(ours, theirs, seed=0, is_paired=is_paired)
        assert (found.accuracy.low, found.accuracy.high) == (-1.0, 1.0)
        assert found.nll.low < -1
        assert found.nll.high > 1


def test_what_examples_say_has_accuracy_and_nll_as_its_means():
    random = np.random.default_rng(0)
    scores = [np.log(random.dirichlet(np.ones(3), 20)).astype(np.float32) for _ in range(2)]
    labels = random.integers(0, 3, 20)
    found = comparison.of_examples(scores, labels)
    assert (found.shape, found.dtype) == ((2, 2, 20), np.float64)
    for measure, values in zip((metrics.accuracy, metrics.nll), found, strict=True):
        assert values.mean(axis=1) == pytest.approx([measure(one, labels) for one in scores])


def test_agreement_is_with_the_ensemble(evaluation):
    chosen = {name: evaluation.arrays[name].argmax(axis=1) for name in ("student-hard", "ensemble")}
    expected = (chosen["student-hard"] == chosen["ensemble"]).mean()
    assert evaluation.facts["students"]["hard"]["agreement"] == expected


def test_nll_differences_are_the_distilled_students_lead(evaluation):
    students = evaluation.facts["students"]
    for control, found in evaluation.facts["differences"].items():
        lead = students["distilled"]["nll"] - students[control]["nll"]
        assert found["nll"]["mean"] == pytest.approx(lead, abs=1e-6)
        assert found["nll"]["low"] <= found["nll"]["mean"] <= found["nll"]["high"]


@pytest.mark.parametrize("calibrated", [False, True])
def test_specialists_outputs_are_kept_as_they_are_combined(
    measure, calibrations, test_half, specialist_nets, calibrated
):
    found = measure(calibrations=calibrations if calibrated else ()).arrays
    images = torch.from_numpy(test_half.arrays["images"])
    for net, fit in zip(specialist_nets, calibrations[1:], strict=True):
        output = network.predict(net, images).double()
        output[:, -1] += net.facts["prior_correction"]
        expected = (output / (fit.facts["temperature"] if calibrated else 1)).log_softmax(dim=1).numpy()
        assert found[f"specialist-{net.facts['name']}"] == pytest.approx(expected, abs=1e-5)


def test_active_is_kept(evaluation, test_half, generalist_net):
    logits = network.predict(generalist_net, torch.from_numpy(test_half.arrays["images"]))
    expected = active_set(logits, [torch.tensor([0, 1]), torch.tensor([2, 3])], 2)
    assert np.array_equal(evaluation.arrays["active"], expected.numpy())


def test_images_that_are_shown_are_those_of_the_test_split(evaluation, test_half):
    shown = evaluation.arrays["shown"]
    assert len(set(shown.tolist())) == len(shown) == 12
    assert np.array_equal(evaluation.arrays["shown-images"], test_half.arrays["images"][shown])


def test_evaluate_needs_no_controls_and_no_second_specialist(measure, specialist_nets):
    found = measure(specialists=specialist_nets[:1], variants=("distilled",)).facts
    assert found["differences"] == {}
    assert list(found["students"]) == ["distilled"]
    assert len(found["specialists"]) == 1
    assert 0 < found["ensemble"]["mean_active"] <= 1


def test_model_that_gives_a_label_no_probability_is_refused_by_name(measure, generalist_net, specialist_nets):
    heads = {name: values for name, values in generalist_net.arrays.items() if name.startswith("head")}
    sure = {name: values * np.float32(1e30) for name, values in heads.items()}
    teacher = Artifact({**generalist_net.arrays, **sure}, generalist_net.facts)
    rule = "the class that an example has must have a probability above 0; got 0 for"
    with pytest.raises(StageError, match=f"^ensemble: {rule}"):
        measure(teacher=teacher, specialists=specialist_nets[:1], variants=("distilled",))


def test_every_seed_of_a_student_is_asked_for_a_probability_of_the_labels():
    labels, sound = np.array([0, 1]), np.log(np.full((2, 2), 0.5))
    diverged = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    asked = Teachers(torch.zeros(2, 2), [], [], CombineParameters())
    said = Said(labels, sound, sound, {"hard": [diverged, sound]}, torch.zeros(2, 0, dtype=torch.bool), asked)
    with pytest.raises(
        StageError, match=r"^student hard of seed 0: .* must have a probability above 0; got 0 for 1 of"
    ):
        evaluate.refuse_impossible(said.by_model([0, 5]), labels)
    alone = replace(said, students={"hard": [diverged]})
    with pytest.raises(StageError, match=r"^student hard: the class"):
        evaluate.refuse_impossible(alone.by_model([0]), labels)


def test_evaluate_says_what_a_model_costs(evaluation, students):
    found = evaluation.facts["students"]["distilled"]
    assert found["parameters"] == students["distilled"].facts["parameters"]
    assert found["bytes"] == sum(array.nbytes for array in students["distilled"].arrays.values())
    for model in (found, evaluation.facts["generalist"], evaluation.facts["ensemble"]):
        assert 0 < model["milliseconds_per_image"] < 1000
        assert 0 < model["milliseconds_alone"] < 1000
    assert evaluation.facts["measured_on"]["threads"] == 1


def test_one_seed_has_no_deviation(evaluation):
    for found in evaluation.facts["students"].values():
        assert not {"deviation", "seeds"} & set(found)


def test_seeds_give_means_deviations_and_one_interval(measure, evaluation, students, train_student, test_half):
    other = {"distilled": students["generalist"], "hard": train_student([], alpha=0.0, epochs=1)}
    variants = ("distilled", "hard")
    trained = {variant: [students[variant], other[variant]] for variant in variants}
    found = measure(variants=variants, seeds=(0, 7), trained=trained)
    labels = test_half.arrays["labels"]
    leads = []
    for variant in variants:
        each = [log_probs_of(net, test_half) for net in trained[variant]]
        accuracies = [metrics.accuracy(one, labels) for one in each]
        facts = found.facts["students"][variant]
        assert facts["accuracy"] == pytest.approx(np.mean(accuracies))
        assert facts["deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
        assert [one["accuracy"] for one in facts["seeds"].values()] == pytest.approx(accuracies)
        assert list(facts["seeds"]) == ["0", "7"]
        assert found.arrays[f"student-{variant}"] == pytest.approx(each[0], abs=1e-5)
        assert found.arrays[f"student-{variant}/7"] == pytest.approx(each[1], abs=1e-5)
        leads.append(accuracies)
    difference = found.facts["differences"]["hard"]
    assert difference["mean"] == pytest.approx(np.mean(leads[0]) - np.mean(leads[1]))
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert difference["method"] == "Student's over 2 seeds and over test examples, paired, added in quadrature"
    assert found.facts["seeds"] == [0, 7]


def test_test_split_that_exceeds_the_budget_is_read_batch_by_batch(measure, evaluation):
    read = measure(memory_budget=0.0)
    assert {name: (values == evaluation.arrays[name]).all() for name, values in read.arrays.items()} == dict.fromkeys(
        evaluation.arrays, True
    )

"""The student and its controls: alike in everything but the targets."""

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact, Work
from stages import fitting, network, soft_targets, targets, views
from stages.parameters import AugmentParameters, SmallModelParameters
from stages.shown import Pixels, replayed_view
from stages.student import train
from tests.stages.conftest import STUDENT


def same_weights(first, second):
    return all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)


def test_student_is_the_same_for_the_same_targets(train_student, combined_tables, students):
    assert same_weights(train_student(combined_tables), students["distilled"])


def test_hard_control_is_training_without_the_soft_targets(train_student, combined_tables, students):
    assert same_weights(train_student(combined_tables, alpha=0.0, temperature=7.0), students["hard"])


def test_students_start_alike(train_student, combined_tables, generalist_tables):
    # So small a learning rate moves no weight: left are the initial ones, and statistics that show the batches' order.
    still = {"learning_rate": 1e-30, "epochs": 1}
    found = [train_student(tables, **still) for tables in (combined_tables, generalist_tables, [])]
    for other in found[1:]:
        assert all(
            np.allclose(found[0].arrays[name], other.arrays[name], rtol=0.0, atol=1e-25) for name in other.arrays
        )


@pytest.mark.parametrize(("n_tables", "alpha"), [(0, 0.0), (2, 0.25)])
def test_labels_are_smoothed_as_asked(train_student, combined_tables, dataset, two_views, n_tables, alpha):
    still = {"model": SmallModelParameters(name="mlp", width=8), "learning_rate": 1e-30, "epochs": 1, "batch_size": 120}
    plain, smoothed = (
        train_student(combined_tables[:n_tables], alpha=alpha, label_smoothing=share, **still) for share in (0.0, 0.3)
    )
    examples, view = replayed_view(two_views[0], np.arange(240))
    log_probs = network.predict(plain, Pixels.of(dataset).seen(examples, view)).log_softmax(dim=1)
    of_label = log_probs[np.arange(240), dataset.arrays["labels"][examples]].mean()
    found = smoothed.facts["history"][0]["loss"] - plain.facts["history"][0]["loss"]
    assert found == pytest.approx(float((1 - alpha) * 0.3 * (of_label - log_probs.mean())), abs=1e-5)


def test_views_are_shown_in_turns_and_again(dataset, two_views):
    first, second = two_views

    def trained(views):
        wanted = STUDENT.model_copy(update={"epochs": 4})
        return train(dataset=dataset, views=views, targets=[], student=wanted, work=Work(seed=11))

    assert same_weights(trained([first, second]), trained([first, second, first, second]))


@pytest.mark.parametrize("control", ["hard", "generalist"])
def test_students_end_apart(students, control):
    assert not same_weights(students["distilled"], students[control])


def test_certain_soft_targets_are_labels(train_student, dataset, two_views, combined_tables):
    labels = dataset.arrays["labels"]
    certain = [
        Artifact(
            soft_targets.encode(
                torch.nn.functional.one_hot(torch.from_numpy(labels[view.arrays["examples"]]), 5).float().log()
            ),
            table.facts,
        )
        for view, table in zip(two_views, combined_tables, strict=True)
    ]
    soft = train_student(certain, alpha=1.0, temperature=1.0, epochs=1, learning_rate=0.01)
    hard = train_student([], alpha=0.0, temperature=1.0, epochs=1, learning_rate=0.01)
    assert all(np.allclose(soft.arrays[name], hard.arrays[name], atol=1e-4) for name in hard.arrays)
    assert soft.facts["history"][0]["loss"] == pytest.approx(hard.facts["history"][0]["loss"], rel=1e-4)


def test_student_reads_the_table_of_the_view_it_sees(train_student, combined_tables):
    first, second = combined_tables
    first_twice = [first, Artifact(first.arrays, second.facts)]
    assert same_weights(train_student([first], epochs=1), train_student([first, second], epochs=1))
    assert not same_weights(train_student(first_twice, epochs=2), train_student([first, second], epochs=2))


def test_calibrated_teacher_teaches_what_its_divided_logits_say(train_student, generalist_tables):
    divided = [Artifact(soft_targets.encode(soft_targets.decode(t) / 4), t.facts) for t in generalist_tables]
    found = train_student(generalist_tables, calibration=Artifact(facts={"temperature": 4.0}))
    expected = train_student(divided)
    assert all(np.allclose(found.arrays[name], expected.arrays[name], atol=1e-3) for name in found.arrays)
    assert not same_weights(found, train_student(generalist_tables))


def test_student_is_as_small_as_asked_for(students):
    for student in students.values():
        assert student.facts["network"]["model"] == {"name": "cnn", "width": 4}
        assert [facts["epoch"] for facts in student.facts["history"]] == [1, 2, 3]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_student_says_how_good_it_is_on_the_holdout(train_student, dataset, keep):
    net = train_student([], alpha=0.0, temperature=1.0, keep=keep, learning_rate=0.5)
    held_out = fitting.Holdout.of(dataset)
    images = torch.from_numpy(dataset.arrays["images"][held_out.examples])
    assert net.facts["holdout"] == pytest.approx(held_out.judge(network.predict(net, images)))


@pytest.fixture(scope="module")
def rare(dataset):
    """The data set, where of classes 0 and 2 a tenth is trained on, and a view of that."""
    labels, held_out = dataset.arrays["labels"], dataset.arrays["holdout"].copy()
    for label in (0, 2):
        members = np.flatnonzero((labels == label) & ~held_out)
        held_out[members[len(members) // 10 :]] = True
    found = Artifact(dict(dataset.arrays) | {"holdout": held_out}, dataset.facts)
    return found, views.draw(dataset=found, augment=AugmentParameters(), view=0, work=Work(seed=3))


@pytest.fixture(scope="module")
def table_of(rare, generalist_net):
    """Return a table of the view that holds logits (rows, classes)."""
    dataset, view = rare
    rows = (0, view.facts["rows"])
    table = targets.score(dataset=dataset, view=view, teacher=generalist_net, rows=rows, work=Work())
    return lambda logits: Artifact(soft_targets.encode(logits), table.facts)


def says(student, dataset, examples):
    return network.predict(student, torch.from_numpy(dataset.arrays["images"][examples])).double()


def balanced_student(dataset, view, tables, **changes):
    wanted = {"sampling": "balanced", "batch_size": 16, "model": SmallModelParameters(width=8)}
    student = STUDENT.model_copy(update=wanted | changes)
    return train(dataset=dataset, views=[view], targets=tables, student=student, work=Work(seed=11))


def test_balanced_student_of_labels_speaks_of_the_data_as_they_are(rare):
    dataset, view = rare
    labels, examples = dataset.arrays["labels"], view.arrays["examples"]
    net = balanced_student(dataset, view, [], epochs=6, alpha=0.0, temperature=1.0, learning_rate=0.1)
    shares = np.bincount(labels[examples], minlength=5) / len(examples)
    assert shares.min() < 0.04
    seen = says(net, dataset, examples)
    assert seen.softmax(dim=1).mean(dim=0).numpy() == pytest.approx(shares, abs=0.08)
    equal = says(net, dataset, np.arange(len(labels))) - torch.from_numpy(np.log(shares))
    assert np.bincount(equal.argmax(dim=1), minlength=5).min() > 15  # of 60: equal shares tell the rare ones
    judged = fitting.Holdout.of(dataset).judge(says(net, dataset, dataset.arrays["holdout"]))
    assert judged == pytest.approx({name: net.facts["history"][-1][name] for name in judged}, rel=1e-4)
    assert net.facts["holdout"] == {name: net.facts["history"][-1][name] for name in judged}


def test_balanced_student_of_soft_targets_learns_these_and_not_what_is_shown(rare, table_of):
    # What all images have in common is all that these soft targets say: whichever are shown, that is to be learnt.
    dataset, view = rare
    q = torch.tensor([0.02, 0.5, 0.03, 0.25, 0.2])
    rows = len(view.arrays["examples"])
    table = table_of(q.log().expand(rows, 5))
    net = balanced_student(dataset, view, [table], epochs=60, alpha=1.0, temperature=2.0, learning_rate=0.2)
    said = says(net, dataset, view.arrays["examples"]).softmax(dim=1).numpy()
    assert said == pytest.approx(q.double().expand(rows, 5).numpy(), abs=0.02)


def test_soft_targets_are_shifted_as_asked(rare, table_of):
    dataset, view = rare
    examples = view.arrays["examples"]
    logits = torch.randn(len(examples), 5, generator=torch.Generator().manual_seed(1))
    table = table_of(logits)
    found = soft_targets.SoftTargets([table], [view], dataset)
    shifts = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    expected = (soft_targets.decode(table) / 2 + shifts).log_softmax(dim=1)
    for is_resident in (True, False):
        training = soft_targets.TrainingTargets(found, torch.device("cpu"), is_resident=is_resident)
        of_epoch = training.log_q(examples[::-1].copy(), 0, 1.0, 2.0, shifts)
        assert torch.allclose(of_epoch[0:7], expected.flip(0)[0:7], atol=1e-6)

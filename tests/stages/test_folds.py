"""Out-of-fold predictions in place of a holdout, and trainings of which nothing is held out."""

import numpy as np
import pytest

from pipeline.errors import StageError
from pipeline.recipe import canonical
from pipeline.stage import Artifact, Task, Work
from stages import (
    assumptions,
    confusion,
    data,
    estimates,
    folds,
    generalist,
    network,
    specialist,
    student,
    subsets,
    views,
)
from stages.parameters import ModelParameters, Parameters, TeacherParameters, TrainingParameters
from stages.shown import Pixels
from tests.stages.conftest import AUGMENT, STUDENT

SHORT = TeacherParameters(epochs=2, batch_size=32, model=ModelParameters(width=4))


@pytest.fixture(scope="module")
def dealt(source):
    return data.load(split="train", folds=3, work=Work(seed=3), **source)


@pytest.fixture(scope="module")
def predicted(dealt):
    return [train(dealt, fold) for fold in range(3)]


def train(dataset, fold):
    return folds.train(dataset=dataset, generalist=SHORT, augment=AUGMENT, fold=fold, work=Work(seed=fold))


def test_load_deals_out_and_holds_nothing_out(dealt):
    assert (dealt.facts["transfer"], dealt.facts["holdout"], dealt.facts["folds"]) == (300, 0, 3)
    assert not dealt.arrays["holdout"].any()
    assert len(data.training_rows(dealt)) == 300
    for fold in range(3):
        assert np.bincount(dealt.arrays["labels"][dealt.arrays["fold"] == fold]).tolist() == [20] * 5


def test_what_a_dealt_out_half_takes_is_foreseen(dealt):
    wanted = Parameters.model_validate({"data": {"source": "npz:x.npz", "folds": 3}})
    shape = dealt.facts["image_shape"]
    known = assumptions.data(0.0, class_names="abcde", class_counts=[60] * 5, test=1, image_shape=shape)
    task = Task("data", "train", parameters={"data.folds": 3})
    effort = estimates.effort(task, wanted, {"source": {"digest": "d"}, **known})
    assert effort.least_bytes == sum(array.nbytes for array in dealt.arrays.values())


def test_what_folds_take_is_foreseen(dealt, predicted):
    wanted = Parameters.model_validate({"data": {"source": "npz:x.npz", "folds": 3}, "generalist": {"epochs": 2}})
    known = {"source": {"digest": "d"}, "data[train]": dealt.facts}
    gathered = confusion.gather(dataset=dealt, folds=predicted, work=Work())
    for task, made in ((Task("fold", "0"), predicted[0]), (Task("confusion"), gathered)):
        effort = estimates.effort(task, wanted, known)
        n_bytes = sum(array.nbytes for array in made.arrays.values())
        assert effort.least_bytes == n_bytes
        assert n_bytes + len(canonical(made.facts)) < effort.most_bytes < n_bytes + 2000


def test_load_refuses_more_folds_than_examples(source):
    with pytest.raises(StageError, match=r"data\.folds must be at most 300, the number of training examples; got 301"):
        data.load(split="train", folds=301, work=Work(), **source)


def test_without_fold_holds_one_out_and_knows_nothing_of_it(dealt):
    rest = data.without_fold(dealt, 1)
    held_out = dealt.arrays["fold"] == 1
    assert np.array_equal(rest.arrays["holdout"], held_out)
    assert (rest.facts["transfer"], rest.facts["holdout"]) == (200, 100)
    assert rest.facts["mean"] == pytest.approx([(dealt.arrays["images"][~held_out] / 255).mean()])
    assert rest.facts["mean"] != dealt.facts["mean"]


def test_train_predicts_the_fold_as_the_generalist_of_the_others_does(dealt, predicted):
    rest = data.without_fold(dealt, 2)
    net = generalist.train(dataset=rest, generalist=SHORT, augment=AUGMENT, work=Work(seed=2))
    examples = np.flatnonzero(dealt.arrays["fold"] == 2)
    logits = network.predict(net, Pixels.of(rest).show(examples), warn=print)
    assert np.array_equal(predicted[2].arrays["examples"], examples)
    assert np.array_equal(predicted[2].arrays["log_probs"], logits.log_softmax(dim=1).numpy())
    assert predicted[2].facts == {"fold": 2, "history": net.facts["history"]}


def test_train_learns_nothing_of_the_labels_and_images_of_its_fold(dealt, predicted):
    inside = np.flatnonzero(dealt.arrays["fold"] == 0)
    images, labels = dealt.arrays["images"].copy(), dealt.arrays["labels"].copy()
    images[inside[0]], labels[inside] = 255, np.roll(labels[inside], 7)
    other = train(Artifact(dealt.arrays | {"images": images, "labels": labels}, dealt.facts), 0)
    assert np.array_equal(other.arrays["log_probs"][1:], predicted[0].arrays["log_probs"][1:])
    assert other.facts["history"][-1]["accuracy"] != predicted[0].facts["history"][-1]["accuracy"]


def test_confusion_is_gathered_from_all_folds_in_the_order_of_the_examples(dealt, predicted):
    found = confusion.gather(dataset=dealt, folds=predicted, work=Work())
    assert np.array_equal(found.arrays["labels"], dealt.arrays["labels"])
    for fold in predicted:
        of_fold = found.arrays["probs"][fold.arrays["examples"]]
        assert np.array_equal(of_fold, np.exp(fold.arrays["log_probs"]))
    judged = [fold.facts["history"][-1]["accuracy"] for fold in predicted]
    assert found.facts["accuracy"] == pytest.approx(np.mean(judged))
    chosen = subsets.cluster(confusion=found, count=2, size=2, method="confusion", work=Work(seed=1))
    assert [one["classes"] for one in chosen.facts["subsets"]] == [[0, 1], [2, 3]]


def test_nothing_is_judged_where_nothing_is_held_out(dealt):
    net = generalist.train(dataset=dealt, generalist=SHORT, augment=AUGMENT, work=Work(seed=1))
    one = specialist.train(
        dataset=dealt,
        generalist=net,
        specialists=TrainingParameters(epochs=1, learning_rate=0.02),
        fraction=0.5,
        regularize="none",
        augment=AUGMENT,
        subset=[0, 1],
        work=Work(seed=2),
    )
    view = views.draw(dataset=dealt, augment=AUGMENT, view=0, work=Work())
    hard = STUDENT.model_copy(update={"alpha": 0.0, "epochs": 1})
    pupil = student.train(dataset=dealt, views=[view], targets=[], student=hard, work=Work(seed=3))
    for trained in (net, one, pupil):
        assert all(set(epoch) == {"epoch", "loss"} for epoch in trained.facts["history"])
    assert "holdout" not in pupil.facts


def test_best_epoch_is_refused_where_nothing_is_held_out_to_find_it_by(dealt):
    wanted = SHORT.model_copy(update={"keep": "best"})
    with pytest.raises(StageError, match="keep must be last where nothing is held out to find the best epoch by"):
        generalist.train(dataset=dealt, generalist=wanted, augment=AUGMENT, work=Work())

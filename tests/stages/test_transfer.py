"""The transfer set, where it is not everything: who is in it, and what students make of it."""

import numpy as np
import pytest
import torch

from pipeline.errors import StageError
from pipeline.stage import Artifact, Work
from stages import combined, network, targets, transfer, views
from stages.data import training_rows
from stages.parameters import AugmentParameters, SmallModelParameters
from stages.student import train
from tests.stages.conftest import STUDENT

WORK = Work(seed=3)


def chosen(dataset, classes=range(5), fraction=1.0, work=WORK):
    found = transfer.choose(dataset=dataset, classes=list(classes), fraction=fraction, work=work)
    return found.arrays["examples"], found.facts


def test_everything_is_what_is_not_held_out(dataset):
    examples, facts = chosen(dataset)
    assert np.array_equal(examples, training_rows(dataset))
    assert facts == {"rows": 240, "labels": [48] * 5}


def test_classes_left_out_are_not_there(dataset):
    examples, facts = chosen(dataset, classes=[0, 1, 4])
    assert facts["labels"] == [48, 48, 0, 0, 48]
    assert set(dataset.arrays["labels"][examples]) == {0, 1, 4}


def test_a_fraction_is_of_every_class_and_nested(dataset):
    (tenth, facts), (third, _) = (chosen(dataset, fraction=fraction) for fraction in (0.1, 0.33))
    assert facts["labels"] == [5] * 5
    assert set(tenth) < set(third)
    assert chosen(dataset, fraction=1e-9)[1]["labels"] == [1] * 5
    assert (np.diff(third) > 0).all()


def test_another_seed_draws_others_and_other_classes_none(dataset):
    mine, _ = chosen(dataset, fraction=0.2)
    assert not np.array_equal(mine, chosen(dataset, fraction=0.2, work=Work(seed=4))[0])
    fewer, _ = chosen(dataset, classes=[0, 1], fraction=0.2)
    assert np.array_equal(fewer, mine[np.isin(dataset.arrays["labels"][mine], [0, 1])])


@pytest.fixture(scope="module")
def without_class_3(dataset, generalist_net):
    """A view of a transfer set without class 3, and the soft targets on it: of the generalist, combined with nobody."""
    found = transfer.choose(dataset=dataset, classes=[0, 1, 2, 4], fraction=0.5, work=WORK)
    view = views.draw(dataset=dataset, augment=AugmentParameters(shift=1), view=0, transfer=found, work=WORK)
    rows = (0, found.facts["rows"])
    table = targets.score(dataset=dataset, view=view, teacher=generalist_net, rows=rows, work=Work())
    return view, combined.combine(generalist=table, specialists=[], divergence="forward", work=Work())


def test_a_view_has_the_transfer_set_alone(dataset, without_class_3):
    view, table = without_class_3
    assert view.facts == {"view": 0, "rows": 96}
    assert 3 not in dataset.arrays["labels"][view.arrays["examples"]]
    assert table.facts["rows"] == 96


def trained(dataset, view, tables, **changes):
    wanted = STUDENT.model_copy(update=changes)
    return train(dataset=dataset, views=[view], targets=tables, student=wanted, work=Work(seed=11))


def test_a_student_that_lacked_a_class_is_shifted_towards_it(dataset, without_class_3):
    view, _ = without_class_3
    plain, shifted = (trained(dataset, view, [], match_frequencies=wanted) for wanted in (False, True))
    shift = np.array(shifted.facts["shift"])
    assert "shift" not in plain.facts
    assert shift.argmax() == 3
    others = [name for name in plain.arrays if name != "head.bias"]
    assert all(np.array_equal(plain.arrays[name], shifted.arrays[name]) for name in others)
    assert np.allclose(shifted.arrays["head.bias"] - plain.arrays["head.bias"], shift, atol=1e-6)
    assert shifted.facts["holdout"]["nll"] < plain.facts["holdout"]["nll"]
    assert plain.facts["history"] == shifted.facts["history"]


def test_a_shifted_student_predicts_every_class_as_often_as_it_occurs(dataset, without_class_3):
    view, table = without_class_3
    student = trained(dataset, view, [table], match_frequencies=True)
    held_out = torch.from_numpy(dataset.arrays["images"][dataset.arrays["holdout"]])
    means = network.predict(student, held_out).double().softmax(dim=1).mean(dim=0)
    assert torch.allclose(means, torch.full((5,), 0.2, dtype=torch.float64), atol=1e-5)


def test_frequencies_are_those_of_all_labels_whatever_is_held_out(dataset, without_class_3):
    view, _ = without_class_3
    labels, held_out = dataset.arrays["labels"], dataset.arrays["holdout"].copy()
    held_out[np.flatnonzero(held_out & (labels < 2))[2:]] = False  # two of the 24 are left
    skewed = Artifact({**dataset.arrays, "holdout": held_out}, dataset.facts)
    student = trained(skewed, view, [], match_frequencies=True)
    said = network.predict(student, torch.from_numpy(dataset.arrays["images"][held_out]))
    assert torch.allclose(said.double().softmax(dim=1).mean(dim=0), torch.full((5,), 0.2).double(), atol=1e-5)


TRIPLED = """
from torch import nn

class Tripled(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Linear(64, classes)

    def forward(self, images):
        return 3 * self.last(images.flatten(1))

def make(*, classes, channels, image_size):
    return Tripled(classes)
"""


def test_student_whose_last_biases_are_not_its_logits_is_refused(dataset, without_class_3, tmp_path, monkeypatch):
    (tmp_path / "tripled_nets.py").write_text(TRIPLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    view, _ = without_class_3
    model = SmallModelParameters(name="python:tripled_nets:make")
    with pytest.raises(StageError, match=r"must have the classes' frequencies within 0.001 .*; got 0\.\d+ off: does"):
        trained(dataset, view, [], match_frequencies=True, model=model)

"""One tiny run, stage by stage, as plain calls: five classes of 8 x 8 pixels, 0 much like 1, and 2 much like 3."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from pipeline.stage import Work
from stages import calibration, combined, data, evaluate, generalist, specialist, student, targets, views
from stages.learning import sources
from stages.parameters import (
    AugmentParameters,
    CombineParameters,
    ModelParameters,
    SmallModelParameters,
    StudentParameters,
    TeacherParameters,
    TrainingParameters,
)
from tests.stages.team import SIZE

AUGMENT = AugmentParameters(shift=1)
STUDENT = StudentParameters(epochs=3, batch_size=32, model=SmallModelParameters(width=4))
SUBSETS = ([0, 1], [2, 3])


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pool():
    """Two processes."""
    with ProcessPoolExecutor(SIZE, mp_context=get_context("spawn")) as processes:
        yield processes


def _images(labels, rng):
    patterns = np.random.default_rng(0).integers(40, 160, (5, 8, 8, 1))
    patterns[1], patterns[3] = patterns[0], patterns[2]
    patterns[1, :3, :3] += 40
    patterns[3, 4:, 4:] += 40
    noise = rng.integers(-40, 40, (len(labels), 8, 8, 1))
    return (patterns[labels] + noise).astype(np.uint8)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """What stage `data` is told of the data set, for either half."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(1)
    y_train, y_test = rng.permutation(np.repeat(np.arange(5), 60)), rng.permutation(np.repeat(np.arange(5), 20))
    names = [f"class {c}" for c in range(5)]
    np.savez(
        root / "tiny.npz",
        x_train=_images(y_train, rng),
        y_train=y_train,
        x_test=_images(y_test, rng),
        y_test=y_test,
        class_names=names,
    )
    digest = sources.identify("npz:tiny.npz", root).digest
    return {"kind": "npz", "digest": digest, "source": "npz:tiny.npz", "root": str(root)}


@pytest.fixture(scope="session")
def dataset(source):
    return data.load(split="train", holdout=0.2, work=Work(seed=3), **source)


@pytest.fixture(scope="session")
def test_half(source):
    return data.load(split="test", work=Work(seed=3), **source)


@pytest.fixture(scope="session")
def two_views(dataset):
    return [views.draw(dataset=dataset, augment=AUGMENT, view=view, work=Work(seed=view)) for view in range(2)]


@pytest.fixture(scope="session")
def generalist_net(dataset):
    wanted = TeacherParameters(epochs=2, batch_size=32, model=ModelParameters(width=8))
    return generalist.train(dataset=dataset, generalist=wanted, augment=AUGMENT, work=Work(seed=5))


@pytest.fixture(scope="session")
def train_specialist(dataset, generalist_net):
    """Return the function that trains a specialist for a subset."""

    def train(subset, *, seed=7, epochs=1, fraction=0.5, regularize="none"):
        return specialist.train(
            dataset=dataset,
            generalist=generalist_net,
            specialists=TrainingParameters(epochs=epochs, learning_rate=0.02, batch_size=32),
            fraction=fraction,
            regularize=regularize,
            augment=AUGMENT,
            subset=subset,
            work=Work(seed=seed),
        )

    return train


@pytest.fixture(scope="session")
def specialist_nets(train_specialist):
    return [train_specialist(subset) for subset in SUBSETS]


@pytest.fixture(scope="session")
def calibrations(dataset, generalist_net, specialist_nets):
    return [calibration.fit(dataset=dataset, teacher=net, work=Work()) for net in (generalist_net, *specialist_nets)]


@pytest.fixture(scope="session")
def generalist_tables(dataset, two_views, generalist_net):
    """The generalist's table of each view; a view is one shard of 240 rows."""
    return [
        targets.score(dataset=dataset, view=view, teacher=generalist_net, rows=(0, 240), work=Work())
        for view in two_views
    ]


@pytest.fixture(scope="session")
def specialist_tables(dataset, two_views, generalist_tables, specialist_nets):
    """Of each view, the specialists' tables."""
    return [
        [
            targets.score(
                dataset=dataset, view=view, teacher=net, rows=(0, 240), generalist=whole, active_classes=2, work=Work()
            )
            for net in specialist_nets
        ]
        for view, whole in zip(two_views, generalist_tables, strict=True)
    ]


@pytest.fixture(scope="session")
def combined_tables(generalist_tables, specialist_tables):
    return [
        combined.combine(generalist=whole, specialists=parts, divergence="forward", work=Work())
        for whole, parts in zip(generalist_tables, specialist_tables, strict=True)
    ]


@pytest.fixture(scope="session")
def train_student(dataset, two_views):
    """Return the function that trains a student on tables, or on labels alone."""

    def train(tables, *, calibration=None, memory_budget=1.0, **changes):
        return student.train(
            dataset=dataset,
            views=two_views,
            targets=tables,
            calibration=calibration,
            student=STUDENT.model_copy(update=changes),
            memory_budget=memory_budget,
            work=Work(seed=11),
        )

    return train


@pytest.fixture(scope="session")
def students(train_student, combined_tables, generalist_tables):
    """The distilled student and its controls, by variant."""
    return {
        "distilled": train_student(combined_tables),
        "hard": train_student([], alpha=0.0, temperature=1.0),
        "generalist": train_student(generalist_tables),
    }


@pytest.fixture(scope="session")
def measure(test_half, generalist_net, specialist_nets, students):
    """Return the function that evaluates, by default everything there is."""

    def measure(
        *,
        test=test_half,
        teacher=generalist_net,
        specialists=specialist_nets,
        variants=tuple(students),
        calibrations=(),
        seeds=(0,),
        trained=None,
        **settings,
    ):
        return evaluate.evaluate(
            test=test,
            generalist=teacher,
            specialists=specialists,
            students=[net for variant in variants for net in (trained or {}).get(variant, [students[variant]])],
            variants=variants,
            seeds=seeds,
            combine=CombineParameters(),
            work=Work(seed=13),
            calibrations=calibrations,
            **settings,
        )

    return measure


@pytest.fixture(scope="session")
def evaluation(measure):
    return measure()

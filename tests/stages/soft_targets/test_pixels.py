"""What a teacher saw is what the student sees, bit for bit, wherever either runs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline.executor import InlineExecutor
from pipeline.recipe import recipe
from pipeline.stage import Task
from pipeline.store import Store
from pipeline.worker import Job
from stages import fitting, network
from stages.learning import views
from stages.shown import Pixels, replayed_view
from tests.pipeline.executor.test_local import outcomes
from tests.stages.soft_targets.pixels import STAGE, digest


@pytest.fixture
def expected(kept):
    return digest(kept.open("generalist").pixels(range(240, 480)))


def test_teacher_saw_the_pixels_that_its_table_gives(kept, generalist_net):
    targets = kept.open("generalist")
    logits = network.predict(generalist_net, targets.pixels(range(150)))
    kept_logits = kept.artifacts["targets[generalist/0.0]"].arrays["logits"]
    shifted = (logits.double() - logits.double().amax(dim=1, keepdim=True)).half().numpy()
    assert np.array_equal(shifted, kept_logits)


def test_student_is_shown_the_pixels_that_the_table_gives(kept, dataset, two_views):
    targets, view = kept.open("combined"), two_views[1]
    order = np.random.default_rng(0).permutation(240)
    shown, parameters = replayed_view(view, order)
    epoch = fitting.Epoch(shown, dataset.arrays["labels"][shown], parameters)
    images = torch.cat([batch.images for batch in epoch.batches(Pixels.of(dataset), 32)]).cpu()
    pixels = targets.pixels(targets.find(shown, 1))
    assert torch.equal(images, views.normalise(pixels, dataset.facts["mean"], dataset.facts["std"]))


@pytest.mark.parametrize("seed", ["0", "1"])
def test_pixels_are_the_same_in_other_processes(kept, expected, seed):
    command = [sys.executable, "-m", "tests.stages.soft_targets.pixels", kept.location]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("where", ["inline", "ray"])
def test_pixels_are_the_same_under_every_executor(kept, expected, where, request):
    executor = InlineExecutor(lambda event, **facts: None) if where == "inline" else request.getfixturevalue("ray")
    store = Store.open(kept.location)
    keys = store.runs()[0].keys
    inputs = {"dataset": store.find(keys["data[train]"]), "view": store.find(keys["views[1]"])}
    task = Task("pixels", where)
    made_from = recipe(STAGE, task, seed=0, inputs={name: found.digest for name, found in inputs.items()})
    (outcome,) = outcomes(executor, Job(STAGE, task, made_from | {"under": where}, inputs, kept.location, 0))
    assert outcome.manifest is not None, outcome.details
    assert store.facts(outcome.manifest) == {"sha256": expected}

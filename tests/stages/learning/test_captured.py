"""A captured network: the same bits as without, whatever the batch. Capturing takes a GPU; choosing does not."""

import dataclasses

import pytest
import torch

from stages.learning import models, objectives, training
from stages.learning.batches import Batch
from stages.learning.captured import Captured
from stages.learning.errors import TrainingError
from stages.learning.settings import Settings

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: nothing can be captured")
SETTINGS = Settings(epochs=3, steps_per_epoch=3, learning_rate=0.1, deterministic=True)


def test_images_of_another_shape_are_computed_without_the_graph():
    network = Captured(lambda images: images + 1, lambda images: images + 2, torch.Size((4, 3, 8, 8)))
    assert torch.equal(network(torch.zeros(4, 3, 8, 8)), torch.full((4, 3, 8, 8), 2.0))
    assert torch.equal(network(torch.zeros(2, 3, 8, 8)), torch.full((2, 3, 8, 8), 1.0))


def batches(epoch, first):
    """Return two batches of sixteen images and a shorter one."""
    generator = torch.Generator().manual_seed(epoch)
    for size in (16, 16, 9)[first:]:
        images = torch.randn(size, 3, 16, 16, generator=generator)
        yield Batch(images.cuda(), torch.randint(4, (size,), generator=generator).cuda())


def fitted(settings, name="resnet8x4", **options):
    model = models.build(name, classes=4, channels=3, image_size=(16, 16), seed=0, **options).cuda()
    history = training.fit(model, batches, objectives.labels_loss, settings)
    return models.state_to_arrays(model), history


@on_gpu
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"ema": 0.9, "keep": "last"}, {"mixup": 0.4}])
def test_a_captured_training_has_the_bits_of_another(changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    arrays, history = fitted(settings)
    others, other_history = fitted(dataclasses.replace(settings, cuda_graph=False))
    assert history == other_history
    assert all((arrays[name] == others[name]).all() for name in arrays)


@on_gpu
def test_units_drop_out_anew_in_every_replayed_step():
    arrays, history = fitted(SETTINGS, "mlp", width=32, dropout=0.5)
    others, other_history = fitted(SETTINGS, "mlp", width=32, dropout=0.5)
    assert history == other_history
    eager, _ = fitted(dataclasses.replace(SETTINGS, cuda_graph=False), "mlp", width=32, dropout=0.5)
    assert all((arrays[name] == others[name]).all() for name in arrays)
    assert all((arrays[name] == eager[name]).all() for name in arrays)


@on_gpu
def test_a_network_that_waits_for_a_value_is_refused_with_what_to_do():
    class Waiting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(3, 4)

        def forward(self, images):
            means = images.mean(dim=(2, 3))
            return self.head(means if means.sum().item() > 0 else -means)

    with pytest.raises(TrainingError, match="cuda_graph: false trains it without"):
        training.fit(Waiting().cuda(), batches, objectives.labels_loss, SETTINGS)

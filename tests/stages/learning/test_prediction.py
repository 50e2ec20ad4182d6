"""Predictions depend on the images alone, not on how many are looked at together."""

import pytest
import torch

from stages.learning import models, prediction

SCALE = {"mean": [0.5], "std": [0.3]}


@pytest.fixture(scope="module")
def network():
    return models.build("cnn", classes=3, channels=1, image_size=(8, 8), width=8, seed=1)


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (48, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Small(torch.nn.Module):
    """A network on a device whose memory holds so many images."""

    def __init__(self, network, limit):
        super().__init__()
        self.network, self.limit, self.seen = network, limit, []

    def forward(self, images):
        self.seen.append(len(images))
        if len(images) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.network(images)


def test_predict_logits_does_not_depend_on_the_batches(network, images):
    whole = prediction.predict_logits(network, images, **SCALE)
    parts = prediction.predict_logits(network, images, batch_size=7, **SCALE)
    assert torch.allclose(whole, parts, atol=1e-5)
    assert not whole.is_inference()


def test_predict_logits_of_no_image_has_all_outputs(network):
    images = torch.zeros(0, 8, 8, 1, dtype=torch.uint8)
    assert prediction.predict_logits(network, images, **SCALE).shape == (0, 3)


def test_predict_logits_halves_what_does_not_fit_and_says_so(network, images):
    small, told = Small(network, limit=7), []
    found = prediction.predict_logits(small, images, batch_size=32, warn=told.append, **SCALE)
    assert torch.allclose(found, prediction.predict_logits(network, images, **SCALE), atol=1e-5)
    assert small.seen == [32, 16, 8] + 12 * [4]
    assert told == [
        f"{n} images at a time do not fit into the GPU's memory: {n // 2} from here on" for n in (32, 16, 8)
    ]


def test_predict_logits_gives_up_where_no_image_fits(network, images):
    small, told = Small(network, limit=0), []
    with pytest.raises(torch.OutOfMemoryError):
        prediction.predict_logits(small, images, batch_size=4, warn=told.append, **SCALE)
    assert small.seen == [4, 2, 1]


def test_predict_logits_warns_unless_told_whom_to_tell(network, images):
    with pytest.warns(UserWarning, match="32 from here on"):
        prediction.predict_logits(Small(network, limit=40), images, batch_size=64, **SCALE)

"""Views: numbers that belong to an example, pixels that are moved exactly."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.learning import views

IDS = np.arange(1000)


def as_tensors(parameters):
    return {name: torch.from_numpy(values) for name, values in parameters.items()}


def moved(image, dx, dy, flip):
    """Return one image (height, width, channels) mirrored and shifted, pixel by pixel."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                result[y + dy, x + dx] = image[y, width - 1 - x if flip else x]
    return result


def test_draw_stays_within_its_bounds_and_reaches_them():
    parameters = views.draw(IDS, seed=1, view=0, shift=2, flip=True)
    assert {name: values.dtype for name, values in parameters.items()} == dict.fromkeys(("dx", "dy", "flip"), np.int8)
    assert set(parameters["dx"]) == set(parameters["dy"]) == {-2, -1, 0, 1, 2}
    assert 400 < parameters["flip"].sum() < 600
    assert abs(np.corrcoef(parameters["dx"], parameters["dy"])[0, 1]) < 0.1


def test_draw_reaches_the_largest_shift_of_a_byte():
    dx = views.draw(np.arange(20_000), seed=1, view=0, shift=127, flip=False)["dx"]
    assert (dx.min(), dx.max()) == (-127, 127)


def test_draw_without_shift_and_flip_is_the_identity():
    parameters = views.draw(IDS, seed=1, view=0, shift=0, flip=False)
    assert not any(values.any() for values in parameters.values())


@given(ids=st.lists(st.integers(0, 999), max_size=20), seed=st.integers(0, 2**64 - 1), view=st.integers(0, 9))
def test_draw_depends_on_no_other_row(ids, seed, view):
    options = {"seed": seed, "view": view, "shift": 3, "flip": True}
    together, alone = views.draw(IDS, **options), views.draw(np.array(ids, dtype=np.int64), **options)
    assert all(np.array_equal(together[name][ids], alone[name]) for name in together)


def test_draw_differs_between_seeds_and_views():
    drawn = [views.draw(IDS, seed=s, view=v, shift=9, flip=False)["dx"] for s, v in ((1, 0), (1, 1), (2, 0), (0, 1))]
    assert all(not np.array_equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
)
def test_apply_moves_pixels_exactly(seed, height, width, channels):
    images = np.random.default_rng(seed).integers(0, 256, (4, height, width, channels), dtype=np.uint8)
    parameters = views.draw(np.arange(4), seed=seed, view=0, shift=6, flip=True)
    result = views.apply(torch.from_numpy(images), as_tensors(parameters))
    expected = [
        moved(image, dx, dy, flip)
        for image, dx, dy, flip in zip(images, parameters["dx"], parameters["dy"], parameters["flip"], strict=True)
    ]
    assert result.dtype == torch.uint8
    assert np.array_equal(result.numpy(), expected)


def test_apply_gives_the_same_pixels_in_every_order_of_the_batch():
    images = torch.randint(0, 256, (50, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    parameters = as_tensors(views.draw(np.arange(50), seed=3, view=1, shift=2, flip=True))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    whole = views.apply(images, parameters)
    shuffled = views.apply(images[order], {name: values[order] for name, values in parameters.items()})
    assert torch.equal(whole[order], shuffled)


def test_normalise_centres_and_scales_each_channel():
    images = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    result = views.normalise(images, [0.5, 0.5, 0.2], [0.5, 0.25, 1.0])
    assert result.shape == (1, 3, 1, 1)
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [-1.0, 2.0, 0.0]

"""Views: numbers that belong to an example, pixels that are moved exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.learning import views

IDS = np.arange(1000)


EVERYTHING = {"shift": 2, "flip": True, "rotate": 30, "cutout": 3, "padding": "reflect"}


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
    parameters = views.draw(IDS, seed=1, view=0, image_size=(6, 6), shift=2, flip=True)
    assert {name: values.dtype for name, values in parameters.items()} == dict.fromkeys(("dx", "dy", "flip"), np.int8)
    assert set(parameters["dx"]) == set(parameters["dy"]) == {-2, -1, 0, 1, 2}
    assert 400 < parameters["flip"].sum() < 600
    assert abs(np.corrcoef(parameters["dx"], parameters["dy"])[0, 1]) < 0.1


def test_draw_reaches_the_largest_shift_of_a_byte():
    dx = views.draw(np.arange(20_000), seed=1, view=0, image_size=(6, 6), shift=127, flip=False)["dx"]
    assert (dx.min(), dx.max()) == (-127, 127)


def test_draw_without_shift_and_flip_is_the_identity():
    parameters = views.draw(IDS, seed=1, view=0, image_size=(6, 6), shift=0, flip=False)
    assert not any(values.any() for values in parameters.values())


@given(ids=st.lists(st.integers(0, 999), max_size=20), seed=st.integers(0, 2**64 - 1), view=st.integers(0, 9))
def test_draw_depends_on_no_other_row(ids, seed, view):
    options = {"seed": seed, "view": view, "image_size": (6, 9), **EVERYTHING}
    together, alone = views.draw(IDS, **options), views.draw(np.array(ids, dtype=np.int64), **options)
    assert all(np.array_equal(together[name][ids], alone[name]) for name in together)


def test_draw_differs_between_seeds_and_views():
    options = {"image_size": (6, 6), "shift": 9}
    drawn = [views.draw(IDS, seed=s, view=v, **options)["dx"] for s, v in ((1, 0), (1, 1), (2, 0), (0, 1))]
    assert all(not np.array_equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
)
def test_apply_moves_pixels_exactly(seed, height, width, channels):
    images = np.random.default_rng(seed).integers(0, 256, (4, height, width, channels), dtype=np.uint8)
    parameters = views.draw(np.arange(4), seed=seed, view=0, image_size=(6, 6), shift=6, flip=True)
    result = views.apply(torch.from_numpy(images), as_tensors(parameters))
    expected = [
        moved(image, dx, dy, flip)
        for image, dx, dy, flip in zip(images, parameters["dx"], parameters["dy"], parameters["flip"], strict=True)
    ]
    assert result.dtype == torch.uint8
    assert np.array_equal(result.numpy(), expected)


def test_apply_gives_the_same_pixels_in_every_order_of_the_batch():
    images = torch.randint(0, 256, (50, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    parameters = as_tensors(views.draw(np.arange(50), seed=3, view=1, image_size=(6, 6), **EVERYTHING))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    whole = views.apply(images, parameters)
    shuffled = views.apply(images[order], {name: values[order] for name, values in parameters.items()})
    assert torch.equal(whole[order], shuffled)


def one(**parameters):
    """Return the parameters of one image."""
    given = {"dx": 0, "dy": 0, "flip": 0} | parameters
    kinds = {"angle": torch.int16, "cut_top": torch.int16, "cut_left": torch.int16, "cut_size": torch.int16}
    return {name: torch.tensor([value], dtype=kinds.get(name, torch.int8)) for name, value in given.items()}


def smooth(height=33, width=32, channels=3):
    """Return one image without sharp edges."""
    noise = torch.rand(1, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1)
    return (image * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def test_draw_rotates_and_cuts_within_bounds_and_reaches_them():
    drawn = views.draw(np.arange(20_000), seed=1, view=0, image_size=(6, 9), rotate=2, cutout=4)
    assert set(drawn["angle"]) == set(range(-200, 201))
    assert set(drawn["cut_top"]) == set(range(-2, 4))
    assert set(drawn["cut_left"]) == set(range(-2, 7))
    assert set(drawn["cut_size"]) == {4}
    largest = views.draw(np.arange(200_000), seed=1, view=0, image_size=(6, 9), rotate=180)["angle"]
    assert (largest.min(), largest.max()) == (-18_000, 18_000)
    assert abs(np.corrcoef(drawn["dx"] + drawn["cut_top"], drawn["angle"])[0, 1]) < 0.05


def test_what_more_is_drawn_changes_nothing_of_the_rest():
    plain = views.draw(IDS, seed=1, view=3, image_size=(8, 8), shift=2, flip=True)
    more = views.draw(IDS, seed=1, view=3, image_size=(8, 8), **EVERYTHING)
    assert all(np.array_equal(plain[name], more[name]) for name in plain)


@pytest.mark.parametrize("shift", [-2, 0, 3])
def test_reflected_padding_is_that_of_numpy(shift):
    image = np.arange(5 * 7 * 2, dtype=np.uint8).reshape(5, 7, 2)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    expected = padded[4 - shift : 9 - shift, 4 + shift : 11 + shift]
    found = views.apply(torch.from_numpy(image[None]), one(dy=shift, dx=-shift, reflect=1))
    assert np.array_equal(found[0].numpy(), expected)


def test_reflection_of_a_line_is_the_line():
    image = torch.tensor([[[[1], [2], [3]]]], dtype=torch.uint8)
    found = views.apply(image, one(dy=1, reflect=1))
    assert found.flatten().tolist() == [1, 2, 3]


def test_cut_is_black_and_the_rest_is_as_before():
    image = smooth() | 1
    found = views.apply(image, one(cut_top=-2, cut_left=30, cut_size=8))
    expected = image.clone()
    expected[:, :6, 30:] = 0
    assert torch.equal(found, expected)
    assert torch.equal(views.apply(image, one(cut_top=40, cut_left=0, cut_size=8)), image)


@pytest.mark.parametrize("angle", [0, 500, -1500, 4500, 9000, 18000])
def test_rotation_is_that_of_pillow_but_for_the_border(angle):
    image = smooth()
    found = views.apply(image, one(angle=angle))
    expected = np.asarray(Image.fromarray(image[0].numpy()).rotate(angle / 100, Image.Resampling.BILINEAR))
    difference = np.abs(found[0].numpy().astype(int) - expected)[6:-6, 6:-6]
    assert difference.max() <= 1


@pytest.mark.parametrize("reflect", [{}, {"reflect": 1}])
@pytest.mark.parametrize("size", [(6, 6), (5, 7), (1, 4)])
def test_rotation_by_nothing_is_the_other_way_of_shifting(size, reflect):
    image = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    shift = {"dx": 2, "dy": -1, "flip": 1, **reflect}
    assert torch.equal(views.apply(image, one(angle=0, **shift)), views.apply(image, one(**shift)))


def test_rotation_by_a_quarter_turns_a_square_exactly():
    image = torch.randint(0, 256, (1, 6, 6, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(views.apply(image, one(angle=9000)), image.rot90(1, dims=(1, 2)))


def test_rotated_corners_are_black_or_reflected():
    image = torch.full((1, 9, 9, 1), 200, dtype=torch.uint8)
    assert views.apply(image, one(angle=4500))[0, 0, 0, 0] == 0
    assert (views.apply(image, one(angle=4500, reflect=1)) == 200).all()


def test_no_angle_is_near_a_tie_that_devices_could_round_apart():
    radians = torch.deg2rad(torch.arange(-18_000, 18_001).double() / 100)
    for function in (torch.cos, torch.sin):
        scaled = function(radians) * 2**14
        assert (scaled - scaled.floor() - 0.5).abs().min() > 1e-6


def test_normalise_leaves_what_it_is_given():
    images = torch.full((2, 3, 4, 2), 51.0)
    result = views.normalise(images, [0.2, 0.0], [1.0, 0.5])
    assert (images == 51.0).all()
    assert result.shape == (2, 2, 3, 4)
    assert result.amin(dim=(0, 2, 3)).tolist() == pytest.approx([0.0, 0.4])


def test_normalise_centres_and_scales_each_channel():
    images = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    result = views.normalise(images, [0.5, 0.5, 0.2], [0.5, 0.25, 1.0])
    assert result.shape == (1, 3, 1, 1)
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [-1.0, 2.0, 0.0]


def test_what_is_shown_again_is_drawn_anew():
    options = {"seed": 1, "view": 3, "image_size": (6, 9), **EVERYTHING}
    first, second, third = (views.draw(IDS, n=n, **options) for n in range(3))
    assert all(np.array_equal(first[name], views.draw(IDS, **options)[name]) for name in first)
    for name in ("dx", "dy", "angle", "cut_top"):
        same = [np.mean(a[name] == b[name]) for a, b in ((first, second), (first, third), (second, third))]
        assert max(same) < 0.3, name

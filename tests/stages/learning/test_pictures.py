"""Pictures of all sizes and modes become the pixels a network takes, or are refused."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.learning import pictures
from stages.learning.errors import LearningError

GREY = np.arange(60, dtype=np.uint8).reshape(6, 10) * 4


def test_read_turns_a_picture_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    assert pictures.read(tmp_path / "turned.png", "turned.png").size == (6, 10)


def test_read_header_has_the_size_that_is_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    assert pictures.read_header(tmp_path / "turned.png", "turned.png") == (True, 10, 6)


def test_read_decodes_a_large_jpeg_at_a_part_of_its_size(tmp_path):
    stripes = np.zeros((512, 640), dtype=np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(tmp_path / "large.jpg", quality=100)
    picture = pictures.read(tmp_path / "large.jpg", "large.jpg", (32, 32))
    assert picture.size == (80, 64)
    assert np.abs(pictures.pixels(picture, (32, 32), 1).astype(int) - 127).max() < 3
    assert pictures.read(tmp_path / "large.jpg", "large.jpg").size == (640, 512)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_read_refuses_by_name_what_is_no_picture(content):
    with pytest.raises(LearningError, match=r"^it\.png must be a picture in a format that Pillow reads"):
        pictures.read(io.BytesIO(content), "it.png")


def test_read_refuses_by_name_what_is_cut_short(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    with pytest.raises(LearningError, match=r"^cut\.png must be a picture that can be read; got "):
        pictures.read(io.BytesIO(data[: len(data) // 2]), "cut.png")
    with pytest.raises(LearningError, match=r"^gone\.png must be a picture that can be read; got .*No such file"):
        pictures.read(tmp_path / "gone.png", "gone.png")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", pictures.TAKEN)
def test_pixels_takes_every_common_mode(mode, channels):
    found = pictures.pixels(Image.new(mode, (7, 5)), (4, 6), channels)
    assert (found.dtype, found.shape) == (np.uint8, (4, 6, channels))


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "LAB"])
def test_pixels_refuses_other_modes(mode):
    with pytest.raises(LearningError, match=f"the mode of a picture must be one of 1, L, .*; got {mode}$"):
        pictures.pixels(Image.new(mode, (7, 5)), (5, 7), 1)


def test_pixels_leaves_what_fits_as_it_is():
    assert np.array_equal(pictures.pixels(Image.fromarray(GREY), (6, 10), 1)[:, :, 0], GREY)


def test_pixels_cuts_out_the_middle_and_keeps_proportions():
    wide = np.zeros((4, 12), dtype=np.uint8)
    wide[:, 4:8] = 200
    assert pictures.pixels(Image.fromarray(wide), (4, 4), 1).min() == 200


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 255))
def test_pixels_of_one_shade_stay_of_that_shade(height, width, shade):
    found = pictures.pixels(Image.new("L", (width, height), shade), (5, 3), 1)
    assert found.shape == (5, 3, 1)
    assert (found == shade).all()


def test_array_pixels_is_what_pixels_makes_of_the_picture():
    colour = np.random.default_rng(0).integers(0, 255, (6, 10, 3), dtype=np.uint8)
    for array in (GREY, colour):
        for channels in (1, 3):
            expected = pictures.pixels(Image.fromarray(array), (5, 5), channels)
            assert np.array_equal(pictures.array_pixels(array, (5, 5), channels), expected)
    assert np.array_equal(pictures.array_pixels(GREY[:, :, None], (6, 10), 1)[:, :, 0], GREY)


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (GREY.astype(float), r"float64 \(6, 10\)"),
        (GREY.ravel(), r"uint8 \(60,\)"),
        (GREY.reshape(6, 5, 2), r"uint8 \(6, 5, 2\)"),
        (GREY[:0], r"the shape \(0, 10\)"),
    ],
)
def test_array_pixels_refuses_what_is_no_image(array, got):
    with pytest.raises(LearningError, match=f"an image must .*; got {got}$"):
        pictures.array_pixels(array, (5, 5), 1)

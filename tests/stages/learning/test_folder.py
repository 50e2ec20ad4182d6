"""Folders of images: every layout, mode and size that is taken, and every fault by name."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from stages.learning import pictures, sources
from stages.learning.errors import LearningError
from stages.learning.origins import Options, decode

HALVES = {"train": 3, "test": 2}


def picture(path, mode="RGB", size=(6, 4), value=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * len(mode) if mode in {"RGB", "LA", "RGBA"} else value).save(path, **options)


def write(base, classes=("cat", "dog"), halves=HALVES, **options):
    """Write images of distinct values and return the source."""
    value = 0
    for half, n in halves.items():
        for label in classes:
            for i in range(n):
                value += 5
                picture(base / half / label / f"{i}.png", value=value, **options)
    return f"folder:{base}"


def faults_of(source, options=sources.DEFAULT, half="train"):
    with pytest.raises(LearningError) as caught:
        sources.load(source, ".", half, options=options)
    first, *faults = str(caught.value).split("\n  ")
    assert first == f"{source} must be a data set of images and labels:"
    return faults


def test_two_halves_are_read_in_the_order_of_names(tmp_path):
    source = write(tmp_path)
    train, test = (sources.load(source, ".", half) for half in HALVES)
    assert train.images.shape == (6, 4, 6, 3)
    assert train.images[:, 0, 0, 0].tolist() == [5, 10, 15, 20, 25, 30]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.images[:, 3, 5, 2].tolist() == [35, 40, 45, 50]
    assert train.class_names == test.class_names == ("cat", "dog")
    assert sources.identify(source, ".").classes == 2


def test_every_picture_that_predict_takes_is_read(tmp_path):
    for number, ending in enumerate(pictures.ENDINGS):
        picture(tmp_path / "train" / "cat" / f"{number}{ending.upper()}", value=90)
        picture(tmp_path / "train" / "dog" / f"{number}{ending}", value=90)
    picture(tmp_path / "test" / "cat" / "0.png")
    train = sources.load(f"folder:{tmp_path}", ".", "train")
    assert train.images.shape == (2 * len(pictures.ENDINGS), 4, 6, 3)
    assert np.abs(train.images.astype(int) - 90).max() <= 2  # JPEG and WebP lose a little


def test_one_tree_is_divided_by_name(tmp_path):
    source = write(tmp_path, halves={"": 20})
    options = Options(test=0.2)
    train, test = (sources.load(source, ".", half, options=options) for half in HALVES)
    assert np.bincount(train.labels).tolist() == [16, 16]
    assert np.bincount(test.labels).tolist() == [4, 4]
    seen = {*train.images[:, 0, 0, 0].tolist()}, {*test.images[:, 0, 0, 0].tolist()}
    assert not seen[0] & seen[1]
    picture(tmp_path / "cat" / "new.png", value=255)
    again = sources.load(source, ".", "test", options=options)
    assert len({*again.images[:, 0, 0, 0].tolist()} ^ seen[1]) <= 1


@pytest.mark.parametrize(
    ("modes", "channels"), [(["L", "1", "LA"], 1), (["L", "RGB"], 3), (["P", "RGBA", "CMYK"], 3), (["L", "L"], 1)]
)
def test_modes_become_grey_where_all_are_and_colour_otherwise(tmp_path, modes, channels):
    source = write(tmp_path)
    shutil.rmtree(tmp_path / "train" / "cat")
    for half in HALVES:
        for i in range(3):
            picture(tmp_path / half / "cat" / f"{i}.png", mode="L")
            picture(tmp_path / half / "dog" / f"{i}.png", mode="L")
    for i, mode in enumerate(modes):
        picture(tmp_path / "test" / "dog" / f"mode-{i}.{'jpg' if mode == 'CMYK' else 'png'}", mode=mode, value=1)
    assert sources.load(source, ".", "train").images.shape == (6, 4, 6, channels)
    assert sources.load(source, ".", "test").images.shape == (6 + len(modes), 4, 6, channels)


def test_size_takes_the_centre_and_resizes_it(tmp_path):
    source = write(tmp_path)
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 7:17] = 200
    Image.fromarray(wide).save(tmp_path / "train" / "cat" / "0.png")
    images = sources.load(source, ".", "train", options=Options(size=4)).images
    assert images.shape == (6, 4, 4, 3)
    assert np.abs(images[0].astype(int) - 200).max() < 10  # the filter reaches beyond the square


def test_stamp_lists_the_files_and_the_digest_reads_them(tmp_path):
    source = write(tmp_path)
    first = sources.identify(source, ".")
    assert first.stamp == sources.stamp(source, ".")
    (tmp_path / "train" / "cat" / ".hidden").write_text("")
    (tmp_path / "LICENSE.txt").write_text("")
    assert sources.stamp(source, ".") == first.stamp
    os.utime(tmp_path / "train" / "cat" / "0.png", ns=(1, 1))
    touched = sources.identify(source, ".")
    assert touched.stamp != first.stamp
    assert touched.digest == first.digest
    (tmp_path / "train" / "cat" / "0.png").rename(tmp_path / "train" / "dog" / "moved.png")
    assert sources.identify(source, ".").digest != first.digest


def test_links_and_deeper_folders_are_followed(tmp_path):
    source = write(tmp_path / "set")
    picture(tmp_path / "elsewhere" / "deep" / "9.png", value=200)
    (tmp_path / "set" / "train" / "owl").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "8.png").symlink_to("deep/9.png")
    assert sources.load(source, ".", "train").class_names == ("cat", "dog", "owl")


def test_faults_of_the_listing_are_told_all_at_once(tmp_path):
    source = write(tmp_path)
    train = tmp_path / "train"
    (train / "cat" / "loop").symlink_to(train)
    (train / "cat" / "gone.png").symlink_to(tmp_path / "nowhere")
    (train / "cat" / "notes.txt").write_text("")
    os.mkfifo(train / "dog" / "pipe.png")
    (train / "empty" / ".git").mkdir(parents=True)
    picture(train / "stray.png")
    (train / os.fsdecode(b"\xff")).mkdir()
    expected = [
        "train/cat/gone.png must be a file that is there; got: No such file or directory",
        "train/cat/loop must not lead back to a folder that it lies in",
        "train/dog/pipe.png must be a file; got a pipe, a socket or a device",
        "train/empty must hold an image; got none that is not hidden",
        "train/stray.png must lie in the folder of its class",
        "train/\N{REPLACEMENT CHARACTER} must have a name in UTF-8",
    ]
    faults = faults_of(source)
    assert set(expected) <= set(faults)
    assert any(fault.startswith("train/cat/notes.txt must be an image (.jpg, ") for fault in faults)


def test_faults_of_the_listing_and_of_the_files_of_both_halves_are_told_at_once(tmp_path):
    source = write(tmp_path, size=(40, 40))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    cut = tmp_path / "test" / "dog" / "cut.png"
    noise.save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    (tmp_path / "train" / "cat" / "text.png").write_text("no image")
    picture(tmp_path / "train" / "dog" / "large.png", size=(9, 9))
    of_files = [
        "images must have one height and width, or data.size the one that they are brought to; got 40 x 40 (10), 9 x 9",
        "train/cat/text.png must be a picture in a format that Pillow reads; got something else",
        "test/dog/cut.png must be a picture that can be read; got ",
    ]
    for half in HALVES:
        assert [
            fault[: len(known)] for fault, known in zip(faults_of(source, half=half), of_files, strict=True)
        ] == of_files
    (tmp_path / "train" / "empty").mkdir()
    picture(tmp_path / "train" / "owl" / "0.png", size=(40, 40))
    of_names = [
        "train/empty must hold an image; got none that is not hidden",
        "class owl must have 2 images or more, for one is held out; got 1",
    ]
    faults = faults_of(source)
    assert faults[:2] == of_names
    assert [fault.partition(" must ")[0] for fault in faults[2:]] == [f.partition(" must ")[0] for f in of_files]


def test_folders_that_cannot_be_read_are_named(tmp_path):
    source = write(tmp_path)
    secret = tmp_path / "train" / "secret"
    secret.mkdir(mode=0)
    if os.access(secret, os.R_OK):
        pytest.skip("root reads every folder")
    assert "train/secret must be a folder that can be read; got: Permission denied" in faults_of(source)


@pytest.mark.parametrize(
    ("halves", "options", "expected"),
    [
        (HALVES, Options(test=0.5), "data.test must be null where there are folders train and test; got 0.5"),
        ({"": 3}, Options(), "train and test must be folders, or data.test the share .*; got neither"),
        ({"train": 3, "val": 3}, Options(), "test must be a folder beside train; got none; did you mean 'val'"),
        ({"trian": 3, "test": 3}, Options(), "train must be a folder beside test; got none; did you mean 'trian'"),
        ({"train": 1, "test": 1}, Options(), "class cat must have 2 images or more, for one is held out; got 1"),
        ({"": 2}, Options(test=0.1), "class dog must have 3 images or more, for one is held out, and one tested; g"),
    ],
)
def test_layouts_that_cannot_be_divided_are_refused(tmp_path, halves, options, expected):
    source = write(tmp_path, halves=halves)
    with pytest.raises(LearningError, match=expected):
        sources.stamp(source, ".", options=options)


def test_half_that_is_named_by_no_name_has_no_parent_to_suggest(tmp_path):
    write(tmp_path)
    with pytest.raises(LearningError, match=r"got neither$"):
        sources.stamp("folder:.", tmp_path / "train")


def test_whole_set_is_suggested_in_place_of_its_half(tmp_path):
    write(tmp_path)
    with pytest.raises(LearningError, match=rf"got neither; did you mean 'folder:{tmp_path}'\?$"):
        sources.stamp(f"folder:{tmp_path / 'train'}", ".")


def test_classes_of_the_test_half_alone_are_refused(tmp_path):
    source = write(tmp_path)
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "dogs")
    assert faults_of(source) == ["test/dogs must be a class of train; got none there; did you mean 'dog'?"]


def test_files_that_are_no_images_are_listed_with_the_count_of_the_rest(tmp_path):
    source = write(tmp_path, halves={"train": 15, "test": 1}, size=(40, 40))
    whole = (tmp_path / "train" / "cat" / "0.png").read_bytes()
    for path in (tmp_path / "train").rglob("*.png"):
        path.write_bytes(whole[:60] if path.name == "0.png" else b"no image")
    faults = faults_of(source)
    assert len(faults) == 21
    assert faults[-1] == "and 10 more faults"
    assert faults[1].startswith("train/cat/1.png must be a picture in a format that Pillow reads; got something")


def test_a_folder_without_any_image_that_can_be_read_is_refused(tmp_path):
    source = write(tmp_path, halves={"train": 2, "test": 1})
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no image")
    assert len(faults_of(source)) == 6


def test_pixels_that_are_cut_off_are_found_though_the_header_is_whole(tmp_path):
    source = write(tmp_path, size=(40, 40))
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / "train" / "cat" / "0.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    (fault,) = faults_of(source)
    assert fault.startswith("train/cat/0.png must be a picture that can be read; got ")


def test_sixteen_bits_a_channel_are_refused(tmp_path):
    source = write(tmp_path)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "test" / "cat" / "deep.png")
    assert faults_of(source) == [
        "test/cat/deep.png must be of a mode in 1, L, LA, P, RGB, RGBA, RGBX, CMYK, YCbCr; got I;16"
    ]


def test_sizes_that_differ_are_counted(tmp_path):
    source = write(tmp_path)
    for i in range(7):
        picture(tmp_path / "train" / "dog" / f"large-{i}.png", size=(10 + i, 4))
    (fault,) = faults_of(source)
    assert fault.startswith("images must have one height and width, or data.size the one that they are brought to; got")
    assert fault.endswith("got 4 x 6 (10), 4 x 10 (1), 4 x 11 (1), 4 x 12 (1), 4 x 13 (1) and 3 more")


def test_in_threads_keeps_the_order_and_runs_few_ahead():
    started = []

    def double(i):
        started.append(i)
        return 2 * i

    made = decode.in_threads(double, range(100), n_threads=2, ahead=3)
    assert [next(made) for _ in range(10)] == list(range(0, 20, 2))
    assert len(started) <= 10 + 6
    assert list(made) == list(range(20, 200, 2))


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "set.zip").touch()
    with pytest.raises(LearningError, match=r"^folder:set.zip must be a folder; got a file at .*set.zip$"):
        sources.stamp("folder:set.zip", tmp_path)
    with pytest.raises(
        LearningError, match=r"^npz:\. must be a file, an archive that numpy.savez wrote; got a folder at"
    ):
        sources.stamp("npz:.", tmp_path)


def test_a_place_that_cannot_be_looked_into_is_told(tmp_path):
    long = "x" * 300  # stands for what only some users may not read: the system refuses to look it up
    for kind in ("folder", "npz"):
        with pytest.raises(LearningError, match=rf"^{kind}:x+ must be readable; got File name too long at "):
            sources.stamp(f"{kind}:{long}", tmp_path)

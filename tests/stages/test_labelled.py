"""Another labelled set, brought to what a network takes."""

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ConfigError
from stages.labelled import Wanted, load
from stages.learning import pictures

WANTED = Wanted(("cat", "dog", "owl"), (6, 6), 1)
RNG = np.random.default_rng(0)


def write(folder, names=("owl", "cat"), shape=(6, 6)):
    images = RNG.integers(0, 255, (8, *shape), dtype=np.uint8)
    arrays = {
        "x_train": images[:5],
        "y_train": np.array([0, 1, 0, 1, 1]),
        "x_test": images[5:],
        "y_test": np.array([1, 0, 1]),
    }
    np.savez(folder / "other.npz", **arrays, class_names=np.array(names))
    return images


def write_folder(folder):
    for name, n in (("owl", 1), ("cat", 3)):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (9, 7), (i, 200, 0)).save(folder / name / f"{i}.png")


def test_classes_are_matched_by_name(tmp_path):
    images = write(tmp_path)
    found = load("npz:other.npz", tmp_path, None, WANTED)
    assert found.artifact.arrays["labels"].tolist() == [0, 2, 0]
    assert found.artifact.arrays["labels"].dtype == np.int64
    assert np.array_equal(found.artifact.arrays["images"][..., 0], images[5:])
    assert found.artifact.facts == {"class_names": ["cat", "dog", "owl"], "test": 3}


@pytest.mark.parametrize(("part", "labels"), [("train", [2, 0, 2, 0, 0]), ("all", [2, 0, 2, 0, 0, 0, 2, 0])])
def test_other_parts_may_be_taken(tmp_path, part, labels):
    write(tmp_path)
    assert load("npz:other.npz", tmp_path, part, WANTED).artifact.arrays["labels"].tolist() == labels


def test_images_are_scaled_and_converted(tmp_path):
    images = write(tmp_path, shape=(12, 10, 3))
    found = load("npz:other.npz", tmp_path, None, WANTED)
    assert np.array_equal(found.artifact.arrays["images"][1], pictures.array_pixels(images[6], (6, 6), 1))
    assert found.sizes == [(12, 10)] * 3


def test_folder_without_halves_is_taken_whole(tmp_path):
    write_folder(tmp_path / "photos")
    Image.new("L", (9, 7)).save(tmp_path / "photos" / "owl" / "moving.GIF")
    found = load("folder:photos", tmp_path, None, WANTED)
    assert sorted(found.artifact.arrays["labels"].tolist()) == [0, 0, 0, 2, 2]
    assert found.artifact.arrays["images"].shape == (5, 6, 6, 1)
    (tmp_path / "photos" / "cat" / "broken.png").write_text("no image")
    with pytest.raises(ConfigError, match=r"--data: folder:photos must be .*\n  cat/broken.png must be a picture"):
        load("folder:photos", tmp_path, "all", WANTED)
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(ConfigError, match="--data: folder:empty must hold a folder of images for each class"):
        load("folder:empty", tmp_path, None, WANTED)
    with pytest.raises(ConfigError, match="--split: must be all for a folder without train and test; got test"):
        load("folder:photos", tmp_path, "test", WANTED)


def test_what_is_not_measured_of_a_folder_is_told(tmp_path):
    for half in ("train", "test"):
        write_folder(tmp_path / "photos" / half)
        (tmp_path / "photos" / half / "dog").mkdir()
    Image.new("L", (6, 6)).save(tmp_path / "photos/test/cat/3.png")
    for name in ("classless.png", "cat/notes.txt", "cat/.hidden.txt", "train/cat/other.txt"):
        (tmp_path / "photos" / ("" if "train" in name else "test") / name).write_text("no image")
    found = load("folder:photos", tmp_path, None, WANTED)
    assert sorted(found.artifact.arrays["labels"].tolist()) == [0, 0, 0, 0, 2]
    assert sorted(found.sizes) == [(6, 6), *[(7, 9)] * 4]
    assert (found.lacking, found.left_out) == (["dog"], ["test/cat/notes.txt", "test/classless.png"])
    everything = load("folder:photos", tmp_path, "all", WANTED)
    assert len(everything.artifact.arrays["labels"]) == 9
    assert everything.left_out == ["train/cat/other.txt", *found.left_out]


@pytest.mark.parametrize("half", ["train", "test"])
def test_folder_with_a_half_beside_classes_is_refused(tmp_path, half):
    write_folder(tmp_path / "photos")
    (tmp_path / "photos" / half).mkdir()
    for part in (None, half, "all"):
        with pytest.raises(ConfigError, match=rf"^--data: folder:photos must have .*; got {half}/ beside cat, "):
            load("folder:photos", tmp_path, part, WANTED)


def test_folder_may_have_the_asked_for_half_alone(tmp_path):
    write_folder(tmp_path / "photos" / "test")
    expected = load("folder:photos/test", tmp_path, None, WANTED).artifact.arrays
    for part in (None, "test", "all"):
        found = load("folder:photos", tmp_path, part, WANTED).artifact.arrays
        assert found["labels"].tolist() == expected["labels"].tolist()
        assert np.array_equal(found["images"], expected["images"])
    rule = "must be test or all for folder:photos, which has test/ alone; got train"
    with pytest.raises(ConfigError, match=f"^--split: {rule}$"):
        load("folder:photos", tmp_path, "train", WANTED)
    (tmp_path / "photos" / "test").rename(tmp_path / "photos" / "train")
    assert len(load("folder:photos", tmp_path, "train", WANTED).artifact.arrays["labels"]) == len(expected["labels"])
    rule = "must be train or all for folder:photos, which has train/ alone; got nothing, which means test"
    with pytest.raises(ConfigError, match=f"^--split: {rule}$"):
        load("folder:photos", tmp_path, None, WANTED)


def test_strange_classes_are_refused_by_name(tmp_path):
    write(tmp_path, names=("owls", "cat"))
    with pytest.raises(
        ConfigError, match=r"--data: classes of npz:other.npz must be among .* got 'owls'; did you mean 'owl'\?"
    ):
        load("npz:other.npz", tmp_path, None, WANTED)


def test_numbers_are_refused_as_names_of_classes_with_what_to_do(tmp_path):
    images = RNG.integers(0, 255, (3, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "other.npz", x_test=images, y_test=np.array([1, 1, 0]))
    with pytest.raises(ConfigError) as caught:
        load("npz:other.npz", tmp_path, None, WANTED)
    known = ", ".join(WANTED.class_names)
    assert str(caught.value) == (
        f"--data: classes of npz:other.npz must be among those of the run ({known}); got '0', '1'; name the classes in"
        " its class_names, in the order of their numbers"
    )


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"--data: npz:nowhere\.npz must be a file"):
        load("npz:nowhere.npz", tmp_path, None, WANTED)
    images = write(tmp_path)
    ok = {"x_train": images, "y_train": np.zeros(8, int), "x_test": images, "y_test": np.zeros(8, int)}
    np.savez(tmp_path / "other.npz", **ok | {"y_test": np.zeros(3, int)})
    with pytest.raises(
        ConfigError, match=r"--data: npz:other.npz .*\n  y_test must hold one label for each of the 8 images; got 3"
    ):
        load("npz:other.npz", tmp_path, None, WANTED)
    np.savez(tmp_path / "other.npz", **ok | {"x_test": images / 255})
    with pytest.raises(ConfigError, match="  x_test must be uint8; got float64"):
        load("npz:other.npz", tmp_path, None, WANTED)


def test_half_that_is_not_asked_for_may_be_absent_or_wrong(tmp_path):
    images = RNG.integers(0, 255, (3, 6, 6), dtype=np.uint8)
    arrays = {"x_test": images, "y_test": np.array([1, 1, 0]), "class_names": np.array(["owl", "cat"])}
    np.savez(tmp_path / "half.npz", **arrays)
    assert load("npz:half.npz", tmp_path, None, WANTED).artifact.arrays["labels"].tolist() == [0, 0, 2]
    for part in ("train", "all"):
        with pytest.raises(ConfigError, match=r"\n  x_train must be there; got .*\n  y_train must be there; got .*$"):
            load("npz:half.npz", tmp_path, part, WANTED)
    np.savez(tmp_path / "half.npz", **arrays, x_train=images / 255, y_train=np.zeros(9))
    assert len(load("npz:half.npz", tmp_path, "test", WANTED).artifact.arrays["labels"]) == 3


@pytest.mark.parametrize("half", ["train", "test"])
def test_faults_of_the_arrays_are_listed(tmp_path, half):
    arrays = {
        f"x_{half}": np.zeros((0, 6, 6), np.uint8),
        f"y_{half}": np.array([-1, 0, 2]),
        "class_names": np.array(["owl", "cat"]),
    }
    np.savez(tmp_path / "half.npz", **arrays)
    with pytest.raises(ConfigError) as raised:
        load("npz:half.npz", tmp_path, half, WANTED)
    assert str(raised.value).splitlines()[1:] == [
        f"  x_{half} must hold at least one example; got the shape (0, 6, 6)",
        f"  y_{half} must hold one label for each of the 0 images; got 3",
        f"  y_{half} must be from 0 to 1; got -1, 2",
    ]


def test_function_may_return_the_asked_for_half_alone(tmp_path, monkeypatch):
    lines = [
        "import numpy as np",
        "def make():",
        "    return {'x_test': np.ones((2, 6, 6), np.uint8), 'y_test': [0, 1]}",
    ]
    (tmp_path / "halves_of_a_function.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    wanted = Wanted(("0", "1"), (6, 6), 1)
    source = "python:halves_of_a_function:make"
    assert load(source, tmp_path, None, wanted).artifact.arrays["labels"].tolist() == [0, 1]
    with pytest.raises(ConfigError, match="  x_train must be there"):
        load(source, tmp_path, "train", wanted)

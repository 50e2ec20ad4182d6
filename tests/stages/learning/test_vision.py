"""Torchvision's sets, in small files of their layouts."""

import bz2
import hashlib
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from torchvision import datasets

from stages.learning import sources
from stages.learning.errors import LearningError
from stages.learning.origins import vision
from stages.learning.source_names import VISION_SETS


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def write_mnist(root, name, first_label=0, classes=10):
    """Write a set in the layout of MNIST, 20 and 10 images, and return the images of its first half."""
    rng = np.random.default_rng(0)
    images_train, labels_train, images_test, labels_test = (root / file for file in VISION_SETS[name].files)
    images = rng.integers(0, 256, (2 * classes, 28, 28))
    write_idx(images_train, images)
    write_idx(labels_train, np.arange(2 * classes) % classes + first_label)
    write_idx(images_test, rng.integers(0, 256, (classes, 28, 28)))
    write_idx(labels_test, np.arange(classes) + first_label)
    return images


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_sets_like_mnist_are_read_with_their_class_names(tmp_path, name):
    images = write_mnist(tmp_path, name)
    train = sources.load(f"torchvision:{name}", tmp_path, "train")
    assert np.array_equal(train.images[..., 0], images)
    assert train.labels.tolist() == list(range(10)) * 2
    assert train.class_names == tuple(getattr(datasets, name).classes)
    assert sources.load(f"torchvision:{name}", tmp_path, "test").images.shape == (10, 28, 28, 1)


def test_emnist_is_turned_upright_and_its_letters_count_from_zero(tmp_path):
    images = write_mnist(tmp_path, "EMNIST:letters", first_label=1, classes=26)
    train = sources.load("torchvision:EMNIST:letters", tmp_path, "train")
    assert np.array_equal(train.images[..., 0], images.transpose(0, 2, 1))
    assert train.class_names == tuple("abcdefghijklmnopqrstuvwxyz")
    assert set(train.labels) == set(range(26))


def test_identify_reads_contents_and_the_stamp_sizes_and_times(tmp_path):
    write_mnist(tmp_path, "MNIST")
    first = sources.identify("torchvision:MNIST", tmp_path)
    assert first.classes == 10
    assert first.stamp == sources.stamp("torchvision:MNIST", tmp_path)
    labels = tmp_path / VISION_SETS["MNIST"].files[3]
    write_idx(labels, np.arange(10)[::-1])
    second = sources.identify("torchvision:MNIST", tmp_path)
    assert second.digest != first.digest
    assert second.stamp != first.stamp


def test_missing_files_are_named_with_how_to_get_them(tmp_path):
    write_mnist(tmp_path, "MNIST")
    (tmp_path / VISION_SETS["MNIST"].files[2]).unlink()
    with pytest.raises(LearningError, match=r"got no MNIST/raw/t10k-images-idx3-ubyte; set data.download to true, or"):
        sources.identify("torchvision:MNIST", tmp_path)
    with pytest.raises(LearningError, match=r"cifar-10-batches-py/data_batch_5 and 2 more; set data.download"):
        sources.identify("torchvision:CIFAR10", tmp_path)


@pytest.mark.parametrize("content", [b"\0\0\x08\x03 none", b"<html></html>", b"\0" * 64])
def test_damaged_files_are_refused(tmp_path, content):
    write_mnist(tmp_path, "MNIST")
    (tmp_path / VISION_SETS["MNIST"].files[0]).write_bytes(content)
    with pytest.raises(LearningError, match="torchvision:MNIST must have whole files under"):
        sources.load("torchvision:MNIST", tmp_path, "train")


def pickled(folder, name, content):
    data = pickle.dumps(content, protocol=2)
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return [name, hashlib.md5(data).hexdigest()]


def small_cifar100(root):
    """Write a small CIFAR-100 and return a library whose class knows the checksums of its files."""
    folder = root / "cifar-100-python"
    rows = np.arange(200 * 3072).reshape(200, 3072).astype(np.uint8)
    entry = {"data": rows, "fine_labels": list(range(100)) * 2}
    lists = {
        "train_list": [pickled(folder, "train", entry)],
        "test_list": [pickled(folder, "test", {"data": rows[:2], "fine_labels": [7, 0]})],
    }
    name, md5 = pickled(folder, "meta", {"fine_label_names": [f"thing {i}" for i in range(100)]})
    meta = datasets.CIFAR100.meta | {"filename": name, "md5": md5}
    return SimpleNamespace(CIFAR100=type("CIFAR100", (datasets.CIFAR100,), lists | {"meta": meta})), rows


def test_cifar_is_read_with_its_channels_last(tmp_path):
    library, rows = small_cifar100(tmp_path)
    raw = vision.read(library, "CIFAR100", tmp_path, ["train", "test"])
    assert raw["x_train"].shape == (200, 32, 32, 3)
    assert np.array_equal(raw["x_train"][3].transpose(2, 0, 1).ravel(), rows[3])
    assert raw["y_test"].tolist() == [7, 0]
    assert raw["class_names"][99] == "thing 99"


def test_cifar_of_other_files_than_torchvision_knows_is_refused(tmp_path):
    small_cifar100(tmp_path)
    with pytest.raises(
        LearningError, match=r"torchvision:CIFAR100 must have whole files under .*; got: [^.]*corrupted$"
    ):
        sources.load("torchvision:CIFAR100", tmp_path, "train")


@pytest.mark.parametrize("name", ["SVHN", "STL10"])
def test_sets_with_channels_first_and_halves_by_name_are_turned(tmp_path, name):
    def make(root, split, download):
        assert (root, download) == (str(tmp_path), False)
        images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
        return SimpleNamespace(data=images, labels=np.array([0, 9]) if split == "train" else np.array([1, 2]))

    raw = vision.read(SimpleNamespace(**{name: make}), name, tmp_path, ["train"])
    assert raw["x_train"].shape == (2, 4, 5, 3)
    assert raw["x_train"][1, 2, 3].tolist() == [60 + 13, 80 + 13, 100 + 13]
    assert raw["y_train"].tolist() == [0, 9]
    assert raw["class_names"].tolist() == list("0123456789")


def test_usps_is_read(tmp_path):
    lines = [f"{label} " + " ".join(f"{i + 1}:{(-1) ** (i + label)}" for i in range(256)) for label in range(1, 11)]
    for file, times in zip(VISION_SETS["USPS"].files, (2, 1), strict=True):
        (tmp_path / file).write_bytes(bz2.compress("\n".join(lines * times).encode()))
    train = sources.load("torchvision:USPS", tmp_path, "train")
    assert train.images.shape == (20, 16, 16, 1)
    assert train.images[0, 0, :2, 0].tolist() == [0, 255]
    assert train.labels[:10].tolist() == list(range(10))


def test_download_asks_for_both_halves(tmp_path):
    asked = []
    library = SimpleNamespace(EMNIST=lambda root, **options: asked.append((root, options)))
    root = str(tmp_path / "new")
    vision.download(library, "EMNIST:digits", root)
    assert asked == [(root, {"train": half, "split": "digits", "download": True}) for half in (True, False)]
    assert (tmp_path / "new").is_dir()


def test_fetch_says_why_there_is_no_download(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LearningError, match=r"torchvision:MNIST must be there to download; got: .*Error: .*file"):
        sources.fetch("torchvision:MNIST", tmp_path / "file")


def test_fetch_leaves_alone_what_is_there(tmp_path):
    write_mnist(tmp_path, "MNIST")
    before = sources.stamp("torchvision:MNIST", tmp_path)
    sources.fetch("torchvision:MNIST", tmp_path)
    assert sources.stamp("torchvision:MNIST", tmp_path) == before


def unpacked(real_data, name, to):
    command = [sys.executable, str(real_data / "unpack.py"), name, "--to", str(to)]
    subprocess.run(command, check=True, capture_output=True)


def test_real_fashion_mnist_is_read(real_data, tmp_path):
    unpacked(real_data, "fashion_mnist", tmp_path)
    train = sources.load("torchvision:FashionMNIST", tmp_path, "train")
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert train.class_names[6] == "Shirt"
    assert (train.images / 255).mean() == pytest.approx(0.2860, abs=1e-4)  # as published for normalising it


def test_real_cifar100_is_read_from_an_archive(real_data, tmp_path):
    unpacked(real_data, "cifar100", tmp_path)
    train = sources.load("npz:cifar100.npz", tmp_path, "train")
    assert np.bincount(train.labels).tolist() == [500] * 100
    mean = train.images.reshape(-1, 3).mean(axis=0) / 255
    assert mean == pytest.approx([0.50707516, 0.48654887, 0.44091784], abs=1e-8)

"""Data sets: found, identified, checked, split."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.learning import origins, source_names, sources, split
from stages.learning.errors import LearningError
from stages.learning.origins import HALVES

GOOD = {
    "x_train": np.arange(8 * 4 * 5, dtype=np.uint8).reshape(8, 4, 5),
    "y_train": np.array([0, 1, 2, 0, 1, 2, 0, 1], dtype=np.uint8),
    "x_test": np.ones((2, 4, 5), dtype=np.uint8),
    "y_test": np.array([0, 2]),
}


def write(folder: Path, **changes: object) -> str:
    """Write the good data set with some arrays changed, or left out where None, and return its source."""
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    np.savez(folder / "set.npz", **arrays)
    return "npz:set.npz"


def faults_of(folder: Path, **changes: object) -> list[str]:
    with pytest.raises(LearningError) as caught:
        sources.load(write(folder, **changes), folder, "train")
    return str(caught.value).split("\n  ")[1:]


def write_module(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    monkeypatch.syspath_prepend(str(folder))


def test_load_reads_the_digits_with_a_fixed_stratified_test_split():
    train, test = (sources.load("sklearn:digits", ".", half) for half in HALVES)
    assert train.images.shape == (len(train.labels), 8, 8, 1)
    assert train.images.dtype == np.uint8
    assert train.images.max() == 255
    assert len(train.labels) + len(test.labels) == 1797
    assert np.bincount(test.labels).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert train.class_names == test.class_names == tuple("0123456789")
    again = sources.load("sklearn:digits", "/elsewhere", "test")
    assert np.array_equal(test.images, again.images)


def test_load_reads_an_archive(tmp_path):
    data = sources.load(write(tmp_path, class_names=np.array(["cat", "dog", "owl"])), tmp_path, "train")
    assert np.array_equal(data.images[..., 0], GOOD["x_train"])
    assert data.labels.dtype == np.int64
    assert data.class_names == ("cat", "dog", "owl")


def test_load_keeps_colours_and_takes_an_absolute_path(tmp_path):
    images = np.zeros((8, 4, 5, 3), dtype=np.uint8)
    write(tmp_path, x_train=images, x_test=images[:2])
    data = sources.load(f"npz:{tmp_path / 'set.npz'}", "/elsewhere", "test")
    assert data.images.shape == (2, 4, 5, 3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"x_train": GOOD["x_train"] / 255},
            r"x_train must be uint8; got float64; .* multiplied by 255 and rounded",
        ),
        ({"x_test": np.full((2, 4, 5), np.nan)}, "x_test must be uint8; got float64 with 40 NaN; "),
        ({"x_train": GOOD["x_train"].astype(np.int32)}, "x_train must be uint8; got int32$"),
        (
            {"x_train": np.zeros((8, 4, 5, 2), np.uint8)},
            r"x_train must have the shape .*; got \(8, 4, 5, 2\)$",
        ),
        ({"x_train": np.zeros((8, 3, 4, 5), np.uint8)}, r"did you mean x_train.transpose\(0, 2, 3, 1\)\?"),
        (
            {"x_test": np.zeros((2, 5, 5), np.uint8)},
            r"x_test must hold images of the shape of x_train's, \(4, 5\)",
        ),
        ({"x_test": np.zeros((0, 4, 5), np.uint8)}, "x_test must hold at least one example"),
        ({"y_test": np.zeros(0, np.int64)}, "y_test must hold at least one label; got none"),
        (
            {"x_train": np.array([1, None])},
            "x_train must be a whole array of plain values, numbers or text; got Python objects$",
        ),
        (
            {"y_train": np.zeros(8)},
            r"y_train must be integers, one an example; got float64; did you mean y_train.astype\(int\)\?$",
        ),
        ({"y_train": np.full(8, 0.5)}, "must be integers, one an example; got float64: number the classes from 0$"),
        ({"y_train": np.full(8, np.nan)}, "must be integers, one an example; got float64: number the classes from 0$"),
        (
            {"y_train": np.array(["cat", "doggy"] * 4)},
            "got <U5: number the classes from 0, and put their names, in that order, into class_names$",
        ),
        ({"y_train": np.zeros((8, 1), int)}, r"got \(8, 1\); did you mean y_train.ravel\(\)\?"),
        ({"y_train": np.eye(8, dtype=int)}, r"got \(8, 8\); did you mean y_train.argmax\(axis=1\)\?"),
        ({"y_train": np.zeros((8, 1, 1), int)}, r"y_train must have the shape \(n,\); got \(8, 1, 1\)$"),
        ({"y_train": np.array([0, 1, -1, 0, 1, 1, 1, 1])}, "y_train must be from 0 to 1; got -1"),
        ({"y_test": np.array([0, 7])}, "y_test must be from 0 to 2; got 7"),
        ({"y_train": np.zeros(7, int)}, "y_train must hold one label for each of the 8 images; got 7"),
        ({"y_train": np.zeros(8, int)}, "y_train must hold at least 2 classes; got 1"),
        ({"y_train": np.array([0, 3] * 4)}, "examples of every class from 0 to 3; got none of 1, 2$"),
        ({"y_train": np.array([0, 10**9] * 4)}, "got none of 1, 2, 3, 4, 5 and 999999994 more"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 0, 0, 0])}, "at least 2 examples of a class, .*; got 1 of 2$"),
        (
            {"class_names": np.array([1, 2, 3])},
            r"class_names must be text of the shape \(classes,\); got int64 \(3,\)",
        ),
        ({"class_names": np.array(["a", "b", "a"])}, "class_names must differ; got a more than once"),
        ({"class_names": np.array(["a", "b"])}, "y_train must be from 0 to 1; got 2"),
    ],
)
def test_load_names_what_is_wrong(tmp_path, changes, expected):
    assert any(re.search(expected, fault) for fault in faults_of(tmp_path, **changes))


@pytest.mark.parametrize("names", [np.array("abc"), np.array([1, 2, 3]), np.array(["a", "b", "a"])])
def test_identify_counts_no_classes_where_the_names_are_none(tmp_path, names):
    assert sources.identify(write(tmp_path, class_names=names), tmp_path).classes is None


@pytest.mark.parametrize("prefix", [b"#!/bin/sh\n", b"\x93NUMPY"])
def test_archive_with_something_before_it_is_refused(tmp_path, prefix):
    source = write(tmp_path)
    path = tmp_path / "set.npz"
    path.write_bytes(prefix + path.read_bytes())
    with pytest.raises(LearningError, match=r"^set\.npz must be an archive that numpy.savez wrote; got one that is"):
        sources.identify(source, tmp_path)


def test_array_with_an_archive_after_it_is_refused(tmp_path):
    source = write(tmp_path)
    path = tmp_path / "set.npz"
    archive = path.read_bytes()
    with path.open("wb") as file:
        np.save(file, np.arange(3))
        file.write(archive)
    with pytest.raises(LearningError, match="savez wrote; got an array with an archive after it"):
        sources.identify(source, tmp_path)


def test_load_lists_all_faults_at_once(tmp_path):
    faults = faults_of(tmp_path, x_train=None, X_Train=GOOD["x_train"], y_train=np.zeros(8), x_test=np.zeros((3, 4, 5)))
    assert [fault.split()[0] for fault in faults] == ["x_train", "y_train", "x_test", "y_test"]
    assert faults[0] == "x_train must be there; got X_Train, x_test, y_test, y_train; did you mean 'X_Train'?"


def test_load_names_the_arrays_of_an_archive_that_calls_its_test_half_otherwise(tmp_path):
    changes = {"x_test": None, "y_test": None, "x_val": GOOD["x_test"], "y_val": GOOD["y_test"]}
    got = "got x_train, x_val, y_train, y_val"
    assert faults_of(tmp_path, **changes) == [
        f"x_test must be there; {got}; did you mean 'x_val'?",
        f"y_test must be there; {got}; did you mean 'y_val'?",
    ]


def test_load_refuses_another_content_than_was_planned(tmp_path):
    source = write(tmp_path)
    planned = sources.identify(source, tmp_path)
    assert sources.load(source, tmp_path, "train", digest=planned.digest).class_names == ("0", "1", "2")
    write(tmp_path, x_test=np.zeros((2, 4, 5), dtype=np.uint8))
    with pytest.raises(LearningError, match=r"npz:set.npz must be what it was .* digest [0-9a-f]{12}; got"):
        sources.load(source, tmp_path, "train", digest=planned.digest, stamp=planned.stamp)


def test_load_reads_no_content_for_its_digest_where_the_stamp_is_as_planned(tmp_path):
    source = write(tmp_path)
    stamp = sources.stamp(source, tmp_path)
    assert len(sources.load(source, tmp_path, "test", digest="not its digest", stamp=stamp).labels) == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "npy:a",
            "source must start with one of sklearn, torchvision, folder, npz, .*; got 'npy:a'; did you mean 'npz'",
        ),
        ("sklearn:digit", "source must name one of digits .* got 'digit'; did you mean 'digits'"),
        ("npz:sat.npz", "npz:sat.npz must be a file; got none at .*; did you mean 'set.npz'"),
        ("npz:no/such.npz", r"npz:no/such.npz must be a file; got none at [^;]*$"),
        ("npz:text.npz", "must be an archive that numpy.savez wrote"),
        ("python:no_such_module:load", "module no_such_module must be one that Python can import"),
        ("python:json.no_such:load", "module json.no_such must be one that Python can import"),
        ("python:json.decoder.deeper:load", "module json.decoder.deeper must be one"),
        ("python:json", "source must be python:MODULE:FACTORY"),
        ("torchvision:MNIST", "torchvision:MNIST must have its files under .*; got no MNIST/raw/train-images-idx3"),
        ("torchvision:CIFAR", "source must name one of MNIST, .* after 'torchvision:'; got 'CIFAR'; did you mean 'CI"),
        ("folder:imgs", "folder:imgs must be a folder; got none at .*; did you mean 'images'"),
        ("folder:no/such", r"folder:no/such must be a folder; got none at [^;]*$"),
    ],
)
def test_sources_that_are_not_there_are_refused_before_they_are_read(tmp_path, source, expected):
    write(tmp_path)
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "images").mkdir()
    for look in (sources.identify, sources.stamp, partial(sources.load, half="train")):
        with pytest.raises(LearningError, match=expected):
            look(source, tmp_path)


def test_source_that_lies_where_the_command_runs_is_named(tmp_path, monkeypatch):
    source = write(tmp_path)
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in (source, "folder:images"):
        meant = tmp_path / name.partition(":")[2]
        with pytest.raises(LearningError, match=rf"got none at .*; did you mean {meant}, with '\.' as the root\?$"):
            sources.stamp(name, "data")


def test_every_kind_that_a_config_may_name_has_its_finder():
    assert tuple(origins._FINDERS) == source_names.KINDS


def test_identify_tells_contents_apart_and_counts_classes(tmp_path):
    first = sources.identify(write(tmp_path), tmp_path)
    assert first.classes == 3
    assert first.stamp == sources.stamp("npz:set.npz", tmp_path)
    assert first.stamp["path"] == str(tmp_path / "set.npz")
    second = sources.identify(write(tmp_path, class_names=np.array(list("abcd"))), tmp_path)
    assert second.classes == 4
    assert second.digest != first.digest
    assert second.stamp != first.stamp


def test_identify_leaves_strange_labels_to_load_and_names_a_missing_array(tmp_path):
    assert sources.identify(write(tmp_path, y_train=np.zeros(8)), tmp_path).classes is None
    with pytest.raises(LearningError, match="y_test must be there"):
        sources.identify(write(tmp_path, y_test=None), tmp_path)


def test_identify_of_digits_has_the_version_of_their_package():
    identity = sources.identify("sklearn:digits", ".")
    assert identity.classes == 10
    assert set(identity.stamp) == {"name", "version"}


def test_load_reports_a_damaged_archive(tmp_path):
    path = tmp_path / "set.npz"
    write(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(GOOD["x_train"].tobytes()) + 3] ^= 255
    path.write_bytes(data)
    with pytest.raises(
        LearningError, match="x_train must be a whole array of plain values, numbers or text; got damaged"
    ):
        sources.load("npz:set.npz", tmp_path, "train")


FACTORY = """
import numpy as np
def load():
    x = np.zeros((4, 2, 2), np.uint8)
    y = [0, 0, 1, 1]
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "class_names": ["a", "b"]}
def other(): return load()
def ragged(): return load() | {"x_test": [[1], [1, 2]]}
def objects(): return load() | {"x_test": np.array([None] * 4)}
def number(): return 3
def raising(): raise ValueError("kaputt")
"""


def test_load_calls_a_factory(tmp_path, monkeypatch):
    write_module(tmp_path, monkeypatch, "factory_good", FACTORY)
    data = sources.load("python:factory_good:load", ".", "train")
    assert data.images.shape == (4, 2, 2, 1)
    assert data.class_names == ("a", "b")


def test_identify_of_a_factory_imports_nothing(tmp_path, monkeypatch):
    write_module(tmp_path, monkeypatch, "package_loud.__init__", "raise RuntimeError('imported')")
    write_module(tmp_path, monkeypatch, "package_loud.sets", FACTORY)
    identity = sources.identify("python:package_loud.sets:load", ".")
    assert identity.classes is None
    assert identity.stamp["path"].endswith("sets.py")
    assert identity.digest != sources.identify("python:package_loud.sets:other", ".").digest
    write_module(tmp_path, monkeypatch, "package_loud.sets", FACTORY + "# changed")
    assert identity.digest != sources.identify("python:package_loud.sets:load", ".").digest


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("lod", "module factory_bad must have a function lod; got none; did you mean 'load'"),
        ("raising", "factory_bad:raising must return a mapping of arrays; got ValueError: kaputt"),
        ("number", "factory_bad:number must return a mapping of arrays; got int"),
        ("ragged", "x_test must be an array or what makes one; got: setting an array element"),
        ("objects", "x_test must be one array of numbers; got objects"),
    ],
)
def test_load_names_what_is_wrong_with_a_factory(tmp_path, monkeypatch, factory, expected):
    write_module(tmp_path, monkeypatch, "factory_bad", FACTORY)
    with pytest.raises(LearningError, match=expected):
        sources.load(f"python:factory_bad:{factory}", ".", "train")


def test_sources_imports_neither_torch_nor_sklearn_nor_pillow():
    code = (
        "import sys; from stages.learning import sources, metrics; sources.identify('sklearn:digits', '.');"
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchvision', 'sklearn', 'scipy', 'PIL')))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@given(
    counts=st.lists(st.integers(2, 12), min_size=1, max_size=5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_split_holdout_takes_its_share_of_every_class(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    held_out = sources.split_holdout(labels, share, seed)
    taken = np.bincount(labels[held_out], minlength=len(counts))
    assert all(1 <= n_taken < count for n_taken, count in zip(taken, counts, strict=True))
    assert all(abs(n - share * count) <= 1 for n, count in zip(taken, counts, strict=True))
    assert np.array_equal(held_out, sources.split_holdout(labels, share, seed))


def test_split_by_name_moves_few_when_an_example_is_added():
    labels = np.repeat([0, 1], 100)
    names = [b"%d" % i for i in range(200)]
    before = split.split_by_name(labels, 0.3, names)
    after = split.split_by_name(np.append(labels, 1), 0.3, [*names, b"new"])
    assert np.bincount(labels[before]).tolist() == [30, 30]
    assert (before != after[:-1]).sum() <= 1
    assert not np.array_equal(before, split.split_by_name(labels, 0.3, [name + b"x" for name in names]))


def test_split_holdout_differs_with_the_seed():
    labels = np.repeat([0, 1], 50)
    assert not np.array_equal(sources.split_holdout(labels, 0.5, 1), sources.split_holdout(labels, 0.5, 2))


def test_unknown_set_of_torchvision_says_what_reads_pictures_otherwise():
    with pytest.raises(ValueError, match=r"got 'Food101'; pictures in other layouts .* folder:PATH, with data\.size"):
        source_names.parse("torchvision:Food101")

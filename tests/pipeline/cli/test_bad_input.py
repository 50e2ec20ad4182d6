"""Wrong configs, data and disks: each is told once, names the thing, and loses nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.schema import Config
from tests.conftest import Disk, remount
from tests.pipeline.cli.conftest import Arrays, Command, make_arrays, newest

Change = Callable[[Arrays], None]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("student.epoch=2", "student.epoch: must be a key of its section; got 'epoch'; did you mean 'epochs'?"),
        ("student.epochs=two", "student.epochs: must be an integer; got 'two'"),
        (
            "name=my run",
            "name: must begin with a letter or digit and be of letters, digits, '.', '_' and '-'; got 'my run'",
        ),
        ("student.epochs=-3", "student.epochs: must be at least 1; got -3"),
        ("specialists.count=0", "specialists.count: must be at least 1; got 0"),
        ("specialists.count=3", "specialists.count: must be at most 2, so that each has 2 of the 4 classes"),
        ("data.source=npz:tiny.npy", "npz:tiny.npy must be a file; got none at"),
        ("data.source=npz:tiny.npy", "did you mean 'tiny.npz'?"),
        ("data.source=npz:tiny.yaml", "npz:tiny.yaml must be an archive that numpy.savez wrote"),
        ("data.source=sklearn:digit", "must name one of digits after 'sklearn:'; got 'digit'"),
        ("data.source=python:nowhere:load", "module nowhere must be one that Python can import; got none in"),
        ("ray.address=inlin", "ray.address: must be local, inline, auto or ray://HOST:PORT; got 'inlin'"),
        (
            "ray.resources.specialit={gpus: 1}",
            "refit-combined, refit-student, evaluate; got 'specialit'",
        ),
        ("ray.resources.student={gpu: 1}", "ray.resources.student.gpu: "),
        ("ray.wait_for={GPU: 1}", "ray.wait_for.seconds: must be given; got nothing"),
        ("student.model={name: resnet22}", "got 'resnet22'; did you mean 'resnet"),
        (
            "student.model={name: 'torchvision:resnet1'}",
            "of torchvision's 80 classification models; got 'resnet1'; did you",
        ),
        (
            "student.model={name: 'python:nowhere:make'}",
            "student.model.name: module nowhere must be one that Python can",
        ),
        ("generalist.model.weights=tiny.pth", "generalist.model.weights: weights must be a file; got none at"),
        ("student.epochs", "must be PATH=VALUE, such as student.epochs=30; got 'student.epochs'"),
    ],
)
def test_wrong_setting_ends_with_2_before_any_work(project: Path, command: Command, setting: str, told: str) -> None:
    done = command("run", "tiny.yaml", "--set", setting)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"--set {setting}: ")
    assert told in line
    assert not (project / "runs").exists()


def test_more_threads_than_ray_has_ends_with_2(project: Path, command: Command) -> None:
    done = command("run", "tiny.yaml", "--set", "ray={address: local, cpus: 1}", "--set", "student.threads=2")
    assert done.code == 2
    assert done.err.endswith("student.threads: must be at most 1, the CPUs of the local Ray; got 2\n")


def put(arrays: Arrays, name: str, index: int, value: int) -> None:
    arrays[name] = arrays[name].copy()
    arrays[name][index] = value


def leave_one(arrays: Arrays) -> None:
    keep = [*np.flatnonzero(arrays["y_train"] != 2).tolist(), 80]
    arrays["x_train"], arrays["y_train"] = arrays["x_train"][keep], arrays["y_train"][keep]


def with_nan(arrays: Arrays) -> None:
    arrays["x_train"] = arrays["x_train"].astype(np.float32) / 255
    arrays["x_train"][3, 2, 1] = np.nan


def with_fractions(arrays: Arrays) -> None:
    arrays["y_train"] = arrays["y_train"] + 0.5


def with_one_class(arrays: Arrays) -> None:
    arrays["y_train"], arrays["y_test"] = arrays["y_train"] * 0, arrays["y_test"] * 0


def with_objects(arrays: Arrays) -> None:
    arrays["x_train"] = np.array([None] * 160, dtype=object)


def without_images(arrays: Arrays) -> None:
    arrays["x_tain"] = arrays.pop("x_train")


WRONG_DATA: dict[str, tuple[int, Change, str]] = {
    "negative label": (1, lambda a: put(a, "y_train", 5, -1), "y_train must be from 0 to 3; got -1"),
    "large label": (1, lambda a: put(a, "y_test", 5, 4), "y_test must be from 0 to 3; got 4"),
    "fractions": (1, with_fractions, "y_train must be integers, one an example; got float64"),
    "NaN": (1, with_nan, "x_train must be uint8; got float32 with 1 NaN"),
    "class of one": (1, leave_one, "y_train must hold at least 2 examples of a class, so that one can be held out"),
    "objects": (1, with_objects, "x_train must be a whole array of plain values"),
    "one class": (2, with_one_class, "data.source: must have 3 classes or more"),
    "no images": (2, without_images, "did you mean 'x_tain'?"),
}


@pytest.mark.parametrize("name", WRONG_DATA)
def test_wrong_data_is_told_once_and_the_run_goes_on_when_it_is_right(
    project: Path, command: Command, name: str
) -> None:
    code, change, told = WRONG_DATA[name]
    arrays = make_arrays()
    change(arrays)
    np.savez(project / "tiny.npz", **arrays)
    done = command("run", "tiny.yaml")
    assert done.code == code
    assert done.err.count(told) == 1
    assert "Traceback" not in done.out + done.err
    assert ("\ntraceback" in done.err) == (code == 1)
    np.savez(project / "tiny.npz", **make_arrays())
    assert command("run", "tiny.yaml", "--until", "views").code == 0


@pytest.mark.parametrize("name", ["shift", "cutout"])
def test_augmentation_that_leaves_nothing_ends_with_2_before_anything_is_trained(
    project: Path, command: Command, name: str
) -> None:
    setting = f"data.augment={{{name}: 8}}"
    told = f"augment.{name}: must be less than the images' smaller side, 8, or nothing may be left of one; got 8\n"
    for verb in ("validate", "run"):
        done = command(verb, "tiny.yaml", "--set", setting)
        assert done.code == 2
        assert done.err.endswith(told)
    assert "generalist: done" not in done.out


def test_faults_of_the_data_are_listed_below_where_the_source_is_named(project: Path, command: Command) -> None:
    arrays = make_arrays()
    np.savez(project / "tiny.npz", x_train=arrays["x_train"], y_train=arrays["y_train"])
    done = command("run", "tiny.yaml")
    assert done.code == 2
    assert done.err.splitlines() == [
        "tiny.yaml:4: data.source: tiny.npz must be a data set of images and labels:",
        "  x_test must be there; got x_train, y_train",
        "  y_test must be there; got x_train, y_train",
    ]


def test_store_that_is_full_in_the_middle_is_named_and_keeps_what_is_done(
    project: Path, command: Command, make_disk: Disk
) -> None:
    disk = make_disk("size=68k")  # the generalist does not fit; one task alone waits for room, as long as all would
    done = command("run", "tiny.yaml", "--set", f"store={disk}", "--until", "generalist")
    assert done.code == 1
    assert f"{disk} must be writable; got No space left on device: free space on that filesystem" in done.err
    assert "Traceback" not in done.err
    assert "data[train]: done" in done.out
    remount(disk, "size=8m")
    assert command("store", "verify", str(disk)).code == 0
    assert command("run", "tiny.yaml", "--set", f"store={disk}").code == 0
    assert "data[train]" in json.loads((newest(project / "runs") / "results.json").read_text())["reused"]


def test_store_that_is_mounted_read_only_is_named(finished: Path, command: Command, make_disk: Disk) -> None:
    disk = make_disk("size=1m")
    remount(disk, "ro")
    done = command("run", "tiny.yaml", "--set", f"store={disk}")
    assert done.code == 2
    assert done.err == (
        f"--set store={disk}: store: {disk} must be a folder that you can write to; got Read-only file system:"
        " mount the filesystem for writing, or name a store elsewhere\n"
    )
    remount(disk, "rw")
    assert command("run", "tiny.yaml", "--set", f"store={disk}", "--until", "data").code == 0


@pytest.mark.parametrize("free", [4, 16, 28])
def test_full_disk_of_the_runs_is_named_and_loses_no_result(
    project: Path, command: Command, make_disk: Disk, free: int
) -> None:
    disk = make_disk(f"size={200 + free}k")
    (disk / "other").write_bytes(b"0" * 200 * 1024)
    done = command("run", "tiny.yaml", "--set", f"runs={disk}/runs")
    assert done.code == 1
    assert f"{disk}/runs" in done.err
    assert "must be writable; got No space left on device: set `runs` to another folder" in done.err
    assert len(done.err.splitlines()) == 1
    (disk / "other").unlink()
    assert command("status", "--runs", f"{disk}/runs").code in {0, 2}
    assert command("run", "tiny.yaml", "--set", f"runs={disk}/runs").code == 0
    assert command("store", "verify", "store").code == 0


@pytest.mark.parametrize("setting", ["store", "runs"])
def test_folder_that_is_a_file_is_named(project: Path, command: Command, setting: str) -> None:
    done = command("run", "tiny.yaml", "--set", f"{setting}=tiny.npz")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith(f"--set {setting}=tiny.npz: {setting}: ")
    assert "tiny.npz" in line
    assert "File exists" in line


def test_store_that_cannot_be_used_is_told_beside_other_faults(project: Path, command: Command) -> None:
    changes = ("--set", "store=tiny.npz", "--set", "ray.resources.specialit={gpus: 1}")
    done = command("run", "tiny.yaml", *changes)
    assert done.code == 2
    store, resources = done.err.splitlines()
    assert ": store: " in store
    assert ": ray.resources.specialit: " in resources


@pytest.fixture
def no_object_store_is_known() -> Iterator[None]:
    """A filesystem that is opened once keeps its credentials, or that it has none."""
    filesystem = pytest.importorskip("s3fs").S3FileSystem
    filesystem.clear_instance_cache()
    yield
    filesystem.clear_instance_cache()


@pytest.mark.usefixtures("no_object_store_is_known")
@pytest.mark.parametrize("name", ["run", "plan"])
def test_object_store_that_cannot_be_reached_ends_with_2_and_names_the_setting(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(project / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(project / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    done = command(name, "tiny.yaml", "--set", "store=s3://nowhere/x")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith("--set store=s3://nowhere/x: store: s3://nowhere/x")
    assert "give credentials where boto takes them: AWS_ACCESS_KEY_ID and" in line


def test_defaults_fit_the_schema() -> None:
    config = Config.model_validate({"data": {"source": "sklearn:digits"}})
    assert (config.store, config.runs, config.ray.address) == (".pipeline", "runs", "local")

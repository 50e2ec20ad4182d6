"""What a person takes away from a run: `evaluate` and `export`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import kept
from tests.pipeline.cli.conftest import Command, make_arrays, newest, without_times


def test_evaluate_finds_again_what_the_run_has_measured(finished: Path, command: Command) -> None:
    results = json.loads((newest(finished / "runs") / "results.json").read_text())
    found = json.loads(command("evaluate", "tiny", "--json").out)
    for name in ("generalist", "ensemble", "students", "specialists", "differences", "changed"):
        assert without_times(found[name]) == without_times(results[name])
    assert found["data"] == {"source": "the run's test split", "examples": 60}
    assert command("evaluate", "tiny").out.startswith("on the test split ")


def test_evaluate_on_another_set(finished: Path, command: Command) -> None:
    arrays = make_arrays()
    flipped = arrays | {"x_test": 255 - arrays["x_test"][:20], "y_test": arrays["y_test"][:20]}
    np.savez(finished / "other.npz", **flipped)
    done = command("evaluate", "tiny", "--data", "npz:other.npz")
    assert (done.code, done.err) == (0, "without an example: 2 classes (2, 3)\n")
    assert done.out.startswith("on the given set ")
    assert f"{newest(Path('runs')).name}: 20 examples of npz:other.npz; times measured on " in done.out
    train = json.loads(command("evaluate", "tiny", "--data", "npz:other.npz", "--split", "train", "--json").out)
    whole = {"scaled": 0, "classes_without_examples": [], "left_out": []}
    assert train["data"] == {"source": "npz:other.npz", "examples": 160} | whole
    own = json.loads(command("evaluate", "tiny", "--data", "npz:tiny.npz", "--json").out)
    results = json.loads((newest(finished / "runs") / "results.json").read_text())
    assert without_times(own["students"]) == without_times(results["students"])


def test_evaluate_on_a_folder_tells_what_was_scaled_and_what_is_not_in_it(finished: Path, command: Command) -> None:
    for number in range(8):
        path = finished / "photos" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 8) if number else (8, 8), number).save(path)
        (finished / "photos" / f"{number}.txt").write_text("no image")
    done = command("evaluate", "tiny", "--data", "folder:photos", "--json")
    assert done.err.splitlines() == [
        "7 of 8 images were scaled to the network's 8 x 8 pixels, and cut to its shape; got 10 x 8 (width x height)",
        "without an example: 2 classes (2, 3)",
        "left out, for no image of a class's folder: 8 files (0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 3 more)",
    ]
    told = json.loads(done.out)["data"]
    assert (told["examples"], told["scaled"], told["classes_without_examples"]) == (8, 7, ["2", "3"])
    assert told["left_out"] == [f"{number}.txt" for number in range(8)]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--split", "test"), 2, "--split: must come with --data"),
        (("--data", "npz:x.npz", "--split", "tests"), 2, "got 'tests'; did you mean 'test'?"),
        (("--data", "npz:x.npz"), 2, "--data: npz:x.npz must be a file"),
        (("--data", "zip:x"), 2, "--data: source must start with one of"),
    ],
)
def test_evaluate_says_what_is_wrong(
    finished: Path, command: Command, options: tuple[str, ...], code: int, told: str
) -> None:
    done = command("evaluate", "tiny", *options)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_evaluate_finds_the_set_beside_that_of_the_run(finished: Path, command: Command) -> None:
    (finished / "tiny.npz").rename(finished / "data.npz")
    done = command("evaluate", "tiny", "--data", "npz:data.npz", "--root", "elsewhere")
    assert done.code == 2
    got = f"got none at {finished / 'elsewhere' / 'data.npz'}"
    assert f"must be a file; {got}; did you mean 'npz:{finished / 'data.npz'}'?" in done.err


def test_export_writes_a_file_that_says_what_the_student_says(finished: Path, command: Command) -> None:
    done = command("export", "tiny", "--format", "torch-export")
    file = newest(finished / "runs") / "student.pt2"
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0].startswith(f"runs/{file.parent.name}/student.pt2: ")
    assert "over 24 examples of the holdout (must be less than 0.0001)" in done.out
    told = json.loads(command("export", "tiny", "--format", "torch-export", "--to", "mine.pt2", "--json").out)
    assert (told["file"], told["bytes"]) == ("mine.pt2", (finished / "mine.pt2").stat().st_size)
    assert 0 <= told["largest_difference"] < 1e-4
    assert [path.name for path in finished.iterdir() if path.name.endswith(".pt2")] == ["mine.pt2"]


def test_export_leaves_nothing_behind_when_it_cannot(finished: Path, command: Command) -> None:
    assert command("export", "tiny", "--format", "onx").err == (
        "--format: must be onnx, torch-export or safetensors; got 'onx'; did you mean 'onnx'?\n"
    )
    done = command("export", "tiny", "--format", "torch-export", "--to", "tiny.yaml/student.pt2")
    assert done.code == 1
    assert "tiny.yaml/student.pt2: must be writable; got " in done.err
    assert done.err.endswith(": name another file by --to\n")
    (finished / "folder.safetensors").mkdir()
    for form in ("torch-export", "safetensors"):
        done = command("export", "tiny", "--format", form, "--to", "folder.safetensors")
        assert (done.code, done.err) == (2, "--to: must be a file; got the folder folder.safetensors\n")
    run = kept.find(finished / "runs", "tiny")
    (run.folder.path / "student.safetensors").write_bytes(b"damaged")
    done = command("export", "tiny", "--format", "torch-export")
    assert done.code == 1
    assert "must have the SHA-256" in done.err
    assert not list(run.folder.path.glob("*.pt2"))

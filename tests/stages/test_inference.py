"""Trained models in use."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save

from pipeline.errors import ConfigError, StageError
from pipeline.recipe import sha256
from pipeline.stage import Artifact
from stages import inference, teachers
from stages.parameters import CombineParameters

NAMES = [f"class {c}" for c in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, students):
    """A folder with the files that a run leaves of its student."""
    folder = tmp_path_factory.mktemp("run")
    student = students["distilled"]
    weights = save({name: array.copy() for name, array in student.arrays.items()})
    (folder / "student.safetensors").write_bytes(weights)
    known = {"weights": "student.safetensors", "sha256": sha256(weights), "class_names": NAMES}
    (folder / "student.json").write_text(json.dumps(known | student.facts["network"]))
    return folder


@pytest.fixture(scope="module")
def student(folder):
    return inference.student_in(folder)


def test_student_says_what_was_evaluated(student, test_half, evaluation):
    probs = student.probs(test_half.arrays["images"])
    assert probs.dtype == torch.float32
    assert probs.numpy() == pytest.approx(np.exp(evaluation.arrays["student-distilled"]), abs=1e-6)
    chosen = evaluation.arrays["student-distilled"].argmax(axis=1)
    assert student.labels(test_half.arrays["images"]) == [NAMES[c] for c in chosen]


def test_all_forms_of_the_same_images_give_the_same(student, test_half):
    images = test_half.arrays["images"][:7]
    expected = student.probs(images)
    forms = {
        "tensor": torch.from_numpy(images),
        "arrays": [image[:, :, 0] for image in images],
        "pictures": [Image.fromarray(image[:, :, 0]) for image in images],
        "colour": [Image.fromarray(image[:, :, 0]).convert("RGB") for image in images],
        "floats": torch.from_numpy(images).permute(0, 3, 1, 2) / 255,
    }
    for form, given in forms.items():
        assert torch.allclose(student.probs(given), expected, atol=1e-6), form
    assert torch.allclose(student.probs(forms["pictures"][0]), expected[:1], atol=1e-6)


def test_images_of_other_sizes_are_scaled(student, test_half):
    image = test_half.arrays["images"][0]
    large = image.repeat(3, axis=0).repeat(3, axis=1)
    assert student.probs([image, large]).shape == (2, 5)
    assert torch.allclose(*student.probs([image, large]), atol=0.2)


def test_what_a_student_is_shows_in_a_line(student):
    assert repr(student) == f"Classifier(class_names={tuple(NAMES)}, image_size=(8, 8), channels=1)"


def test_no_images_give_no_rows(student):
    assert student.probs([]).shape == (0, 5)
    assert student.top([]) == []
    assert student.probs(torch.empty(0, 1, 8, 8)).shape == (0, 5)


def test_top_is_sorted_and_named(student, test_half):
    images = test_half.arrays["images"][:3]
    for row, probs in zip(student.top(images, 2), student.probs(images), strict=True):
        assert [name for name, _ in row] == [NAMES[c] for c in probs.argsort(descending=True)[:2]]
        assert [p for _, p in row] == probs.sort(descending=True).values[:2].tolist()
    assert len(student.top(images[:1], 100)[0]) == 5


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"batch of uint8 images must .* got \(8, 8\); did you mean a list of one\?"),
        (np.zeros((8, 8, 1), np.uint8), r"got \(8, 8, 1\); did you mean a list of one\?$"),
        (
            torch.zeros(5, 8, 8, dtype=torch.uint8),
            r"got \(5, 8, 8\); did you mean images\[..., None\], for 5 grey images\?$",
        ),
        (
            np.zeros((8, 8), np.float32),
            r"^an array must be of uint8 .*; got float32 \(8, 8\); .* torch.from_numpy\(images\), floats in \[0, 1\]",
        ),
        (np.zeros((2, 1, 8, 8)), r"^an array must be of uint8 .*; got float64 \(2, 1, 8, 8\); did you mean torch"),
        ([np.zeros((8, 8))], "image 0: an image must be uint8"),
        ([np.zeros((8, 8), np.uint8), np.zeros(3)] * 6, r"image 1: .*\n(image.*\n){4}and 1 more$"),
        ([Image.new("F", (8, 8))], "image 0: the mode of a picture must be one of"),
        ("7.png", r"image 0: an image must be .*; got a path; did you mean PIL.Image.open\('7.png'\)\?$"),
        ([Path("7.png")], r"image 0: .* did you mean PIL.Image.open\('7.png'\)\?$"),
        (torch.zeros(1, 8, 8, 1), r"float images must have the shape \(images, 1, 8, 8\); got \(1, 8, 8, 1\)"),
        (torch.full((1, 1, 8, 8), 200.0), r"from 0 to 1; got 200 to 200; did you mean images / 255\?"),
        (torch.full((1, 1, 8, 8), torch.nan), "from 0 to 1; got nan"),
    ],
)
def test_what_is_no_image_is_refused(student, images, message):
    with pytest.raises(StageError, match=message):
        student.probs(images)


def test_student_refuses_files_that_do_not_belong_together(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"student\.json must be there; got No such file or directory"):
        inference.student_in(tmp_path)
    (tmp_path / "student.json").write_text("[]")
    with pytest.raises(StageError, match=r"student\.json must describe a student"):
        inference.student_in(tmp_path)
    (tmp_path / "student.json").write_bytes((folder / "student.json").read_bytes())
    with pytest.raises(StageError, match=r"student\.safetensors must be there"):
        inference.student_in(tmp_path)
    data = bytearray((folder / "student.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "student.safetensors").write_bytes(data)
    with pytest.raises(StageError, match=r"student.safetensors must have the SHA-256 that student.json names"):
        inference.student_in(tmp_path)


def test_teachers_say_what_was_evaluated(test_half, generalist_net, specialist_nets, calibrations, measure):
    temperatures = [fit.facts["temperature"] for fit in calibrations]
    together = teachers.networks(generalist_net, specialist_nets, CombineParameters(), temperatures)
    ensemble = teachers.classifier(together, generalist_net, NAMES)
    images = test_half.arrays["images"]
    expected = np.exp(measure(calibrations=calibrations).arrays["ensemble"])
    assert ensemble.probs(images).numpy() == pytest.approx(expected, abs=1e-6)
    alone = teachers.networks(generalist_net, [], CombineParameters())
    only = teachers.classifier(alone, Artifact(facts=generalist_net.facts), NAMES)
    assert only.probs(images).numpy() == pytest.approx(np.exp(measure().arrays["generalist"]), abs=1e-6)

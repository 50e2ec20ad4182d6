"""Students as files that run without this program."""

import io
import json

import numpy as np
import onnx
import pytest
import torch

from pipeline.errors import ConfigError, StageError
from pipeline.stage import Artifact
from stages import network, portable

DESCRIPTION = {"class_names": ["a", "b", "c", "d", "é"], "weights": "student.safetensors"}


@pytest.fixture(scope="module")
def files(students):
    """The distilled student in every format."""
    return {form: portable.written(students["distilled"], DESCRIPTION, form) for form in portable.SUFFIXES}


@pytest.mark.parametrize("form", portable.SUFFIXES)
def test_file_says_what_pytorch_says_for_every_batch_size(files, students, test_half, form):
    run = portable.opened(form, files[form])
    images = test_half.arrays["images"]
    assert portable.largest_difference(run, students["distilled"], images) < portable.TOLERANCE
    for n in (1, 2, 7, 100):
        logits, probs = run(images[:n])
        assert logits.shape == probs.shape == (n, 5)
        expected = network.predict(students["distilled"], torch.from_numpy(images[:n])).softmax(dim=1)
        assert probs == pytest.approx(expected.numpy(), abs=portable.TOLERANCE)


def test_a_file_that_differs_is_refused(files, students, test_half):
    run = portable.opened("torch-export", files["torch-export"])
    with pytest.raises(StageError, match=r"must differ from PyTorch by less than 0\.0001; got "):
        portable.largest_difference(run, students["hard"], test_half.arrays["images"])
    with pytest.raises(StageError, match="got nan"):
        portable.largest_difference(
            lambda images: (np.full((len(images), 5), np.nan),) * 2,
            students["hard"],
            test_half.arrays["images"],
        )


def test_files_name_their_classes(files):
    model = onnx.load_from_string(files["onnx"])
    told = {item.key: item.value for item in model.metadata_props}
    assert json.loads(told["class_names"]) == DESCRIPTION["class_names"]
    assert json.loads(told[portable.METADATA]) == DESCRIPTION
    assert [value.name for value in model.graph.input] == ["images"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    extra = {portable.METADATA: ""}
    torch.export.load(io.BytesIO(files["torch-export"]), extra_files=extra)
    assert json.loads(extra[portable.METADATA]) == DESCRIPTION


def test_colour_students_take_colour():
    description = {"model": {"name": "mlp", "width": 4}, "outputs": 3, "channels": 3, "image_size": [6, 5],
                   "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}  # fmt: skip
    net = network.build(description, seed=0)
    arrays = {name: values.numpy() for name, values in net.state_dict().items()}
    student = Artifact(arrays, {"network": description})
    images = np.random.default_rng(0).integers(0, 255, (9, 6, 5, 3), dtype=np.uint8)
    run = portable.opened("torch-export", portable.written(student, DESCRIPTION, "torch-export"))
    assert portable.largest_difference(run, student, images) < portable.TOLERANCE


def test_missing_packages_are_named():
    portable.check_packages("torch-export")
    with pytest.raises(
        ConfigError, match=r"must have no_such_package; got none: pip install 'specialist-distillation\[onnx\]'$"
    ):
        portable.check_packages("onnx", {"onnx": ("json", "no_such_package")})

"""A student as one file that runs without this program: pixels in, logits and probabilities out."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import ConfigError, StageError
from pipeline.stage import Artifact, Json
from stages import network

TOLERANCE = 1e-4
"""What logits and probabilities may differ by from PyTorch's."""
INPUT = "images"
OUTPUTS = ("logits", "probs")
METADATA = "student.json"
"""The name under which a file holds the student's description, with the names of its classes."""
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
"""Formats, and the endings of their files."""
PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "torch-export": ()}
"""What a format needs beside torch."""

Run = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], ...]]


class Portable(nn.Module):
    """A student with its preprocessing.

    Args:
        student: The network, on the CPU.
        mean: Of each channel, of pixels scaled to [0, 1].
        std: Of each channel.
    """

    def __init__(self, student: nn.Module, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.student = student
        self.register_buffer("offset", torch.tensor(mean, dtype=torch.float32) * 255)
        self.register_buffer("scale", torch.tensor(std, dtype=torch.float32) * 255)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities, float32 (images, classes).

        Args:
            images: uint8 (images, height, width, channels), of the size and channels that the student takes.
        """
        pixels = (images.float() - self.offset) / self.scale  # type: ignore[operator]
        logits: Tensor = self.student(pixels.permute(0, 3, 1, 2))
        return logits, logits.softmax(dim=1)


def check_packages(form: str, packages: Mapping[str, Sequence[str]] = PACKAGES) -> None:
    """Check that what a format needs is installed.

    Args:
        form: The format.
        packages: What each needs.

    Raises:
        ConfigError: Packages are missing; names them and what installs them.
    """
    missing = [name for name in packages[form] if find_spec(name) is None]
    if missing:
        installing = f"pip install 'specialist-distillation[{form}]'"
        raise ConfigError(f"--format {form}: must have {', '.join(missing)}; got none: {installing}")


def written(student: Artifact, description: Mapping[str, Json], form: str) -> bytes:
    """Return a student as the contents of a file.

    Args:
        student: The student.
        description: What the file says of it: student.json.
        form: One of `SUFFIXES`.
    """
    net = network.from_artifact(student).eval()
    facts = student.facts["network"]
    height, width = facts["image_size"]
    # A batch of two: one would be taken for a size that never changes.
    example = torch.zeros(2, height, width, facts["channels"], dtype=torch.uint8)
    shapes = {INPUT: {0: torch.export.Dim("batch")}}
    with torch.inference_mode():
        program = torch.export.export(Portable(net, facts["mean"], facts["std"]), (example,), dynamic_shapes=shapes)
    return _WRITERS[form](program, description)


def opened(form: str, content: bytes) -> Run:
    """Return what runs a file that `written` made: logits and probabilities from pixels."""
    if form == "torch-export":
        module = torch.export.load(io.BytesIO(content)).module()
        return lambda images: tuple(output.detach().numpy() for output in module(torch.from_numpy(images)))
    import onnxruntime  # noqa: PLC0415  # an extra

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: tuple(session.run(list(OUTPUTS), {INPUT: images}))


def largest_difference(run: Run, student: Artifact, images: NDArray[np.uint8]) -> float:
    """Return by how much a file's logits and probabilities differ from PyTorch's, in a batch and one by one.

    Args:
        run: What `opened` returned.
        student: The student.
        images: Real examples, uint8 (images, height, width, channels), at least one.

    Raises:
        StageError: It is more than `TOLERANCE`, or not a number.
    """
    logits = network.predict(student, torch.from_numpy(images))
    expected = logits.numpy(), logits.softmax(dim=1).numpy()
    alone = [run(images[i : i + 1]) for i in range(min(len(images), 4))]
    found = [*zip(run(images), expected, strict=True)]
    found += [(one, all_[i : i + 1]) for i, row in enumerate(alone) for one, all_ in zip(row, expected, strict=True)]
    difference = max(float(np.abs(ours - theirs).max()) for ours, theirs in found)
    if not difference < TOLERANCE:
        raise StageError(f"what was exported must differ from PyTorch by less than {TOLERANCE:g}; got {difference:g}")
    return difference


def _torch_export(program: torch.export.ExportedProgram, description: Mapping[str, Json]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(description, ensure_ascii=False)})
    return buffer.getvalue()


def _onnx(program: torch.export.ExportedProgram, description: Mapping[str, Json]) -> bytes:
    import onnx  # noqa: PLC0415  # an extra

    made: Any = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=OUTPUTS, verbose=False)
    model = made.model_proto
    told = {METADATA: description, "class_names": description["class_names"]}
    onnx.helper.set_model_props(model, {name: json.dumps(value, ensure_ascii=False) for name, value in told.items()})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


_WRITERS = {"onnx": _onnx, "torch-export": _torch_export}

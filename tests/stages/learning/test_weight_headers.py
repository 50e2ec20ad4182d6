"""Whether a file is one of weights, without torch."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from stages.learning.errors import LearningError
from stages.learning.weight_headers import check

STATE = {"head.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}
TENSORS = save({name: tensor.numpy() for name, tensor in STATE.items()}, metadata={"format": "pt"})


def saved(**options):
    buffer = io.BytesIO()
    torch.save(STATE, buffer, **options)
    return buffer.getvalue()


def archive(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as whole:
        whole.writestr(name, b"")
    return buffer.getvalue()


def header(text):
    return struct.pack("<Q", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("name", "content", "tensors"),
    [
        ("net.safetensors", TENSORS, list(STATE)),
        ("none.safetensors", save({}), []),
        ("empty.safetensors", save({"none": np.zeros((0, 3))}), ["none"]),
        *((f"net{ending}", saved(), list(STATE)) for ending in (".pt", ".pth", ".bin")),
        ("old.pt", saved(_use_new_zipfile_serialization=False), list(STATE)),
    ],
)
def test_files_that_readers_read_are_taken(tmp_path, name, content, tensors):
    path = tmp_path / name
    path.write_bytes(content)
    check(path)
    read = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    assert sorted(read) == sorted(tensors)


SAFE = r"must be a whole file of safetensors; got "
OF_TORCH = r"must be a file that torch\.save wrote; got "


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.safetensors", b"", SAFE + "an empty file$"),
        ("net.safetensors", b"short", SAFE + "one that begins with b'short', damaged or of something else$"),
        ("net.safetensors", TENSORS[:-1], SAFE + "one that begins with"),
        ("net.safetensors", TENSORS + b"0", SAFE + "one that begins with"),
        ("net.safetensors", header("[]"), SAFE + "one that begins with"),
        ("net.safetensors", header("{"), SAFE + "one that begins with"),
        ("net.safetensors", header(json.dumps({"head.bias": {}})), SAFE + "one that begins with"),
        ("net.safetensors", header(json.dumps({"head.bias": 3})), SAFE + "one that begins with"),
        ("net.safetensors", saved(), SAFE + r"one that torch\.save wrote; did you mean to name it \.pt\?$"),
        ("net.pt", b"", OF_TORCH + "an empty file$"),
        ("net.pt", b"no weights", OF_TORCH + "one that begins with b'no weigh', damaged or of something else$"),
        ("net.pt", saved()[:-30], OF_TORCH + r"one that begins with b'PK"),
        ("net.pth", archive("word/document.xml"), OF_TORCH + r"one that begins with b'PK"),
        ("net.bin", TENSORS, OF_TORCH + r"safetensors; did you mean to name it \.safetensors\?$"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LearningError, match=message):
        check(tmp_path / name)


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(
        LearningError, match=r"net\.pt must be a file that can be read; got: No such file or directory$"
    ):
        check(tmp_path / "net.pt")


def test_archive_with_a_damaged_list_is_refused(tmp_path):
    content = bytearray(saved())
    start = content.rindex(b"PK\x01\x02")  # an entry of its list; the end record stays as it is
    content[start : start + 4] = b"0000"
    (tmp_path / "net.pt").write_bytes(content)
    assert zipfile.is_zipfile(tmp_path / "net.pt")
    with pytest.raises(LearningError, match=OF_TORCH + "one that begins with b'PK"):
        check(tmp_path / "net.pt")

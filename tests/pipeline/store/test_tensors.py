import copy
import json

import hypothesis.extra.numpy as strategies
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StoreError
from pipeline.store.tensors import MappedArrays, TensorBytes, read_header

DTYPES = ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8", ">f4", ">i8"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: strategies.arrays(dtype, strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


def written(arrays):
    return b"".join(TensorBytes(arrays))


def as_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=5), ARRAYS, max_size=4))
def test_tensors_come_back_as_they_were(arrays):
    data = written(arrays)
    back = MappedArrays(lambda: data)
    assert set(back) == set(arrays)
    assert len(back) == len(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype.newbyteorder("<")
        assert not back[name].flags.writeable
        np.testing.assert_array_equal(back[name], array)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), ARRAYS, max_size=4))
def test_tensors_are_what_the_safetensors_library_reads(arrays):
    arrays = {name: array.astype(array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    back = safetensors.numpy.load(written(arrays))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_tensors_read_what_the_safetensors_library_writes():
    arrays = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.ones(3, np.float64)}
    data = safetensors.numpy.save(arrays, metadata={"made": "elsewhere"})
    back = MappedArrays(lambda: data)
    assert {name: array.tolist() for name, array in back.items()} == {
        "a": [[0, 1, 2], [3, 4, 5]],
        "b": [1.0] * 3,
    }


def test_tensors_have_one_form_only():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(4, dtype=np.uint8)
    same = {"b": b, "a": np.asfortranarray(a).astype(">f8")}
    assert written({"a": a, "b": b}) == written(same)


def test_tensors_are_aligned_to_their_width():
    data = written({"a": np.ones(3, np.uint8), "b": np.ones(5, np.float64), "c": np.ones((), np.float32)})
    start = 8 + int.from_bytes(data[:8], "little")
    assert start % 64 == 0
    for entry in read_header(data).values():
        assert (start + entry["data_offsets"][0]) % {"U8": 1, "F64": 8, "F32": 4}[entry["dtype"]] == 0


def test_tensors_of_contiguous_arrays_are_not_copied():
    array = np.arange(10.0)
    _, chunk = TensorBytes({"a": array})
    assert np.shares_memory(np.frombuffer(chunk, np.float64), array)


def test_tensors_of_other_arrays_are_copied_piece_by_piece():
    array = np.arange(1_500_000, dtype=np.int32).reshape(1500, 1000).T
    chunks = list(TensorBytes({"a": array}))[1:]
    assert [len(chunk) for chunk in chunks] == [4 << 20, 6_000_000 - (4 << 20)]
    assert b"".join(chunks) == array.tobytes()


def test_tensors_refuse_all_that_cannot_be_written_at_once():
    arrays = {"a": [1, 2], "b": np.array(["x"]), "__metadata__": np.ones(2)}
    with pytest.raises(StoreError, match=r"'a' must be a numpy array; got list\n.*'b' must .*<U1\n.*'__metadata__'"):
        TensorBytes(arrays)


def test_mapped_arrays_ask_for_their_bytes_once_and_late():
    asked = []
    data = written({"a": np.arange(3)})
    arrays = MappedArrays(lambda: asked.append(1) or data)
    assert asked == []
    assert "MappedArrays" in repr(arrays)
    assert arrays["a"].sum() == arrays["a"].max() + 1 == 3
    assert "b" not in arrays
    assert asked == [1]
    assert copy.copy(arrays)["a"].tolist() == [0, 1, 2]
    assert asked == [1, 1]


ENTRY = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 20,
        as_file(b"{"),
        as_file(b"\xff\xfe"),
        as_file([1]),
        as_file({"a": {}}, b"ab"),
        as_file({"a": 1}, b"ab"),
        as_file({"a": ENTRY | {"dtype": "Q7"}}, b"ab"),
        as_file({"a": ENTRY | {"shape": ["2"]}}, b"ab"),
    ],
)
def test_read_header_refuses_what_is_not_safetensors(data):
    with pytest.raises(StoreError, match="must be safetensors; got"):
        read_header(data)


@pytest.mark.parametrize(
    ("entries", "data", "named"),
    [
        ({"a": ENTRY}, b"abc", "end at 2 of 3 bytes"),
        ({"a": ENTRY}, b"a", "end at 2 of 1 bytes"),
        ({"a": ENTRY | {"shape": [3]}}, b"abc", "a"),
        ({"a": ENTRY, "b": ENTRY}, b"ab", "b"),
        ({"a": ENTRY, "b": ENTRY | {"data_offsets": [3, 5]}}, b"abcde", "b, end at 4"),
        ({"a": ENTRY | {"shape": [-1, -2]}}, b"ab", "a"),
    ],
)
def test_read_header_refuses_misplaced_tensors(entries, data, named):
    with pytest.raises(StoreError, match=f"got misplaced {named}"):
        read_header(as_file(entries, data))

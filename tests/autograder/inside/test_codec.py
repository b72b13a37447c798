"""Plain data survives the pipe; anything else is refused, and no frame can do harm."""

import contextlib
import json
import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.inside.codec import MAX_BYTES, MAX_TREE, ProtocolError, decode, encode

ARRAYS = hnp.arrays(
    st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
              hnp.complex_number_dtypes()),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
DATA = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a, b) -> bool:
    """Equal in value and type; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype.newbyteorder("=") and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def native(value):
    """The arrays of a value in this machine's byte order, which the pipe does not keep."""
    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder("="))
    if isinstance(value, list | tuple):
        return type(value)(map(native, value))
    return {key: native(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(DATA)
def test_round_trip(value):
    assert same(native(value), native(decode(encode(value))))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_are_data(frame):
    with contextlib.suppress(ProtocolError):
        decode(frame)


@given(DATA, st.data())
def test_damaged_frames_are_refused_or_are_data(value, data):
    frame = bytearray(encode(value))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] = data.draw(st.integers(0, 255))
    for damaged in (bytes(frame), bytes(frame[:place]), bytes(frame) + b"x"):
        with contextlib.suppress(ProtocolError):
            decode(damaged)


def tree(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xff\xff\xff",
        tree("{}"),
        tree('{"tuple": [], "list": []}'),
        tree('{"unknown": 1}'),
        tree('{"float": "1e5"}'),
        tree('{"dict": [[{"dict": []}, 1]]}'),
        tree('{"array": ["numpy", "|O", [1]]}') + b"12345678",
        tree('{"array": ["numpy", "|V8", [1]]}') + b"12345678",
        tree('{"array": ["numpy", "<f8", [2]]}') + b"12345678",
        tree('{"array": ["numpy", "<f8", [-1]]}'),
        tree('{"array": ["numpy", "<f8", [1000000000000, 1000000000000]]}'),
        tree('{"array": ["numpy", "<f8,<f8", [1]]}') + b"0" * 16,
        tree("[" * 100_000),
        tree("null") + b"left over",
    ],
)
def test_hostile_frames_are_refused(frame):
    with pytest.raises(ProtocolError):
        decode(frame)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.bool, torch.uint8])
def test_tensors_arrive_as_tensors_or_as_arrays(dtype):
    tensor = torch.tensor([[0, 1, 1]]).to(dtype)
    there = decode(encode(tensor))
    assert isinstance(there, torch.Tensor) and there.dtype == dtype and torch.equal(there, tensor)
    back = decode(encode(tensor), torch_as_numpy=True)
    assert isinstance(back, np.ndarray) and back.dtype == tensor.numpy().dtype


def test_tensors_that_are_no_plain_arrays():
    needs_grad = torch.ones(2, requires_grad=True) * 2
    assert np.array_equal(decode(encode(needs_grad), torch_as_numpy=True), [2, 2])
    assert np.array_equal(decode(encode(torch.ones(1, dtype=torch.bfloat16)), torch_as_numpy=True), [1])
    assert np.array_equal(decode(encode(torch.tensor([1j]).conj()), torch_as_numpy=True), [-1j])
    with pytest.raises(ProtocolError, match="cannot become a plain array"):
        encode(torch.eye(2).to_sparse())


@pytest.mark.parametrize(
    "value, message",
    [
        (object(), "got a object"),
        ([{1, 2}], "got a set"),
        (len, "got a builtin_function_or_method"),
        (np.array(["a"]), "dtype <U1"),
        (np.array([None]), "dtype object"),
        ({(1, 2): 3}, "keys must be str or int, got tuple"),
        (np.zeros(MAX_BYTES // 8 + 1), "may be passed"),
    ],
)
def test_what_is_no_plain_data_is_named(value, message):
    with pytest.raises(ProtocolError, match=message):
        encode(value)


def test_a_list_that_holds_itself():
    endless = []
    endless.append(endless)
    with pytest.raises(ProtocolError, match="too deep"):
        encode(endless)


def test_a_decoded_array_can_be_written_to():
    array = decode(encode(np.zeros(2)))
    array[0] = 1
    assert array[0] == 1


def test_subclasses_of_numbers_arrive_as_numbers():
    class Odd(float):
        def __repr__(self):
            return "1e999"

    class Flag(int):
        def __str__(self):
            return "{}"

    assert decode(encode([Odd(0.5), Flag(3), Odd("nan")]))[:2] == [0.5, 3]


def tree(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


@pytest.mark.parametrize("dtype", [",", "(1,,)f8", "f8,f8", "|O", "<M8[s]", "S0", "f8", "", "(2,)f8", "<f8\n", ["f8"]])
def test_only_plain_names_of_types_are_read(dtype):
    with pytest.raises(ProtocolError):
        decode(tree(json.dumps({"array": ["numpy", dtype, [0]]}).encode()))


def test_lists_that_would_fill_gigabytes_are_not_read():
    bomb = b"[" + b"[]," * (MAX_TREE // 3) + b"0]"
    with pytest.raises(ProtocolError, match="more than 4,194,304 bytes of text and lists"):
        decode(tree(bomb))
    with pytest.raises(ProtocolError, match="use arrays"):
        encode([[]] * MAX_TREE)
    assert len(decode(encode(np.zeros(MAX_TREE)))) == MAX_TREE

"""The small packer and msgspec say the same, byte for byte."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.wire.pack import pack, unpack

TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=70_000)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(TEXT, inner, max_size=40),
    max_leaves=60,
)
WIDTHS = [
    value + step
    for bits in (5, 7, 8, 15, 16, 31, 32, 63)
    for value in (1 << bits, -(1 << bits))
    for step in (-1, 0, 1)
    if value + step >= -(1 << 63)
]


@given(VALUES)
def test_packed_values_equal_those_of_msgspec(value: Any) -> None:
    assert pack(value) == msgspec.msgpack.encode(value)


@given(VALUES)
def test_what_msgspec_packs_is_read_as_msgspec_reads_it(value: Any) -> None:
    data = msgspec.msgpack.encode(value)
    assert unpack(data) == msgspec.msgpack.decode(data) == value


@pytest.mark.parametrize("number", WIDTHS)
def test_integers_at_the_edges_of_their_widths(number: int) -> None:
    assert pack(number) == msgspec.msgpack.encode(number)
    assert unpack(pack(number)) == number


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_sizes_at_the_edges_of_their_widths(size: int) -> None:
    for value in ("a" * size, b"a" * size, [0] * size, {str(i): i for i in range(size)}):
        assert pack(value) == msgspec.msgpack.encode(value)
        assert unpack(pack(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        unpack(data)


@given(VALUES, st.data())
def test_a_message_cut_short_is_a_value_error(value: Any, data: st.DataObject) -> None:
    packed = pack(value)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(ValueError, match="not a message"):
        unpack(packed[:cut])


def test_what_follows_a_message_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="1 bytes too many"):
        unpack(pack(1) + b"\0")


def test_deep_nesting_is_a_value_error_and_not_a_crash() -> None:
    with pytest.raises(ValueError, match="too deep"):
        unpack(b"\x91" * 100_000 + b"\x00")


def test_what_has_no_form_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="cannot pack set"):
        pack({1, 2})

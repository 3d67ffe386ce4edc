"""Parcels come out as they went in, in whatever pieces they travel."""

import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.client.executor.parcels import Inbox, Kind, Parcel, pickled, unpickled, wrap

LARGE = 300_000  # bytes, more than is read at once
parts = st.lists(
    st.one_of(st.binary(max_size=40), st.integers(0, LARGE).map(lambda n: b"\xa5" * n)), max_size=4
)


def stream(sent: list[list[bytes]]) -> bytes:
    pieces = (wrap(Kind.CALL, number, parts) for number, parts in enumerate(sent))
    return b"".join(bytes(piece) for parcel in pieces for piece in parcel)


def read(data: bytes, sizes: Iterator[int]) -> list[Parcel]:
    inbox, view, found = Inbox(), memoryview(data), []
    while view:
        space = inbox.space()
        count = min(len(space), len(view), max(1, next(sizes, LARGE)))
        space[:count] = view[:count]
        view = view[count:]
        found += inbox.received(count)
    return found


@given(st.lists(parts, max_size=4), st.lists(st.integers(1, 3 * LARGE), max_size=30))
def test_parcels_come_out_as_they_went_in(sent: list[list[bytes]], sizes: list[int]) -> None:
    found = read(stream(sent), iter(sizes))
    assert [[bytes(part) for part in parcel.parts] for parcel in found] == sent
    assert [(parcel.kind, parcel.number) for parcel in found] == [
        (Kind.CALL, number) for number in range(len(sent))
    ]


def test_a_parcel_of_no_bytes_is_whole_with_its_head() -> None:
    assert read(stream([[], [b""]]), iter([1] * 100)) == [
        Parcel(Kind.CALL, 0, []),
        Parcel(Kind.CALL, 1, [b""]),
    ]


def test_more_parts_than_any_of_ours_has_are_refused() -> None:
    data = wrap(Kind.CALL, 1, [b""] * 5_000)[0]
    with pytest.raises(ValueError, match="5000 parts"):
        read(bytes(data), iter([LARGE]))


def test_buffers_travel_beside_the_pickle_and_are_not_copied_into_it() -> None:
    buffer = pickle.PickleBuffer(bytearray(b"x" * LARGE))
    sent = pickled([buffer, 1])
    assert [len(part) for part in sent[1:]] == [LARGE]
    assert unpickled(sent) == [bytearray(b"x" * LARGE), 1]


def test_an_object_of_very_many_buffers_becomes_one_part() -> None:
    sent = pickled([pickle.PickleBuffer(bytearray(b"x")) for _ in range(5_000)])
    assert len(sent) == 1
    assert unpickled(sent) == [bytearray(b"x")] * 5_000

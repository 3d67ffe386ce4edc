"""What a starter packs by itself is what every reader of MessagePack takes for the same."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.agent.rows import pack_progress
from ostler.model.limits import MAX_ELEMENT
from ostler.model.orders import Progress
from ostler.wire.pack import pack, unpack

NUMBERS = st.integers(0, MAX_ELEMENT)
TIMES = st.floats(0, 2e9)
SIZES = st.integers(0, 2**50)
USAGE = st.tuples(TIMES, TIMES, SIZES, SIZES, SIZES, TIMES).map(list)
TASKS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 255), st.integers(0, 64)).map(list), max_size=2
)
ROWS = st.tuples(
    NUMBERS, NUMBERS, st.none() | TIMES, TIMES, st.sampled_from(["", "timeout"]), st.text(), TASKS,
    USAGE,
).map(list)  # fmt: skip


def message(rows: list[list[object]]) -> dict[str, object]:
    return {
        "type": "progress", "alloc": 7, "serial": 3, "ended": rows, "returned": [[1, 2]],
        "left": 5, "running": 4, "attempt": 2, "since": 1.5,
    }  # fmt: skip


@given(st.lists(ROWS, max_size=20))
def test_rows_of_any_shape_are_read_as_they_are(rows: list[list[object]]) -> None:
    packed = pack_progress(message(rows))
    assert unpack(packed) == message(rows)
    assert msgspec.msgpack.decode(packed, type=Progress) == msgspec.msgpack.decode(
        pack(message(rows)), type=Progress
    )


@pytest.mark.parametrize("code", [-1, 2**31 - 1])
def test_a_plain_row_holds_any_status(code: int) -> None:
    row = [0, 1, 1.0, 2.0, "", "", [[0, code, 0]], [0.0, 0.0, 0, 0, 0, 0.0]]
    assert unpack(pack_progress(message([row])))["ended"] == [row]

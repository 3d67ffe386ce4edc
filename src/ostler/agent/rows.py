"""Packs what a slot tells of its elements: nearly all rows have one shape, so one call packs one.

The bytes are MessagePack as any reader takes it; numbers are only wider than they need to be.
"""

import struct

from ostler.wire.pack import pack

# [index, attempt, started_at, at, "", "", [[0, code, signal]], [6 numbers]]: each value behind the
# byte that names its type; in between the two texts and the beginnings of the inner lists.
_PLAIN = struct.Struct(">HIBIBdBd6siBiHdBdBQBQBQBd")
_LIST_U32, _U32, _F64, _I32, _U64, _LIST_F64 = 0x98CE, 0xCE, 0xCB, 0xD2, 0xCF, 0x96CB
_TEXTS_AND_TASK = b"\xa0\xa0\x91\x93\x00\xd2"


def pack_row(row: list[object]) -> bytes:
    """Return one `ElementEnd` of `model.orders`, packed."""
    match row:
        case [
            index, attempt, float(started), at, "", "", [[0, code, signum]],
            [user, system, memory, read, written, stood],
        ]:  # fmt: skip
            return _PLAIN.pack(
                _LIST_U32, index, _U32, attempt, _F64, started, _F64, at, _TEXTS_AND_TASK, code,
                _I32, signum, _LIST_F64, user, _F64, system, _U64, memory, _U64, read, _U64,
                written, _F64, stood,
            )  # fmt: skip
        case _:
            return pack(row)


def pack_progress(message: dict[str, object]) -> bytes:
    """Return a `Progress`, packed: the rows as they come out of `pack_row`."""
    rows = message["ended"]
    packed = [pack_row(row) for row in rows] if isinstance(rows, list) else []
    rest = {key: value for key, value in message.items() if key != "ended"}
    head = pack(rest)
    return b"".join([bytes((head[0] + 1,)), head[1:], _ENDED, _list(len(packed)), *packed])


_ENDED = pack("ended")


def _list(size: int) -> bytes:
    """Return the beginning of a list of so many values."""
    return struct.pack(">BI", 0xDD, size)

"""Parcels between an executor and its workers: a kind, a number, and parts of any size.

No I/O: the owner reads into `Inbox.space()` and says how much came, so that a part of hundreds of
megabytes goes straight to where it stays. On the wire: kind (1 byte), number (8), count of parts
(4), the size of each part (8), then the parts; little-endian.
"""

import pickle
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

Part = bytes | bytearray | memoryview

_HEAD = struct.Struct("<BQI")
_MOST_PARTS = 4_096  # of one parcel; an object with more buffers is pickled into one
_WINDOW = 1 << 17  # bytes read at once; larger parts go around it


class Kind(IntEnum):
    """What a parcel is."""

    HELLO = 1  # worker: whose it is, as `JOB ELEMENT`
    SETUP = 2  # executor: search path, initializer
    READY = 3  # worker: set up
    CALL = 4  # executor: a function and its arguments
    RESULT = 5  # worker: what it returned
    ERROR = 6  # worker: what it raised: the traceback as text, then the exception
    BYE = 7  # executor: nothing more will come


class Parcel(NamedTuple):
    """One message."""

    kind: int
    number: int
    parts: Sequence[Part]


def wrap(kind: Kind, number: int, parts: Sequence[Part]) -> list[Part]:
    """Return the pieces to send, in order; large parts are not copied."""
    sizes = [len(part) for part in parts]
    head = _HEAD.pack(kind, number, len(parts)) + struct.pack(f"<{len(parts)}Q", *sizes)
    if sum(sizes) < _WINDOW:
        return [head + b"".join(parts)]
    return [head, *parts]


def pickled(value: object, dumps: Any = pickle.dumps) -> list[Part]:
    """Return a value as parts: the pickle, then its buffers. dumps: that of pickle or cloudpickle.

    Raises whatever pickling raises.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        first = dumps(value, protocol=5, buffer_callback=buffers.append)
        if len(buffers) < _MOST_PARTS:
            return [first, *(buffer.raw() for buffer in buffers)]
    except BufferError:  # a buffer that is not contiguous
        pass
    return [dumps(value, protocol=5)]


def unpickled(parts: Sequence[Part]) -> Any:
    """Return the value of `pickled`. Only ever in a process of the user whose value it is."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - see above


class Inbox:
    """Puts parcels together from what is read."""

    __slots__ = ("_end", "_filled", "_head", "_large", "_start", "_window")

    def __init__(self) -> None:
        self._window = memoryview(bytearray(_WINDOW))
        self._start = self._end = 0  # what is read and not yet taken
        self._head: tuple[int, int] | None = None  # kind and number of a parcel with large parts
        self._large: list[bytearray] = []
        self._filled: list[int] = []  # bytes of each large part that are here

    def space(self) -> memoryview:
        """Return where the next bytes are to be read to; never empty."""
        for part, filled in zip(self._large, self._filled, strict=True):
            if filled < len(part):
                return memoryview(part)[filled:]
        if self._start:  # what is left of a parcel goes to the front, so that all of it has room
            rest = bytes(self._window[self._start : self._end])
            self._window[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        return self._window[self._end :]

    def received(self, count: int) -> list[Parcel]:
        """Take in so many bytes that were read to `space()`; return the parcels that are whole."""
        done: list[Parcel] = []
        if self._head is not None:
            self._fill(count)
        else:
            self._end += count
        while (parcel := self._next()) is not None:
            done.append(parcel)
        return done

    def _fill(self, count: int) -> None:
        for place, part in enumerate(self._large):
            if self._filled[place] < len(part):
                self._filled[place] += count
                return

    def _next(self) -> Parcel | None:
        if self._head is not None:
            if any(f < len(part) for f, part in zip(self._filled, self._large, strict=True)):
                return None
            parcel = Parcel(*self._head, self._large)
            self._head, self._large, self._filled = None, [], []
            return parcel
        at = self._start + _HEAD.size
        if self._end < at:
            return None
        kind, number, count = _HEAD.unpack_from(self._window, self._start)
        if count > _MOST_PARTS:
            raise ValueError(f"a parcel of {count} parts is none of ours")
        if self._end < at + 8 * count:
            return None
        sizes = struct.unpack_from(f"<{count}Q", self._window, at)
        at += 8 * count
        if at - self._start + sum(sizes) > _WINDOW:
            self._begin((kind, number), sizes, at)
            return self._next()
        if self._end < at + sum(sizes):
            return None
        parts: list[Part] = []
        for size in sizes:
            parts.append(bytes(self._window[at : at + size]))
            at += size
        self._start = at
        return Parcel(kind, number, parts)

    def _begin(self, head: tuple[int, int], sizes: Sequence[int], at: int) -> None:
        """Make room for large parts, with what of them is in the window."""
        self._head = head
        self._large = [bytearray(size) for size in sizes]
        self._filled = []
        for part in self._large:
            have = min(len(part), self._end - at)
            part[:have] = self._window[at : at + have]
            self._filled.append(have)
            at += have
        self._start = at

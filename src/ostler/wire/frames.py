"""Frames: four bytes of length, big-endian, then one MessagePack value. No I/O here."""

from ostler.model.limits import MAX_FRAME


def frame(payload: bytes, most: int = MAX_FRAME) -> bytes:
    """Return the payload with its length before it; raise ValueError if it is too long."""
    if len(payload) > most:
        msg = f"a message of {len(payload)} bytes is too long; the most is {most}"
        raise ValueError(msg)
    return len(payload).to_bytes(4, "big") + payload


class Splitter:
    """Cuts a stream of bytes into payloads, whatever the pieces it comes in."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def size(self) -> int:
        """Return the bytes of the payload that is not complete."""
        return len(self._buffer)

    @property
    def pending(self) -> bool:
        """Say whether a payload has begun that is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Return the payloads that are now complete; raise ValueError at an over-long one."""
        buffer = self._buffer
        buffer += data
        done: list[bytes] = []
        at = 0
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > self._limit:
                msg = f"a message of {size} bytes is too long; the most is {self._limit}"
                raise ValueError(msg)
            if len(buffer) - at - 4 < size:
                break
            done.append(bytes(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        if at:
            del buffer[:at]
        return done

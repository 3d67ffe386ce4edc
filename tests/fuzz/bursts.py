"""Bursts: what hostile peers send over several connections, down to the single byte."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from typing import NamedTuple

import msgspec
from hypothesis import strategies as st

from ostler.model.limits import MAX_FRAME
from ostler.wire.frames import frame
from tests.fuzz.values import Value

SEED = int(os.environ.get("OSTLER_SEED", "0"))
QUIET = 0.1  # seconds without an answer after which we have heard all
ENOUGH = 0.5  # seconds of answers that do not end: news of other people's jobs, say
PATIENCE = 20.0  # seconds in which a door must be done with a peer that has ended


class Poke(NamedTuple):
    """One connection: what is sent over it, in which pieces, and how it ends."""

    pieces: tuple[bytes, ...]
    ending: str  # read: to its end; slam: closed at once, unread; linger: open to the burst's end
    descriptors: int = 0  # that come with the first piece

    def __repr__(self) -> str:
        """Return what a person can take in; `told` keeps every byte."""
        sizes = "+".join(str(len(piece)) for piece in self.pieces)
        return f"Poke({sizes} bytes, {self.ending}, {self.descriptors})"


@contextmanager
def told(burst: Sequence[Poke]) -> Iterator[None]:
    """Keep the bytes of a burst that breaks something, and say where they are."""
    try:
        yield
    except Exception as error:
        with tempfile.NamedTemporaryFile(
            prefix="ostler-burst-", suffix=".msgpack", delete=False
        ) as file:
            file.write(msgspec.msgpack.encode(list(map(tuple, burst))))
        error.add_note(f"the bytes of the burst are in {file.name}; its seed is {SEED}")
        raise


def messages(values: Value) -> st.SearchStrategy[bytes]:
    """Return frames of such values; most as they are, some with a few bytes changed or cut."""
    whole = values.map(_framed)
    return whole | whole | whole | st.builds(_mutated, whole, st.randoms(use_true_random=False))


def noise() -> st.SearchStrategy[bytes]:
    """Return bytes that are no frame, or whose length lies."""
    lengths = st.sampled_from([0, 1, 5, 4 << 20, MAX_FRAME, MAX_FRAME + 1, 2**31, 2**32 - 1])
    lying = st.builds(lambda n, tail: n.to_bytes(4, "big") + tail, lengths, st.binary(max_size=40))
    deep = st.sampled_from([b"\x91", b"\x81\xa1a", b"\xdc\x00\x01"]).map(lambda one: one * 5_000)
    return st.binary(max_size=60) | lying | st.binary(max_size=60).map(frame) | deep.map(frame)


def _framed(value: object) -> bytes:
    """Return a frame; unlike `wire.frames.frame` of any length."""
    data = msgspec.msgpack.encode(value)
    return len(data).to_bytes(4, "big") + data


def _mutated(data: bytes, rng: object) -> bytes:
    """Return a frame with one byte changed, one cut out, a piece doubled, or its tail cut off."""
    draw: Callable[[int, int], int] = rng.randint  # type: ignore[attr-defined]
    at = draw(0, len(data) - 1)
    match draw(0, 4):
        case 0:
            return data[:at] + bytes([draw(0, 255)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + 1 :]
        case 2:
            return data[: at + 1] + data[max(0, at - 8) :]
        case 3:
            return data[:at]
        case _:  # the right length around a changed body
            body = data[4 : 4 + at] + bytes([draw(0, 255)]) + data[5 + at :]
            return frame(body)


def pokes(
    frames: st.SearchStrategy[bytes],
    descriptors: Sequence[int] = (0,),
    opening: st.SearchStrategy[bytes] | None = None,
) -> Value:
    """Return connections that send some frames and noise, cut anywhere; `opening` before them."""
    parts = st.lists(frames | frames | frames | noise(), min_size=1, max_size=6).map(b"".join)
    if opening is not None:
        parts = st.builds(bytes.__add__, opening, parts)
    cuts = st.lists(st.floats(0, 1), max_size=4).map(sorted)
    return st.builds(
        Poke,
        st.builds(_cut, parts, cuts),
        st.sampled_from(["read", "read", "slam", "linger"]),
        st.sampled_from(list(descriptors)),
    )


def _cut(data: bytes, places: list[float]) -> tuple[bytes, ...]:
    at = [0, *(int(place * len(data)) for place in places), len(data)]
    return tuple(data[a:b] for a, b in pairwise(at))


def send_all(burst: Sequence[Poke], dial: Callable[[], socket.socket]) -> None:
    """Send one burst; fail if a connection is not ended by the other side after we ended ours."""
    with ExitStack() as lingering, open("/dev/null", "r+b") as null:
        for poke in burst:
            sock = dial()
            sock.settimeout(PATIENCE)
            send(sock, poke.pieces, [null.fileno()] * poke.descriptors)
            if poke.ending == "linger":
                lingering.enter_context(sock)
                continue
            if poke.ending == "read":
                read_to_end(sock)
            sock.close()


def send(sock: socket.socket, pieces: Sequence[bytes], descriptors: Sequence[int] = ()) -> None:
    """Send in pieces, each by a call of its own; the other side may have hung up by then."""
    with suppress(BrokenPipeError, ConnectionResetError):
        for number, piece in enumerate(pieces):
            if piece and descriptors and number == 0:
                socket.send_fds(sock, [piece], list(descriptors))
            else:
                sock.sendall(piece)


def read_to_end(sock: socket.socket) -> bytes:
    """Return all that comes; end our side when nothing more does, and wait for the other to end.

    Not at once: a door drops the questions of somebody who has gone before it looks at them.
    """
    parts: list[bytes] = []
    began = time.monotonic()
    with suppress(TimeoutError, ConnectionResetError):
        sock.settimeout(QUIET)
        while (data := sock.recv(1 << 18)) and time.monotonic() - began < ENOUGH:
            parts.append(data)
    sock.settimeout(PATIENCE)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    try:
        while data := sock.recv(1 << 18):
            parts.append(data)
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise AssertionError("the door keeps a connection whose peer has ended") from None
    return b"".join(parts)

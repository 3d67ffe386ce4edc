"""What a relay holds on its way: labels, acknowledgements, and input for several tasks."""

import os
from collections.abc import Iterator

import pytest

from ostler.agent.relay_ends import LONGEST_LINE, Held, Input, Source
from ostler.wire.frames import Splitter
from ostler.wire.pack import unpack
from ostler.wire.streams import WINDOW


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe, which never waits."""
    out, into = os.pipe2(os.O_NONBLOCK)
    yield out, into
    for fd in (out, into):
        try:
            os.close(fd)
        except OSError:
            continue  # the test did


def sent(held: Held) -> list[tuple[int, bytes]]:
    """Return what a client is sent, as far as it was not yet."""
    found = []
    while not held.is_sent:
        [payload] = Splitter().feed(held.next_frame())
        message = unpack(payload)
        found.append((message["stream"], message["data"]))
    return found


@pytest.mark.parametrize(
    ("writes", "reads", "rest"),
    [
        ([b"one\ntwo\n"], [b"7: one\n7: two\n"], b""),
        ([b"o", b"ne\nt", b"wo"], [b"", b"7: one\n", b""], b"7: two\n"),
        ([b"\n\n"], [b"7: \n7: \n"], b""),
        ([b"\xff\x00\r\n"], [b"7: \xff\x00\r\n"], b""),
    ],
)
def test_only_whole_lines_get_a_label(
    pipe: tuple[int, int], writes: list[bytes], reads: list[bytes], rest: bytes
) -> None:
    source = Source(pipe[0], 1, b"7: ")
    found = []
    for data in writes:
        os.write(pipe[1], data)
        found.append(source.read())
    assert found == reads
    assert source.rest() == rest


def test_a_line_without_end_is_cut_before_it_grows(pipe: tuple[int, int]) -> None:
    source = Source(pipe[0], 1, b"7: ")
    os.write(pipe[1], b"x" * (LONGEST_LINE - 1))
    assert source.read() == b""
    os.write(pipe[1], b"yz\n")
    told = source.read() or b""
    assert told == b"7: " + b"x" * (LONGEST_LINE - 1) + b"yz\n"
    os.write(pipe[1], b"x" * (LONGEST_LINE - 1))
    assert source.read() == b""
    os.write(pipe[1], b"yz")
    assert source.read() == b"7: " + b"x" * (LONGEST_LINE - 1) + b"y\n"
    assert source.rest() == b"7: z\n"


def test_what_is_not_acknowledged_comes_again_to_the_next_client() -> None:
    held = Held()
    held.put(1, b"abcdef")
    held.put(2, b"xy")
    assert sent(held) == [(1, b"abcdef"), (2, b"xy")]
    held.acknowledge(4)
    held.rewind()
    assert sent(held) == [(1, b"ef"), (2, b"xy")]
    held.acknowledge(4)
    assert (held.size, held.is_sent) == (0, True)


def test_an_acknowledgement_of_what_was_not_sent_makes_no_room() -> None:
    held = Held()
    held.put(1, b"x" * WINDOW)
    with pytest.raises(ValueError, match="was not sent"):
        held.acknowledge(1 << 31)
    assert held.is_full
    sent(held)
    with pytest.raises(ValueError, match="was not sent"):
        held.acknowledge(1 << 31)
    held.put(1, b"x" * WINDOW)
    assert held.is_full


def test_many_short_pieces_are_put_together() -> None:
    held = Held()
    for count in range(3):
        for _ in range(20_000):
            held.put(1, b"x")
        held.put(2, b"y")
        assert held.size == (count + 1) * 20_001
    told = sent(held)
    assert len(told) < 60
    assert b"".join(data for stream, data in told if stream == 1) == b"x" * 60_000
    held.acknowledge(1)
    held.put(2, b"z")  # behind what was sent, never into it
    assert sent(held) == [(2, b"z")]


def test_nobody_acknowledges_what_was_not_sent() -> None:
    held = Held()
    held.put(1, b"abc")
    with pytest.raises(ValueError, match="not sent"):
        held.acknowledge(1)


def test_the_slowest_reader_sets_the_pace() -> None:
    entry = Input(is_terminal=False)
    pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(2)]
    fast, slow = (entry.add(into) for _, into in pipes)
    entry.put(b"a" * WINDOW)
    with pytest.raises(ValueError, match="more input"):
        entry.put(b"b")
    entry.write(slow)
    entry.write(fast)
    first = entry.trim()
    assert 0 < first < WINDOW
    while entry.waits(fast):
        os.read(pipes[0][0], WINDOW)
        assert entry.write(fast)
    assert entry.trim() == 0
    os.read(pipes[1][0], WINDOW)
    entry.write(slow)
    assert entry.trim() > 0
    for fd in (fd for pair in pipes for fd in pair):
        os.close(fd)


def test_a_reader_that_has_gone_is_closed() -> None:
    entry = Input(is_terminal=False)
    out, into = os.pipe2(os.O_NONBLOCK)
    sink = entry.add(into)
    os.close(out)
    entry.put(b"x")
    assert not entry.write(sink)
    os.close(into)


def test_the_end_of_input_closes_a_pipe_and_is_a_character_for_a_terminal() -> None:
    for is_terminal, wanted, stays in ((False, b"x", False), (True, b"x\x04", True)):
        entry = Input(is_terminal=is_terminal)
        out, into = os.pipe2(os.O_NONBLOCK)
        sink = entry.add(into)
        entry.put(b"x")
        entry.end()
        assert entry.write(sink) is stays
        assert os.read(out, 10) == wanted
        os.close(out)
        os.close(into)

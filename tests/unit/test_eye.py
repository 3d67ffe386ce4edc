"""What the manager's eye makes of what it meets at a node's road, over real sockets."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from ostler.manager import eye
from ostler.manager.eye import LINES, Eye
from ostler.model.sight import NO_AGENT, NOBODY, Alive, Probe, Seen
from ostler.wire.address import listen
from ostler.wire.frames import Splitter, frame

ALIVE = Alive("n1", "boot", "first", 3, connected=True)
LONG, SHORT = 30.0, 0.01  # seconds: the short one where nobody is to answer
Answer = Callable[[bytes], bytes | None]  # None: it closes


def seen_at(folder: Path, answer: Answer | None, *, road: str = "lines/n1") -> Seen | None:
    """Return what a look at n1 finds where this answers; answer None: it takes and says nothing."""
    os.makedirs(folder / LINES, exist_ok=True)
    sock = listen(str(folder / road), 0o600)
    sock.setblocking(True)
    thread = Thread(target=_serve, args=(sock, answer))
    thread.start()
    try:
        return asyncio.run(look(folder, SHORT if answer is None else LONG))
    finally:
        sock.shutdown(socket.SHUT_RDWR)  # wakes the thread, which ends
        thread.join()
        sock.close()


def _serve(sock: socket.socket, answer: Answer | None) -> None:
    with ExitStack() as taken:
        while True:
            try:
                link, _ = sock.accept()
            except OSError:
                return
            taken.enter_context(link)
            if answer is not None:
                for payload in Splitter().feed(link.recv(4096)):
                    link.sendall(answer(payload) or b"")
                link.close()


async def look(folder: Path, patience: float = LONG) -> Seen | None:
    found: asyncio.Future[Seen | None] = asyncio.get_running_loop().create_future()
    mine = Eye(str(folder))
    mine.look("n1", patience, found.set_result)
    seen = await asyncio.wait_for(found, 30)
    mine.close()
    return seen


def well(payload: bytes) -> bytes:
    assert msgspec.msgpack.decode(payload) == {"type": "probe"}
    return frame(msgspec.msgpack.encode(ALIVE))


@pytest.mark.parametrize("road", ["lines/n1", "agent.sock"])
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (well, Seen(reached=True, alive=ALIVE)),
        (None, NO_AGENT),
        (lambda _: None, NO_AGENT),
        (lambda _: frame(b"\xc1"), NO_AGENT),
        (lambda _: frame(msgspec.msgpack.encode(Probe())), NO_AGENT),
        (lambda _: (1 << 31).to_bytes(4, "big"), NO_AGENT),
    ],
)
def test_an_answer_of_the_agent_is_told_from_one_of_its_host(
    tmp_path: Path, road: str, answer: Answer | None, found: Seen
) -> None:
    assert seen_at(tmp_path, answer, road=road) == found


def test_who_is_not_there_is_unreachable_at_a_line_and_only_the_agent_is_on_this_host(
    tmp_path: Path,
) -> None:
    assert asyncio.run(look(tmp_path)) == NO_AGENT  # no line: it is on this host, which is here
    os.mkdir(tmp_path / LINES)
    os.symlink("../line", tmp_path / LINES / "n1")
    assert asyncio.run(look(tmp_path)) == NOBODY  # cut
    listen(str(tmp_path / "line"), 0o600).close()
    assert asyncio.run(look(tmp_path)) == NOBODY  # refused: nobody has that host's line


def test_a_host_that_goes_while_it_is_looked_at_is_not_said_to_answer(tmp_path: Path) -> None:
    os.mkdir(tmp_path / LINES)

    def gone(_: bytes) -> None:
        os.unlink(tmp_path / LINES / "n1")
        os.symlink("nowhere", tmp_path / LINES / "n1")

    assert seen_at(tmp_path, gone) == NOBODY


def test_more_callers_than_are_taken_are_no_outage(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "agent.sock"))
    sock.listen(0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(str(tmp_path / "agent.sock"))
        assert asyncio.run(look(tmp_path)) == NO_AGENT
    sock.close()


def test_a_trouble_of_our_own_is_no_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> socket.socket:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(eye, "dial", full)
    assert asyncio.run(look(tmp_path)) is None

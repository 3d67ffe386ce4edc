"""Connections: whole frames, bounded queues, descriptors beside the frame they came with."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from pathlib import Path

import pytest

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_FRAME
from ostler.wire.address import dial, listen
from ostler.wire.conn import WRITE_BOUND, Budget, Connection, Listener, connect
from ostler.wire.frames import frame


def run(story: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 30))


def pair(
    write_bound: int = WRITE_BOUND, frame_limit: int = MAX_FRAME
) -> tuple[Connection, Connection]:
    left, right = socket.socketpair()
    here = Connection(left, write_bound=write_bound, frame_limit=frame_limit)
    return here, Connection(right, descriptors=True)


def read_all(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_frames_arrive_whole_and_in_order_whatever_their_size() -> None:
    async def story() -> None:
        here, there = pair()
        sent = [b"", b"a", b"b" * 3_000_000, b"c" * 70_000, b"d"]
        for payload in sent:
            here.send(payload)
        assert [await anext(there) for _ in sent] == sent
        here.close()
        there.close()

    run(story())


def test_iteration_ends_when_the_other_side_closes_and_says_why() -> None:
    async def story() -> None:
        here, there = pair()
        here.send(b"last words")
        here.close()
        assert [payload async for payload in there] == [b"last words"]
        assert there.closed
        assert "closed" in there.reason
        there.send(b"into the void")

    run(story())


def test_the_kernel_says_who_is_on_the_other_side() -> None:
    async def story() -> None:
        here, there = pair()
        assert there.peer == (os.getpid(), os.getuid(), os.getgid())
        here.close()
        there.close()

    run(story())


def test_a_peer_that_does_not_read_is_dropped_at_the_bound() -> None:
    async def story() -> None:
        here, there = pair(write_bound=1 << 20)
        sent = 0
        while not here.closed:
            here.send(b"x" * 100_000)
            sent += 1
            assert sent < 100
        assert "too slow" in here.reason
        there.close()

    run(story())


def test_a_frame_over_the_limit_is_refused_and_can_still_be_answered() -> None:
    async def story() -> None:
        here, there = pair(frame_limit=10)
        there.send(b"x" * 11)
        with pytest.raises(UsageError, match="11 bytes is too long; the most is 10"):
            await anext(here)
        here.send(b"no")
        assert await anext(there) == b"no"
        here.close()
        there.close()

    run(story())


def test_reading_stops_while_nobody_takes_what_was_read() -> None:
    async def story() -> None:
        here, there = pair(write_bound=4 << 20)
        for _ in range(40):
            here.send(b"y" * 500_000)
            await asyncio.sleep(0)  # a turn in which the other side could read
        assert "too slow" in here.reason
        assert [len(payload) async for payload in there][:2] == [500_000, 500_000]
        there.close()

    run(story())


def test_descriptors_come_with_the_frame_they_were_sent_with() -> None:
    async def story() -> None:
        here, there = pair()
        ends = []
        for index in range(3):
            readable, writable = os.pipe()
            os.write(writable, str(index).encode())
            os.close(writable)
            ends.append(readable)
        here.send(b"plain")
        here.send(b"z" * 400_000, ends[:1])
        here.send(b"plain")
        here.send(b"two", ends[1:])
        for fd in ends:
            os.close(fd)
        got = []
        for _ in range(4):
            await anext(there)
            fds = there.take_descriptors()
            assert not any(os.get_inheritable(fd) for fd in fds)
            got.append([read_all(fd) for fd in fds])
        assert got == [[], [b"0"], [], [b"1", b"2"]]
        here.close()
        there.close()

    run(story())


def test_descriptors_nobody_takes_are_closed() -> None:
    async def story() -> None:
        here, there = pair()
        readable, writable = os.pipe()
        here.send(b"with", [writable])
        here.send(b"without")
        os.close(writable)
        await anext(there)
        await anext(there)
        assert os.read(readable, 1) == b""  # end of file: no writer is left
        os.close(readable)
        here.close()
        there.close()

    run(story())


def test_descriptors_are_not_received_unless_asked_for() -> None:
    async def story() -> None:
        left, right = socket.socketpair()
        here = Connection(right)
        readable, writable = os.pipe()
        socket.send_fds(left, [frame(b"take this")], [writable])
        os.close(writable)
        assert await anext(here) == b"take this"
        assert here.take_descriptors() == []
        assert os.read(readable, 1) == b""
        os.close(readable)
        left.close()
        here.close()

    run(story())


def test_a_listener_hands_out_a_connection_for_each_client(tmp_path: Path) -> None:
    async def story() -> None:
        folder = tmp_path / ("deep" * 30)
        folder.mkdir()
        path = str(folder / "sock")
        accepted: asyncio.Queue[Connection] = asyncio.Queue()
        listener = Listener(listen(path, 0o600), accepted.put_nowait)
        one, two = connect(path), connect(path)
        one.send(b"first")
        two.send(b"second")
        servers = [await accepted.get(), await accepted.get()]
        assert {await anext(server) for server in servers} == {b"first", b"second"}
        for connection in (one, two, *servers):
            connection.close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            dial(path)

    run(story())


def test_unfinished_messages_of_one_user_are_bounded_over_all_connections() -> None:
    budget = Budget(1000)
    assert budget.change(4711, 900)
    assert not budget.change(4711, 200)
    assert budget.change(4712, 900)
    assert budget.change(4711, -200)
    assert budget.change(os.geteuid(), 1 << 40)


def test_what_waits_is_counted_until_it_is_taken_or_the_connection_ends() -> None:
    counted: list[int] = []

    class Counting(Budget):
        def change(self, uid: int, by: int) -> bool:
            counted.append(by)
            return sum(counted) < 1000

    async def story() -> str:
        ours, theirs = socket.socketpair()
        connection = Connection(ours, budget=Counting())
        theirs.sendall(frame(b"x" * 300))
        assert await anext(connection) == b"x" * 300
        assert sum(counted) == 0
        theirs.sendall((5000).to_bytes(4, "big") + b"x" * 2000)
        with pytest.raises(StopAsyncIteration):
            await anext(connection)
        theirs.close()
        return connection.reason

    assert "too many bytes" in asyncio.run(story())
    assert sum(counted) == 0


def test_what_is_flushed_leaves_before_the_turn_of_the_loop_ends() -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        connection = Connection(ours)
        connection.send(b"one")
        connection.send(b"two")
        connection.flush()
        assert theirs.recv(100) == frame(b"one") + frame(b"two")
        connection.send(b"three")
        await asyncio.sleep(0)
        assert theirs.recv(100) == frame(b"three")
        connection.close()
        connection.flush()
        theirs.close()

    run(story())


def test_a_payload_is_offered_at_once_when_it_is_alone_and_order_is_kept() -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair()
        connection = Connection(ours)
        offered: list[bytes] = []
        iterated: list[bytes] = []

        def take(payload: bytes) -> bool:
            if payload == b"no":
                return False
            if payload == b"bad":
                raise UsageError("it makes no sense")
            offered.append(payload)
            here.set()
            return True

        async def serve() -> None:
            async for payload in connection:
                iterated.append(payload)
                here.set()

        here = asyncio.Event()
        connection.offer(take)
        task = asyncio.get_running_loop().create_task(serve())
        await asyncio.sleep(0)
        theirs.sendall(frame(b"alone"))
        await here.wait()
        here.clear()
        theirs.sendall(frame(b"two") + frame(b"together"))
        await here.wait()
        here.clear()
        theirs.sendall(frame(b"no"))
        await here.wait()
        assert (offered, iterated) == ([b"alone"], [b"two", b"together", b"no"])
        theirs.sendall(frame(b"bad"))
        with pytest.raises(UsageError, match="makes no sense"):
            await task
        connection.close()
        theirs.close()

    run(story())

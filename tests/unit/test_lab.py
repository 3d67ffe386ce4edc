"""A lab without processes: its names, and the line between a node and its manager."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ostler.model.errors import OstlerError
from ostler.testing.lab import Lab, Sizes, node_names
from ostler.testing.lab_host import Line
from ostler.wire.address import dial, listen

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Ends:
    """Both ends of a line over real sockets."""

    def __init__(self, folder: Path) -> None:
        self.near, self.far = str(folder / "near"), str(folder / "far")
        self.line = Line(self.far)
        self.accepted: asyncio.Queue[Stream] = asyncio.Queue()
        self.servers: list[asyncio.Server] = []
        self.streams: list[Stream] = []

    def _accept(self, *ends: Any) -> None:
        self.streams.append(ends)
        self.accepted.put_nowait(self.streams[-1])

    async def open(self) -> None:
        """Let the manager's end listen, and the node's."""
        for path, serve in ((self.far, self._accept), (self.near, self.line.carry)):
            server = await asyncio.start_unix_server(serve, sock=listen(path, 0o600))
            self.servers.append(server)

    async def connect(self) -> Stream:
        """Return a new connection of the node."""
        self.streams.append(await asyncio.open_unix_connection(sock=dial(self.near)))
        return self.streams[-1]

    async def close(self) -> None:
        """Close all that a story has left open."""
        for server in self.servers:
            server.close()
        for _, writer in self.streams:
            writer.close()
        await turns()


def play(folder: Path, story: Callable[[Ends], Awaitable[None]]) -> None:
    async def told() -> None:
        ends = Ends(folder)
        await ends.open()
        try:
            await story(ends)
        finally:
            await ends.close()

    asyncio.run(asyncio.wait_for(told(), 30))


async def turns() -> None:
    """Let everything happen that can: whatever is on its way is a few turns of the loop away."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_a_cut_line_holds_bytes_and_ends_back_until_it_is_healed(tmp_path: Path) -> None:
    async def story(ends: Ends) -> None:
        reader, writer = await ends.connect()
        far_reader, far_writer = await ends.accepted.get()
        writer.write(b"before")
        assert await far_reader.readexactly(6) == b"before"
        ends.line.cut()
        writer.write(b"meanwhile")
        writer.write_eof()
        far_writer.write(b"orders")
        late = [asyncio.ensure_future(one.read(99)) for one in (reader, far_reader)]
        await turns()
        assert not any(one.done() for one in late)
        ends.line.heal()
        assert [await one for one in late] == [b"orders", b"meanwhile"]
        assert [await one.read() for one in (reader, far_reader)] == [b"", b""]

    play(tmp_path, story)


def test_the_end_of_a_connection_waits_for_the_line_too(tmp_path: Path) -> None:
    async def story(ends: Ends) -> None:
        _, writer = await ends.connect()
        far_reader, _ = await ends.accepted.get()
        ends.line.cut()
        writer.close()
        late = asyncio.ensure_future(far_reader.read())
        await turns()
        assert not late.done()
        ends.line.heal()
        assert await late == b""

    play(tmp_path, story)


def test_who_connects_over_a_cut_line_is_never_heard_of_and_tries_again(tmp_path: Path) -> None:
    async def story(ends: Ends) -> None:
        ends.line.cut()
        reader, writer = await ends.connect()
        writer.write(b"hello?")
        await turns()
        ends.line.heal()
        assert await reader.read() == b""
        assert ends.accepted.empty()
        reader, _ = await ends.connect()
        _, far_writer = await ends.accepted.get()
        far_writer.write(b"welcome")
        assert await reader.readexactly(7) == b"welcome"

    play(tmp_path, story)


def test_a_node_hears_at_once_that_no_manager_listens(tmp_path: Path) -> None:
    async def story(ends: Ends) -> None:
        os.unlink(ends.far)
        reader, _ = await ends.connect()
        assert await reader.read() == b""

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("count", "first", "last"), [(1, "n01", "n01"), (10, "n01", "n10"), (100, "n001", "n100")]
)
def test_names_of_nodes_are_of_one_length(count: int, first: str, last: str) -> None:
    names = node_names(count)
    assert (len(names), names[0], names[-1]) == (count, first, last)


@pytest.mark.parametrize("sizes", [Sizes(nodes=0), Sizes(nodes=101), Sizes(cpus=0)])
def test_a_lab_of_no_sense_is_refused_and_leaves_nothing(tmp_path: Path, sizes: Sizes) -> None:
    with pytest.raises(OstlerError) as caught:
        Lab(str(tmp_path / "lab")).up(sizes)
    assert caught.value.exit_status == 2
    assert not (tmp_path / "lab").exists()

"""What it costs to look at the nodes of a large machine from outside.

The watch, the eye and the machine manager's part between them in this process, at real sockets: each
node's line leads to one other process, which answers as an agent does. 5,000 nodes are looked at
once, as fast as that goes; the CPU time of this process is what an interval of a minute costs.
"""

import asyncio
import multiprocessing
import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.bench import Bench, brief, say
from bench.record import Sample
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.core.watch import Finding, Known, Watch
from ostler.manager.eye import LINES, Eye
from ostler.manager.native import Agents, Blobs
from ostler.manager.probing import Probing
from ostler.model.node import Node
from ostler.model.resources import NodeFacts
from ostler.model.sight import Alive, Seen
from ostler.model.states import NodeStatus
from ostler.wire.address import listen
from ostler.wire.conn import Connection, Listener

ROW = "probing"
LOOK, CORE = "CPU us a look", "percent of a core, at a look a minute"
NODES = 5_000
MINUTE = 60.0  # seconds, the interval as shipped
ANSWER = msgspec.msgpack.encode(Alive("n", "boot", "first", 1, connected=True))


class Counted(Watch):
    """A watch that tells when every node has been looked at."""

    def __init__(self, interval: float, done: asyncio.Event) -> None:
        super().__init__(interval)
        self._done = done
        self._left = NODES

    def answered(self, name: str, now: float, seen: Seen | None, known: Known) -> Finding | None:
        """Take what a look has found."""
        self._left -= 1
        if not self._left:
            self._done.set()
        return super().answered(name, now, seen, known)


def probing(bench: Bench) -> None:
    """Look at every node of a machine of 5,000, several times."""
    for _ in range(bench.sizes.rounds):
        sample = asyncio.run(_round())
        bench.record.add(ROW, "ours", sample)
        say(f"  {brief(sample)}")
    bench.record.count(ROW, "ours", LOOK)
    bench.record.count(ROW, "ours", CORE, aim=10)


async def _round() -> Sample:
    with TemporaryDirectory() as folder:
        ready = multiprocessing.get_context("spawn").Event()
        agent = multiprocessing.get_context("spawn").Process(target=_agent, args=(folder, ready))
        agent.start()
        try:
            ready.wait(30)
            return await _look_at_all(folder)
        finally:
            agent.kill()
            agent.join()


async def _look_at_all(folder: str) -> Sample:
    os.mkdir(f"{folder}/{LINES}")
    state = State()
    for number in range(NODES):
        name = f"n{number}"
        os.symlink("../agent", f"{folder}/{LINES}/{name}")
        node = Node(name, NodeFacts((0,), 1), status=NodeStatus.RUNNING)
        state.nodes[name] = NodeEntry(node)
    done = asyncio.Event()
    agents = Agents(lambda _: None, 1, Blobs(lambda _: None), b"")
    probing = Probing(lambda: state, lambda _: None, agents, Eye(folder))
    probing.watch = Counted(MINUTE, done)
    for name in state.nodes:
        probing.hurry(name)
    began = time.process_time()
    await done.wait()
    seconds = time.process_time() - began
    probing.close()
    return {LOOK: 1e6 * seconds / NODES, CORE: 100 * seconds / MINUTE}


def _agent(folder: str, ready: Event) -> None:
    """Answer every question, in a process of its own."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        work: set[asyncio.Task[None]] = set()

        async def one(link: Connection) -> None:
            async for _ in link:
                link.send(ANSWER)

        def accept(link: Connection) -> None:
            task = loop.create_task(one(link))
            work.add(task)
            task.add_done_callback(work.discard)

        Listener(listen(str(Path(folder) / "agent"), 0o600), accept)
        ready.set()
        await asyncio.Event().wait()

    asyncio.run(serve())

"""`python -m ostler.testing.crowd STATE NODES SECONDS`: nodes that are none, for a real manager.

One process greets as hundreds of agents, which run nothing: what they are told to start has
started, and ends after some such time, one a little after the other. It says `all nodes are in`
once they are, and ends with the manager's connection.
"""

import asyncio
import sys
import time
from collections.abc import Callable

from ostler.model.job import TaskExit
from ostler.model.orders import Ended, EndShare, Launch, Order, ReportRow, Started
from ostler.model.resources import NodeFacts
from ostler.wire import messages
from ostler.wire.address import dial
from ostler.wire.conn import Connection

CPUS = 16
MEMORY = 64 << 30
AT_ONCE = 10  # greetings in flight
SPREAD = 97  # lengths of what runs, from half to one and a half of what was asked for


class Pretender:
    """One agent."""

    def __init__(self, name: str, link: Connection, seconds: float) -> None:
        self._name = name
        self._link = link
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._seq = 0
        self._live: dict[int, asyncio.TimerHandle] = {}  # allocations, and when they end

    async def serve(self, welcomed: Callable[[], None]) -> None:
        """Greet, and do as told until the connection is over."""
        facts = NodeFacts(tuple(range(CPUS)), MEMORY, declared=True)
        hello = messages.AgentHello(self._name, messages.VERSION, facts, "boot", self._name, 0)
        self._link.send(messages.encode(hello))
        async for payload in self._link:
            match messages.decode_to_agent(payload):
                case messages.Welcome():
                    welcomed()
                case messages.Heartbeat():
                    self._link.send(messages.encode(messages.Heartbeat(time.time())))
                case messages.Orders(orders=orders):
                    for order in orders:
                        self._obey(order)
                case _:
                    pass

    def _obey(self, order: Order) -> None:
        if isinstance(order, Launch) and order.alloc not in self._live:
            began = time.time()
            self._report(Started(order.alloc, began))
            part = 0.5 + order.alloc % SPREAD / SPREAD
            end = self._loop.call_later(part * self._seconds, self._end, order.alloc, began, "")
            self._live[order.alloc] = end
        elif isinstance(order, EndShare) and (timer := self._live.get(order.alloc)) is not None:
            timer.cancel()
            self._end(order.alloc, time.time(), order.cause)

    def _end(self, alloc: int, began: float, cause: str) -> None:
        del self._live[alloc]
        self._report(Ended(alloc, time.time(), began, cause, tasks=(TaskExit(0, 0),)))

    def _report(self, row: ReportRow) -> None:
        self._seq += 1
        self._link.send(messages.encode(messages.Report(self._seq, [row])))


async def main(state: str, nodes: int, seconds: float) -> None:
    """Be so many nodes. seconds: that everything runs."""
    room, left = asyncio.Semaphore(AT_ONCE), nodes

    def welcomed() -> None:
        nonlocal left
        room.release()
        left -= 1
        if not left:
            sys.stdout.write("all nodes are in\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for number in range(nodes):
            await room.acquire()
            link = Connection(dial(f"{state}/sock"))
            group.create_task(Pretender(f"f{number:05d}", link, seconds).serve(welcomed))


if __name__ == "__main__":
    from ostler.wire.descriptors import raise_limit

    raise_limit()
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

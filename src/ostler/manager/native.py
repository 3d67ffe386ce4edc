"""The native driver: Ostler's own agents, over their connections."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import structs

from ostler.core.effects import Acknowledge, Send, Welcomed
from ostler.core.events import AgentGone, AgentGreeted, AgentReported, Event, NotOrdered
from ostler.manager.fresh import Fresh
from ostler.model.errors import Missing, OstlerError, UsageError
from ostler.model.orders import Chunk, Feed, Launch, Order
from ostler.wire import messages
from ostler.wire.conn import Connection

log = logging.getLogger("ostler.manager")

HEARTBEAT = 3.0  # seconds
ORDERS = 64  # in one frame, at most
ORDERS_BYTES = 1 << 20  # of their large parts, above which the next begin a frame of their own
BEATS = 32  # heartbeats sent in one turn of the loop: about 2 ms
MISSED = 3  # heartbeats without which an agent counts as silent


class Blobs:
    """Environments, scripts and lists of --each, read once and kept while they fit."""

    def __init__(self, read: Callable[[str], bytes | None], bound: int = 64 << 20) -> None:
        self._read = read
        self._bound = bound
        self._size = 0
        self._kept: dict[str, bytes] = {}
        self._lines: tuple[str, list[bytes]] = ("", [])

    def put(self, digest: str, data: bytes) -> None:
        """Remember what has just come in."""
        if digest in self._kept:
            return
        self._kept[digest] = data
        self._size += len(data)
        while self._size > self._bound:
            oldest = next(iter(self._kept))
            self._size -= len(self._kept.pop(oldest))

    def get(self, digest: str) -> bytes:
        """Return the bytes; raise `Missing` if the database has lost them."""
        if not digest:
            return b""
        if digest not in self._kept:
            data = self._read(digest)
            if data is None:
                raise Missing(f"the text with digest {digest[:12]} is not in the database")
            if len(data) > self._bound:
                return data
            self.put(digest, data)
        return self._kept[digest]

    def line(self, digest: str, number: int) -> bytes | None:
        """Return one line of a list of --each; None without a list."""
        if not digest:
            return None
        if self._lines[0] != digest:
            self._lines = (digest, self.get(digest).splitlines())
        return self._lines[1][number]


class News(Protocol):
    """Who wants to know that an agent has greeted, or that its connection is over."""

    def __call__(self, name: str, /, *, greets: bool = False) -> None:
        """Take note."""


class Agents:
    """Connected agents: greetings and reports in, orders out, silence noticed."""

    def __init__(
        self,
        put: Callable[[Event], None],
        epoch: int,
        blobs: Blobs,
        secret: bytes,
        heartbeat: float = HEARTBEAT,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Serve them. secret: from which the keys of contexts are made, and nothing else."""
        self._put = put
        self._secret = secret
        self.epoch = epoch
        self.fresh = Fresh(clock)
        self.news: News = lambda _name, *, greets=False: None  # noqa: ARG005 - until one listens
        self._blobs = blobs
        self._heartbeat = heartbeat  # seconds
        self._links: dict[str, Connection] = {}
        self._greeted: dict[
            str, tuple[str, float]
        ] = {}  # incarnation, and by the loop's clock when
        self._greetings: dict[str, int] = {}  # not yet answered: until then nothing is said
        self._loop = asyncio.get_running_loop()
        self.pids: dict[str, int] = {}
        self.loads: dict[str, float] = {}  # as the agents say
        self.shortcomings: dict[str, list[str]] = {}

    def greet(self, link: Connection, hello: messages.AgentHello) -> None:
        """Take an agent's connection; an older one of the same node is closed."""
        if hello.version != messages.VERSION:
            raise UsageError(
                f"the agent speaks version {hello.version} of the protocol",
                expected=f"version {messages.VERSION}",
                hint="start it again with the installed version",
            )
        # Raises while nothing can be written: then it is not taken in, and tries again.
        self._put(AgentGreeted(hello.node, hello.facts, hello.boot_id, tuple(hello.holds)))
        old = self._links.get(hello.node)
        self._links[hello.node] = link
        if old is not None and old is not link:
            old.close("its agent connected again")
        self._greeted[hello.node] = hello.incarnation, self._loop.time()
        self.fresh.heard(hello.node)
        self.news(hello.node, greets=True)
        self.pids[hello.node] = link.peer.pid
        self.shortcomings[hello.node] = hello.shortcomings
        log.info("agent greets", extra={"node": hello.node, "holds": len(hello.holds)})
        self._greetings[hello.node] = self._greetings.get(hello.node, 0) + 1

    def heard(self, node: str, message: messages.Heartbeat | messages.Report) -> None:
        """Take what an agent said."""
        self.fresh.heard(node)
        if isinstance(message, messages.Report):
            self._put(AgentReported(node, message.seq, tuple(message.rows)))
        else:
            self.loads[node] = message.load

    def gone(self, node: str, link: Connection) -> None:
        """Note that a connection is over, unless a newer one has taken its place."""
        if self._links.get(node) is link:
            del self._links[node]
            self.pids.pop(node, None)
            self.loads.pop(node, None)
            log.warning("agent is gone", extra={"node": node, "reason": link.reason})
            self.news(node)
            self._put(AgentGone(node))

    def tell_all(self, message: messages.ToAgent) -> list[str]:
        """Say something to every agent that is connected; return their nodes."""
        data = messages.encode(message)
        for link in self._links.values():
            link.send(data)
            link.flush()
        return list(self._links)

    def contact(self, node: str) -> tuple[str, float]:
        """Return which agent is connected, empty if none is, and when one last greeted."""
        incarnation, greeted = self._greeted.get(node, ("", float("-inf")))
        return incarnation if node in self._links else "", greeted

    def drop_all(self, reason: str) -> None:
        """Close every connection: agents come back and tell what they hold."""
        for link in list(self._links.values()):
            link.close(reason)
        self._links.clear()
        self._greetings.clear()
        self.pids.clear()
        self.loads.clear()

    def beat(self, at: Callable[[], float]) -> Iterator[float]:
        """Send a heartbeat to every agent, and drop those that missed too many.

        It yields after a few of them which part of all that was, for others' turns: at ten thousand
        nodes a round in one go would keep the loop for a second. at: the time, in Unix seconds.
        """
        links = list(self._links.items())
        parts = max(1, -(-len(links) // BEATS))
        for part in range(parts):
            data = messages.encode(messages.Heartbeat(at()))
            for node, link in links[part * BEATS : (part + 1) * BEATS]:
                if self._links.get(node) is not link:
                    continue
                if self._loop.time() - self.fresh.heard_since(node) > MISSED * self._heartbeat:
                    link.close(f"nothing was heard of it for {MISSED * self._heartbeat:.0f} s")
                else:
                    link.send(data)
            yield 1 / parts

    def speak(self, effects: list[Acknowledge | Send | Welcomed]) -> None:
        """Send what a durable batch says to agents; orders of one node leave as one frame."""
        orders: dict[str, list[Order]] = {}
        for effect in effects:
            if isinstance(effect, Welcomed):
                self._answered(effect.node)
            link = self._links.get(effect.node)
            if link is None or effect.node in self._greetings:
                # It will greet and be told anew. Where it has greeted since, this is out of date:
                # a launch, say, of what the answer to the greeting knows to be over.
                continue
            if isinstance(effect, Send):
                try:
                    order = self._dressed(effect)
                except OstlerError as error:
                    self._not_ordered(effect, str(error))
                    continue
                orders.setdefault(effect.node, []).append(order)
                continue
            self._flush(orders)
            if isinstance(effect, Welcomed):
                link.send(messages.encode(messages.Welcome(self.epoch, self._heartbeat)))
            else:
                link.send(messages.encode(messages.Ack(effect.seq)))
        self._flush(orders)

    def _not_ordered(self, effect: Send, why: str) -> None:
        log.error("cannot order", extra={"node": effect.node, "why": why})
        with contextlib.suppress(OstlerError):  # then all is read anew, and its agent greets
            self._put(NotOrdered(effect.node, effect.order.alloc, why))

    def _answered(self, node: str) -> None:
        left = self._greetings.pop(node, 0) - 1
        if left > 0:  # it has greeted again meanwhile
            self._greetings[node] = left

    def _flush(self, orders: dict[str, list[Order]]) -> None:
        for node, given in orders.items():
            link = self._links.get(node)
            if link is not None:
                for part in _parts(given):
                    link.send(messages.encode(messages.Orders(self.epoch, part)))
                link.flush()
        orders.clear()

    def _dressed(self, effect: Send) -> Order:
        order = effect.order
        env, script, items = effect.blobs
        if isinstance(order, Feed) and items:
            return structs.replace(order, chunk=self._with_items(order.chunk, items))
        if not isinstance(order, Launch):
            return order
        chunk = order.chunk
        return structs.replace(
            order,
            env=self._blobs.get(env),
            script=self._blobs.get(script),
            item=self._blobs.line(items, order.element),
            chunk=self._with_items(chunk, items) if chunk is not None and items else chunk,
            key=self._key(order) if order.total_tasks > 1 and chunk is None else "",
        )

    def _key(self, order: Launch) -> str:
        """Return the key of a context: the same for all of its nodes, and whoever manages."""
        return hmac.digest(self._secret, b"context %d" % order.alloc, "sha256").hex()

    def _with_items(self, chunk: Chunk, items: str) -> Chunk:
        """Return a chunk with its elements' lines of --each."""
        numbers = [i for low, high in chunk.elements for i in range(low, high + 1)]
        lines = [self._blobs.line(items, i) or b"" for i in numbers]
        return structs.replace(chunk, items=tuple(lines))


def _parts(given: list[Order]) -> Iterator[list[Order]]:
    """Yield the orders in pieces that fit into frames: each launch brings its environment."""
    part: list[Order] = []
    size = 0
    for order in given:
        if part and (len(part) == ORDERS or size > ORDERS_BYTES):
            yield part
            part, size = [], 0
        part.append(order)
        if isinstance(order, Launch | Feed) and order.chunk is not None:
            size += sum(map(len, order.chunk.items))
        if isinstance(order, Launch):
            size += len(order.env) + len(order.script) + len(order.item or b"")
            size += sum(map(len, order.argv))
    if part:
        yield part

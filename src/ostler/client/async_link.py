"""The link for asyncio: the exchange of `link`, awaited instead of polled."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from ostler.client.link import PATIENCE, Dialling, Exchange
from ostler.model.errors import NotNow, OstlerError

_HERE = "the connection was closed here"


class AsyncLink(asyncio.Protocol):
    """A connection that outlives the manager's process, for one event loop.

    state: the state folder. patience: seconds to try again while the machine is kept up.
    """

    def __init__(self, state: str, *, patience: float = PATIENCE) -> None:
        self.state = state
        self._patience = patience
        self._exchange = Exchange(
            msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
        )
        self._generation = 0  # grows with each connection
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._followed: dict[int, asyncio.Event] = {}  # set when there may be news
        self._opening = asyncio.Lock()
        self._reconnecting: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect, if it is not done; raise `NotNow`."""
        async with self._opening:
            if self._transport is None and self._reconnecting is None and not self._closed:
                await self._connect(Dialling(self.state, self._patience, first=True))

    def close(self) -> None:
        """Close the connection; who still waits is told so."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._fail(NotNow(_HERE))

    # -- requests --------------------------------------------------------------------------

    async def call(self, type_: str, **fields: object) -> Any:
        """Send a request and return its answer's body; raise the `OstlerError` it tells."""
        await self.open()
        return await self._send(type_, fields)[1]

    async def news(self, type_: str, **fields: object) -> AsyncGenerator[list[Any], None]:
        """Send a `follow` request and yield what it brings, until the connection is lost."""
        await self.open()
        generation = self._generation
        number, answer = self._send(type_, fields)
        arrived = self._followed[number] = asyncio.Event()
        answer.add_done_callback(lambda _: arrived.set())
        try:
            while self._generation == generation:
                await arrived.wait()
                arrived.clear()
                if answer.done():
                    answer.result()  # raises what was refused
                if found := self._exchange.news.pop(number, None):
                    yield found
        finally:
            del self._followed[number]

    def _send(self, type_: str, fields: dict[str, object]) -> tuple[int, asyncio.Future[Any]]:
        if self._closed:
            raise NotNow(_HERE)
        number, data = self._exchange.ask(type_, fields)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        if self._transport is not None:
            self._transport.write(data)  # else it goes with what is repeated
        return number, future

    # -- what the loop calls ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        try:
            self._exchange.feed(data)
        except (OstlerError, ValueError, msgspec.MsgspecError) as error:
            self._closed = True
            assert self._transport is not None  # noqa: S101 - it brought the data
            self._transport.abort()
            self._fail(error)
            return
        for number in list(self._exchange.answers):
            future = self._waiting.pop(number)
            try:
                body = self._exchange.take(number)
            except OstlerError as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():  # else nobody waits any longer
                    future.set_result(body)
        for number in self._exchange.news:
            if number in self._followed:
                self._followed[number].set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Connect again, unless it was closed here."""
        self._transport = None
        self._generation += 1
        for arrived in self._followed.values():
            arrived.set()
        if not self._closed:
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    # -- connecting ------------------------------------------------------------------------

    async def _reconnect(self) -> None:
        dialling = Dialling(self.state, self._patience, fruitless=self._exchange.fruitless)
        self._exchange.fruitless += 1
        try:
            await self._connect(dialling)
        except NotNow as error:
            self._fail(error)
        finally:
            self._reconnecting = None

    async def _connect(self, dialling: Dialling) -> None:
        """Connect; try again while somebody keeps the machine up; repeat what has no answer."""
        while isinstance(found := dialling.attempt(), float):  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(found)
        sock = socket.socket(fileno=found.detach())
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=sock)
        self._transport.writelines(self._exchange.again())

    def _fail(self, error: Exception) -> None:
        """Tell all who wait."""
        self._exchange.forget()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)

"""What the manager asks of its own core on behalf of somebody who speaks another protocol."""

import asyncio
from collections.abc import Callable
from typing import Any

from ostler.core.effects import Address, Fail, Reply
from ostler.core.events import Event
from ostler.model.errors import OstlerError


class Inner:
    """Requests with addresses below 0, which no client has."""

    def __init__(self, put: Callable[[Event], None]) -> None:
        self._put = put
        self._asked: dict[Address, asyncio.Future[Any]] = {}
        self._next: Address = -1

    async def ask(self, make: Callable[[Address], Event]) -> Any:
        """Return the body of the answer, once it is durable; raise the refusal."""
        to, self._next = self._next, self._next - 1
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[to] = reply
        try:
            self._put(make(to))
            return await reply
        finally:
            self._asked.pop(to, None)

    def answered(self, effect: Reply | Fail) -> None:
        """Hand an answer to whoever waits for it."""
        reply = self._asked.get(effect.to)
        if reply is None or reply.done():
            return
        if isinstance(effect, Reply):
            reply.set_result(effect.body)
        else:
            reply.set_exception(effect.error)

    def silenced(self, error: OstlerError) -> None:
        """Tell everybody who waits that nothing came of it."""
        for reply in self._asked.values():
            if not reply.done():
                reply.set_exception(error)

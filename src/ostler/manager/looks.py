"""Requests that look and change nothing: of each user one at a time.

What is told is durable: an answer leaves when everything is that had happened when it was made,
or when all of it is that it tells.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from typing import Any

from ostler.core.explain import Prepared
from ostler.core.roles import may_see_all
from ostler.manager.contexts import Contexts
from ostler.manager.documents import Counted, Listing
from ostler.manager.following import Followers
from ostler.manager.reads import Reads
from ostler.manager.session import Client
from ostler.manager.submissions import Submissions
from ostler.manager.turns import Needs, Turns
from ostler.manager.unwritten import without
from ostler.model.errors import NotNow
from ostler.store.protocol import Store
from ostler.wire import messages

Row = dict[str, Any]


class Looks:
    """Answers for one manager."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        reads: Reads,
        submissions: Submissions,
        contexts: Contexts,
        query: Callable[..., Coroutine[Any, Any, Row]],
        clock: Callable[[], float],
    ) -> None:
        self.followers = Followers(store)
        self._turns = turns
        self._reads = reads
        self._submissions = submissions
        self._contexts = contexts
        self._ask_database = query
        self._clock = clock
        self._looking: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # by uid
        self._asking: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # by uid

    async def read(self, client: Client, message: messages.Read) -> Row:
        """Return a document."""
        turns = self._turns
        if not self._reads.is_in_memory(message):
            await turns.barrier()  # the store is to have what memory has no more
        needs = Needs.ALL
        async with self._turn_of(client):
            if message.what == "contexts":
                return await self._contexts.read(turns.machine.state)
            now = self._clock()
            found = self._reads.answer(client.caller, message, now)
            if isinstance(found, Listing):
                found, needs = self._needed(found)
                found = await found.document(partial(_still_there, client))
        if isinstance(found, Counted):
            values = found.values
            answer = await self._ask_database(found.sql, client.caller, admin=False, values=values)
            return found.finish(answer)
        return await self._told(client, now, found, needs)

    @asynccontextmanager
    async def _turn_of(self, client: Client) -> AsyncIterator[None]:
        """Wait for the end of the user's look before, and let others have their turns."""
        async with self._looking[client.caller.uid]:
            await asyncio.sleep(0)  # also when nobody waits for the lock yet
            _still_there(client)
            yield

    def _needed(self, listing: Listing) -> tuple[Listing, Needs]:
        """Return a listing as it is to be told, and what of it has to become durable before."""
        under_way, gathering = self._turns.unwritten()
        if now := without(listing, chain(under_way, gathering)):
            return now, Needs.NOTHING
        if soon := without(listing, gathering):
            return soon, Needs.UNDER_WAY
        return listing, Needs.ALL

    async def dry(self, client: Client, message: messages.Submit | messages.SubmitAll) -> Row:
        """Return what would come of a submission."""
        await self._turns.barrier()
        async with self._turn_of(client):
            now = self._clock()
            found = self._submissions.dry(client, message, now)
        return await self._told(client, now, found)

    async def _told(
        self, client: Client, now: float, found: Row | Prepared, needs: Needs = Needs.ALL
    ) -> Row:
        """Return what was found, once all that it may tell of is durable."""
        if isinstance(found, Prepared):
            found = await self._ask(client, now, found)
        await self._turns.barrier(needs)
        return found

    async def _ask(self, client: Client, now: float, prepared: Prepared) -> Row:
        """Have a question worked out beside the loop; return the document.

        That may take seconds. A user's other questions wait for it, listings do not.
        """
        turns = self._turns
        async with self._asking[client.caller.uid]:
            _still_there(client)
            return prepared.finish(await turns.planning.ask(turns.machine, now, prepared.question))

    async def query(self, client: Client, message: messages.Query) -> Row:
        """Return what a statement finds in the database."""
        await self._turns.barrier()
        admin = may_see_all(self._turns.machine.state, client.caller)
        return await self._ask_database(
            message.sql, client.caller, admin=admin, archive=message.archive
        )

    async def follow(self, client: Client, message: messages.Follow) -> Row:
        """Tell of what has happened, and let the client follow from there."""
        await self._turns.barrier()
        async with self._turn_of(client):
            return await self.followers.begin(client, message)


def _still_there(client: Client) -> None:
    """Raise `NotNow` if nobody is left to read the answer: then it need not be made."""
    if client.link.closed:
        raise NotNow("the client is gone")

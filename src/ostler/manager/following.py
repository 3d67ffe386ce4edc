"""Those who are told of events, first of what they have missed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict

from ostler.manager.history import named
from ostler.manager.session import Client
from ostler.model.errors import NotNow
from ostler.model.happening import Pattern
from ostler.model.ids import JobId, job_name, parse_ref
from ostler.model.record import Event, Write
from ostler.store.protocol import Store
from ostler.wire import messages

PAGE = 5_000  # events that are read and told in one turn of the loop
ANY = JobId(0)  # in place of one job: all of them
_TOLD = frozenset(Event.__struct_fields__)


class Followers:
    """Clients that follow, found by what they follow: others cost an event nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of: defaultdict[JobId, dict[tuple[Client, int], Pattern]] = defaultdict(dict)

    async def begin(self, client: Client, message: messages.Follow) -> dict[str, Any]:
        """Tell the client of what has happened since, without a gap, and let it follow from there.

        Reply: {following, oldest}: the job or all, and the lowest serial that is still known.
        """
        job = parse_ref(message.job).job if message.job else ANY
        pattern = message.pattern or Pattern()
        since, oldest = message.since, self._store.oldest_event()
        while since >= 0:
            page = self._store.events(since_serial=since, limit=PAGE)
            for row in page:
                event = Event(**{key: row[key] for key in _TOLD})
                if job in (ANY, event.job) and pattern.matches(event):
                    client.say(messages.News(message.id, named(row)))
            if len(page) < PAGE:
                break  # nothing is awaited from here to the end, so no event falls in between
            since = int(page[-1]["serial"]) + 1
            await asyncio.sleep(0)
            if client.link.closed:
                raise NotNow("the client is gone")
        self._forget(client, message.id)
        self._of[job][client, message.id] = pattern
        client.follows[message.id] = job
        return {"following": job_name(job) if job else "all", "oldest": oldest}

    def gone(self, client: Client) -> None:
        """Forget a client."""
        for number in list(client.follows):
            self._forget(client, number)

    def _forget(self, client: Client, number: int) -> None:
        if (job := client.follows.pop(number, None)) is None:
            return
        del self._of[job][client, number]
        if not self._of[job]:
            del self._of[job]

    def tell(self, writes: Iterable[Write]) -> None:
        """Tell them of the events that are now durable."""
        if not self._of:
            return
        for write in writes:
            if not isinstance(write, Event):
                continue
            row: dict[str, Any] = {}
            for job in {ANY, JobId(write.job or ANY)}:
                for (client, number), pattern in self._of.get(job, {}).items():
                    if pattern.matches(write):
                        row = row or named(asdict(write))
                        client.say(messages.News(number, row))

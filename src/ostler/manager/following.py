"""Those who are told of events, first of what they have missed."""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from ostler.manager.history import named
from ostler.manager.session import Client, Wanted
from ostler.model.errors import NotNow
from ostler.model.happening import Pattern
from ostler.model.ids import job_name, parse_ref
from ostler.model.record import Event, Write
from ostler.store.protocol import Store
from ostler.wire import messages

PAGE = 5_000  # events that are read and told in one turn of the loop
_TOLD = frozenset(Event.__struct_fields__)


async def begin_to_follow(store: Store, client: Client, message: messages.Follow) -> dict[str, Any]:
    """Tell the client of what has happened since, without a gap, and let it follow from there.

    Reply: {following, oldest}: the job or all, and the lowest serial that is still known.
    """
    job = parse_ref(message.job).job if message.job else 0
    wanted = Wanted(job, message.pattern or Pattern())
    since, oldest = message.since, store.oldest_event()
    while since >= 0:
        page = store.events(since_serial=since, limit=PAGE)
        for row in page:
            if wanted.fits(Event(**{key: row[key] for key in _TOLD})):
                client.say(messages.News(message.id, named(row)))
        if len(page) < PAGE:
            break  # nothing is awaited from here to the registration, so no event falls in between
        since = int(page[-1]["serial"]) + 1
        await asyncio.sleep(0)
        if client.link.closed:
            raise NotNow("the client is gone")
    client.follows[message.id] = wanted
    return {"following": job_name(job) if job else "all", "oldest": oldest}


def tell_followers(followers: Sequence[Client], writes: Sequence[Write]) -> None:
    """Tell them of the events that are now durable."""
    for write in writes:
        if not isinstance(write, Event):
            continue
        row = named(asdict(write))
        for client in followers:
            for number, wanted in client.follows.items():
                if wanted.fits(write):
                    client.say(messages.News(number, row))

"""What a read may find that is no document yet, and what makes one of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.core.view import job_row
from ostler.model.caller import Caller
from ostler.wire import messages

Row = dict[str, Any]
PIECE = 200  # jobs whose rows are made in one turn of the loop


class Asked(NamedTuple):
    """One read, with who asks and when."""

    caller: Caller
    ref: str
    options: messages.ReadOptions
    now: float  # Unix seconds

    def whose(self, *, own: bool = True) -> str | None:
        """Return whose rows are meant: the asker's own unless told otherwise; None: everybody's."""
        options = self.options
        return options.user or (self.caller.user if own and not options.all else None)


class Counted(NamedTuple):
    """A statement for the process that answers queries, and what makes a document of its answer."""

    sql: str
    values: dict[str, Any]
    finish: Callable[[Row], Row]


class Listing(NamedTuple):
    """Jobs that are to be listed: rows are made so many at a time, for there may be thousands."""

    veil: Callable[[Row, Caller], None]  # what the caller may not see goes
    caller: Caller
    state: State
    found: list[Row | Entry]
    more: int  # older ones, which are not listed
    columns: list[str]  # that rows have, where they have them; none: all

    async def document(
        self, check: Callable[[], None], durable: Callable[[], Awaitable[None]]
    ) -> Row:
        """Return the document; see `rows`. durable: waits until all that was told so far is."""
        rows = await self.rows(check)
        if len(rows) > PIECE:  # some may tell of what happened meanwhile
            await durable()
        return {"jobs": rows, "more": self.more}

    async def rows(self, check: Callable[[], None]) -> list[msgspec.Raw]:
        """Return the encoded rows. Others have their turns meanwhile: rows are as jobs then are.

        check: raises what ends it.
        """
        made: list[msgspec.Raw] = []
        for at in range(0, len(self.found), PIECE):
            if at:
                await asyncio.sleep(0)
                check()
            rows = [
                job_row(self.state, found) if isinstance(found, Entry) else found
                for found in self.found[at : at + PIECE]
            ]
            for row in rows:
                self.veil(row, self.caller)
            if wanted := self.columns:
                rows = [{key: row[key] for key in wanted if key in row} for row in rows]
            made += [msgspec.Raw(messages.encode(row)) for row in rows]
        return made

"""What a read may find that is no document yet, and what makes one of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from ostler.core.entry import Entry
from ostler.core.listed import LISTED, listed
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
    """Jobs that are to be listed: some are looked at in one turn, for there may be thousands."""

    veil: Callable[[Row, Caller], None]  # what the caller may not see goes
    caller: Caller
    state: State
    found: list[Row | Entry]
    more: int  # older ones, which are not listed
    columns: list[str]  # of `LISTED`: these alone, by column; none: whole rows
    whole_of: str | None = None  # the user of whom memory knows all that was asked for

    def entries(self) -> Iterator[Entry]:
        """Yield those that are in memory."""
        return (one for one in self.found if isinstance(one, Entry))

    async def document(self, check: Callable[[], None]) -> Row:
        """Return the document; see `pieces`."""
        made = [piece async for piece in self.pieces(check)]
        if self.columns:
            return {"parts": made, "more": self.more}
        return {"jobs": [row for rows in made for row in rows], "more": self.more}

    async def pieces(self, check: Callable[[], None]) -> AsyncIterator[Any]:
        """Yield encoded rows, or parts of the table. Others have their turns in between.

        Each piece is as its jobs then are. check: raises what ends it.
        """
        for at in range(0, len(self.found), PIECE):
            if at:
                await asyncio.sleep(0)
                check()
            found = self.found[at : at + PIECE]
            yield self._part(found) if self.columns else self._rows(found)

    def _rows(self, found: list[Row | Entry]) -> list[msgspec.Raw]:
        rows = [job_row(self.state, one) if isinstance(one, Entry) else one for one in found]
        for row in rows:
            self.veil(row, self.caller)
        return [msgspec.Raw(messages.encode(row)) for row in rows]

    def _part(self, found: list[Row | Entry]) -> msgspec.Raw:
        """Return so many rows by column; a column in which all is the same has one value.

        Nothing in it is veiled: anybody may see all of `LISTED`.
        """
        rows = [
            listed(self.state, one) if isinstance(one, Entry) else [*map(one.get, LISTED)]
            for one in found
        ]
        columns = {
            key: column[:1] if column.count(column[0]) == len(column) else column
            for key, column in zip(LISTED, zip(*rows, strict=True), strict=True)
            if key in self.columns
        }
        return msgspec.Raw(messages.encode({"rows": len(rows), "columns": columns}))

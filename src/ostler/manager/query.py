"""`ostler query` in a process of its own, so that no statement can hold up the manager."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ostler.model.caller import Caller
from ostler.model.errors import NotNow
from ostler.model.record import Moment
from ostler.store import query
from ostler.store.sqlite.archive import path_of

PATIENCE = query.KILLED_AFTER + 2.0  # seconds, should the process not even begin
AT_ONCE = 4  # processes; more questions wait for their turn
OF_ONE_USER = 2  # of them, so that one who asks without end does not keep others waiting

_room = asyncio.Semaphore(AT_ONCE)
_room_of: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(OF_ONE_USER))


async def run_query(
    database: Path,
    archives: Path,
    moments: Callable[[], Sequence[Moment]],
    sql: str,
    caller: Caller,
    *,
    admin: bool,
    values: Mapping[str, Any] | None = None,
    archive: str = "",
) -> dict[str, Any]:
    """Return {columns, rows}; raise the error that the process tells.

    moments: what is fresher than the database. values: of the statement's :names. archive: a name
    among the archives, to read that instead.
    """
    fresh = () if archive else moments()
    if archive:
        database = path_of(archives, archive)
    question = query.ask(sql, caller.user, admin=admin, moments=fresh, values=values)
    async with _room_of[caller.uid], _room:
        process = await asyncio.create_subprocess_exec(
            *query.command(str(database)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(question), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NotNow("the query's process did not answer", hint="try again") from None
    return query.answer(out, process.returncode or 0)

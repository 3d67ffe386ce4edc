"""Answers to `ostler acct` and `ostler usage`."""

from typing import Any

from ostler.core.absent import is_archived
from ostler.core.foreign.names import read_ref
from ostler.core.state import State
from ostler.manager.documents import Asked, Counted
from ostler.manager.history import named
from ostler.store import usage
from ostler.store.protocol import Store
from ostler.store.sqlite.archive import Archives

Row = dict[str, Any]
SHOWN = 1_000  # attempts, unless told otherwise
MOST = 10_000


def attempts(asked: Asked, state: State, store: Store, archives: Archives) -> Row:
    """Return the newest attempts that are meant; of an archived job those in its archive."""
    options = asked.options
    limit = min(options.limit or SHOWN, MOST)
    job = read_ref(state, asked.ref).job if asked.ref else None
    rows = store.accounting(
        user=asked.whose(own=job is None),
        project=options.project,
        partition=options.partition,
        since=options.since,
        until=options.until,
        job=job,
        limit=limit + 1,
    )
    if not rows and job is not None and is_archived(state, job):
        with archives.holding(job) as (month, kept):
            rows = kept.accounting(job=job, limit=limit)
        return {"accounting": [named(row) for row in rows], "archive": month}
    return {"accounting": [named(row) for row in rows[-limit:]], "more": len(rows) > limit}


def used(asked: Asked) -> Counted:
    """Return what to ask for the sums that are meant."""
    options = asked.options
    statement, values = usage.usage(
        options.spans or [("", 0.0, asked.now)],
        options.by,
        now=asked.now,
        user=asked.whose(),
        project=options.project,
        partition=options.partition,
    )
    return Counted(statement, values, lambda found: {"usage": usage.rows_of(found)})

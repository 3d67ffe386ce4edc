"""What the manager and the process that runs one query say to each other.

The manager starts `command(path)`, writes `ask(...)` to its stdin, closes that, reads its stdout
to the end, and gives both that and the exit status to `answer`. The process ends by itself, at
the latest `KILLED_AFTER` seconds after it began to work.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ostler.model.errors import NotNow, OstlerError, UsageError
from ostler.model.limits import MAX_QUERY
from ostler.model.problem import Problem
from ostler.model.record import Moment

DEADLINE = 5.0  # seconds for one statement
KILLED_AFTER = 7  # seconds after which the kernel ends a process that does not heed the deadline
MAX_ROWS = 100_000
MAX_BYTES = 16 << 20  # of an answer, about; half of what one message may have
MAX_MEMORY = 256 << 20  # bytes that SQLite may use


class Ask(Struct):
    """One statement in the name of one user."""

    sql: str
    user: str
    admin: bool = False
    moments: list[Moment] = []  # what is fresher than the database
    values: dict[str, Any] = {}  # of the statement's :names


class Answer(Struct, omit_defaults=True):
    """Rows, or why there are none."""

    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    error: Problem | None = None


_decode_ask = msgspec.msgpack.Decoder(Ask).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode
_encode = msgspec.msgpack.Encoder().encode


def command(path: str) -> list[str]:
    """Return the command of the process for this database."""
    return [sys.executable, "-I", "-m", "ostler.store.query_worker", path]


def ask(
    sql: str,
    user: str,
    *,
    admin: bool,
    moments: Sequence[Moment] = (),
    values: Mapping[str, Any] | None = None,
) -> bytes:
    """Return what goes to its stdin; raise `UsageError` for a statement that is too long."""
    if len(sql) > MAX_QUERY:
        raise UsageError(
            f"the statement has {len(sql)} characters", expected=f"at most {MAX_QUERY}"
        )
    return _encode(Ask(sql, user, admin, list(moments), dict(values or {})))


def read_ask(data: bytes) -> Ask:
    """Return what was asked; raise `UsageError`."""
    try:
        return _decode_ask(data)
    except msgspec.MsgspecError as error:
        raise UsageError(f"the question cannot be read: {error}") from error


def write_answer(answer: Answer) -> bytes:
    """Return what goes to stdout."""
    return _encode(answer)


def failure(error: OstlerError) -> Answer:
    """Return the answer that carries an error."""
    return Answer(error=Problem.of(error))


def answer(data: bytes, status: int) -> dict[str, Any]:
    """Return {columns: [...], rows: [[...], ...]}, or raise the error that was found.

    status: of the process, as `subprocess` tells it. Raises `NotNow` when it was killed.
    """
    try:
        found = _decode_answer(data)
    except msgspec.MsgspecError:
        raise late() if status < 0 else NotNow(f"the query ended with status {status}") from None
    if found.error is not None:
        raise found.error.error()
    return {"columns": found.columns, "rows": found.rows}


def late() -> NotNow:
    """Return the error of a statement that took too long."""
    return NotNow(
        f"the query took longer than {DEADLINE:.0f} seconds and was stopped",
        hint="select fewer rows, for example only the jobs of a day or of a user",
    )

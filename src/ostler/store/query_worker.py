"""`python -I -m ostler.store.query_worker DATABASE`: answers one question and ends.

A process of its own, so that no statement can slow down or take down the manager.
"""

import resource
import signal
import sys

from ostler.model.errors import OstlerError
from ostler.store import query
from ostler.store.sqlite.sandbox import run

DATA = 1 << 30  # bytes: several times what SQLite may use, for Python and the answer


def main() -> None:
    """Read from stdin, write to stdout."""
    data = sys.stdin.buffer.read()
    signal.alarm(query.KILLED_AFTER)  # a single long operation is deaf to SQLite's own deadline
    for limit, most in (
        (resource.RLIMIT_CPU, query.KILLED_AFTER),
        (resource.RLIMIT_DATA, DATA),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)  # noqa: PLW2901 - an ordinary user cannot raise it
        resource.setrlimit(limit, (most, most))
    try:
        found = run(sys.argv[1], query.read_ask(data))
    except OstlerError as error:
        found = query.failure(error)
    sys.stdout.buffer.write(query.write_answer(found))


if __name__ == "__main__":
    main()

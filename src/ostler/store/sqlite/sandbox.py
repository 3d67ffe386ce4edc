"""One SELECT of a user, who sees views and can neither write nor look behind them.

The file is attached under a schema name of 128 random bits. TEMP views that bear the tables'
names are the only thing that can name it, so a statement that says `main.jobs`, or calls a
subquery `jobs` to look like a view, finds nothing. SQLite asks the authorizer about each column,
function and action besides.
"""

import re
import secrets
import sqlite3
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.ids import STEPS_FROM
from ostler.model.limits import MAX_QUERY
from ostler.model.record import Moment
from ostler.store import query
from ostler.store.sqlite.faults import explain

STEPS = 1_000  # instructions of SQLite's machine between two looks at the clock
MAX_VALUE = 8 << 20  # bytes of one value

# table -> columns that are private: shown to the owner of the row, or (None) to nobody.
PRIVATE: dict[str, dict[str, str | None]] = {
    "jobs": {"command": "user", "request_id": "user", "spec": None},
    "blobs": {"data": None},
    "steps": {"command": "user"},
    "handled": {"notice": None},
}
_ROWS = {"jobs": f" WHERE id < {STEPS_FROM}"}  # steps have a view of their own
_FRESH = "fresh_"  # what the manager knows to be fresher; no name that a user would choose
_BESIDE = {
    "nodes": f" LEFT JOIN temp.{_FRESH} ON {_FRESH}.node = nodes.name",
    "servers": f" LEFT JOIN temp.{_FRESH} ON {_FRESH}.node = host AND daemon = 'agent'",
}
_FRESHER = {("nodes", name): name for name in Moment._fields[1:]} | {
    ("servers", "pid"): "agent_pid",
    ("servers", "started_at"): "agent_started_at",
}
_BEHIND = {
    "steps": ("jobs", "elements"),
    "servers": ("roles", "nodes"),
}  # view of the schema -> the tables that it reads
TABLES = (
    "access_controls",
    "accounting",
    "allocation_nodes",
    "allocations",
    "attributes",
    "configurations",
    "daily_use",
    "discrepancies",
    "elements",
    "event_handlers",
    "schedulers",
    "events",
    "handled",
    "jobs",
    "nodes",
    "partitions",
    "pools",
    "projects",
    "reservations",
    "resource_managers",
    "rm_jobs",
    "rm_nodes",
    "roles",
    "servers",
    "steps",
    "subscribers",
    "transactions",
    "users",
)
ADMIN_TABLES = ("answered", "blobs", "postings")

_FUNCTIONS = frozenset(
    """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat
    concat_ws cos cosh count cume_dist current_date current_time current_timestamp date datetime
    degrees dense_rank exp first_value floor format glob group_concat hex ifnull iif instr json
    json_array json_array_length json_extract json_group_array json_group_object json_insert
    json_object json_patch json_quote json_remove json_replace json_set json_type json_valid
    julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max
    min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians
    random rank replace round row_number rtrim sign sin sinh sqrt strftime string_agg substr
    substring sum tan tanh time timediff total trim trunc typeof unicode unixepoch unlikely upper
    """.split()  # noqa: SIM905 - 120 quotes are harder to read
)
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * MAX_QUERY,  # bytes, of characters
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 1_000_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_BLANK = re.compile(r"(?:[\s;\ufeff]|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$))*", re.DOTALL)
_VERBS = frozenset(
    """
    alter analyze attach begin commit create delete detach drop end explain insert pragma reindex
    release replace rollback savepoint update vacuum
    """.split()  # noqa: SIM905 - same
)
_CODES = {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
}


def run(path: str, ask: query.Ask) -> query.Answer:
    """Return the rows of one statement; raises `Refused`, `Missing`, `UsageError`, `NotNow`."""
    word = ask.sql[_BLANK.match(ask.sql).end() :]  # type: ignore[union-attr] # matches nothing too
    verb = re.match(r"\w*", word)
    if verb and verb[0].lower() in _VERBS:
        raise _only_reads(verb[0].upper())
    tables = (*TABLES, *ADMIN_TABLES) if ask.admin else TABLES
    hidden = f"s{secrets.token_hex(16)}"
    conn = sqlite3.connect("file::memory:", uri=True, isolation_level=None, timeout=2.0)
    try:
        _prepare(conn, path, hidden, tables, ask)
        guard = Guard(hidden, tables)
        conn.set_authorizer(guard)
        end = monotonic() + query.DEADLINE
        conn.set_progress_handler(lambda: monotonic() > end, STEPS)
        try:
            return _answer(conn, ask)
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError) as error:
            raise _explain(error, guard, tables, path) from error
    finally:
        conn.close()


def _prepare(
    conn: sqlite3.Connection, path: str, hidden: str, tables: tuple[str, ...], ask: query.Ask
) -> None:
    """Attach the file under its secret name and put the views before it."""
    try:
        uri = Path(path).absolute().as_uri() + "?mode=ro"
        conn.execute(f"ATTACH ? AS {hidden}", (uri,))
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute("PRAGMA temp_store = MEMORY")  # so that sorting counts as memory, not disk
        (owner,) = conn.execute("SELECT quote(?)", (ask.user,)).fetchone()
        conn.execute(
            f"CREATE TEMP TABLE {_FRESH} (node TEXT PRIMARY KEY, {', '.join(Moment._fields[1:])})"
        )
        conn.executemany(f"INSERT INTO {_FRESH} VALUES (?, ?, ?, ?, ?)", ask.moments)  # noqa: S608 - names of ours
        for table in tables:
            columns = [row[1] for row in conn.execute(f"PRAGMA {hidden}.table_xinfo({table})")]
            shown = ", ".join(filter(None, (_column(table, c, owner) for c in columns)))
            source = f"{hidden}.{table}{_BESIDE.get(table, '')}{_ROWS.get(table, '')}"
            conn.execute(f"CREATE TEMP VIEW {table} AS SELECT {shown} FROM {source}")  # noqa: S608 - names of ours
        for function in _TABLE_FUNCTIONS:  # their first use writes to the empty main schema
            conn.execute(f"SELECT 1 FROM {function}('[]')")  # noqa: S608 - same
    except sqlite3.Error as error:
        raise explain(error, path) from error
    conn.text_factory = lambda data: data.decode(errors="replace")
    conn.execute("PRAGMA query_only = ON")
    conn.execute(f"PRAGMA hard_heap_limit = {query.MAX_MEMORY}")
    for limit, most in _LIMITS.items():
        conn.setlimit(limit, most)


def _column(table: str, column: str, owner: str) -> str | None:
    """Return how a view shows a column; None: not at all."""
    if fresher := _FRESHER.get((table, column)):
        return f'coalesce({_FRESH}."{fresher}", {table}."{column}") AS "{column}"'
    if column not in PRIVATE.get(table, {}):
        return f'"{column}"'
    whose = PRIVATE[table][column]
    return whose and f'CASE WHEN "{whose}" = {owner} THEN "{column}" END AS "{column}"'


class Guard:
    """SQLite's authorizer: allows what is listed, and remembers the first thing it did not."""

    def __init__(self, hidden: str, tables: tuple[str, ...]) -> None:
        self._hidden = hidden
        self._tables = frozenset(tables)
        self.denied: OstlerError | None = None

    def __call__(
        self, action: int, one: str | None, two: str | None, schema: str | None, source: str | None
    ) -> int:
        """Answer SQLite; source is the innermost view or subquery that asks."""
        error = self._judge(action, one or "", two or "", schema, source)
        if error is None:
            return sqlite3.SQLITE_OK
        self.denied = self.denied or error
        return sqlite3.SQLITE_DENY

    def _judge(
        self, action: int, one: str, two: str, schema: str | None, source: str | None
    ) -> OstlerError | None:
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return None
            case sqlite3.SQLITE_FUNCTION:
                if two.lower() in _FUNCTIONS:
                    return None
                return Refused(f"the function {two} may not be used in a query")
            case sqlite3.SQLITE_READ:
                return None if self._readable(one, two, schema, source) else self._unreadable(one)
        return _only_reads(_CODES.get(action, ""))

    def _readable(self, table: str, column: str, schema: str | None, source: str | None) -> bool:
        if schema == "temp":
            return table in self._tables or (table == _FRESH and source in _BESIDE)
        if schema == self._hidden:
            # No column: rows are counted, by a plan in which the view itself is dissolved.
            behind = source == table or table in _BEHIND.get(source or "", ())
            return table in self._tables and (behind or not column)
        if schema == "main":
            return table in _TABLE_FUNCTIONS
        # A subquery's own columns; a real table that no view shows is not to be counted either.
        return not (column or table in ADMIN_TABLES or table.startswith(("sqlite_", "pragma_")))

    def _unreadable(self, table: str) -> OstlerError:
        return Refused(f"{table} may not be read in a query", expected=_list(self._tables))


def _answer(conn: sqlite3.Connection, ask: query.Ask) -> query.Answer:
    cursor = conn.execute(ask.sql, ask.values)
    if cursor.description is None:
        raise UsageError("there is no statement", hint="write one that begins with SELECT")
    rows: list[tuple[Any, ...]] = []
    size = 0
    for raw in cursor:
        row = tuple(_plain(value) for value in raw)
        size += sum(9 + (len(v) if isinstance(v, str) else 0) for v in row)
        if len(rows) == query.MAX_ROWS or size > query.MAX_BYTES:
            raise Refused(
                f"the answer is larger than {query.MAX_ROWS} rows or {query.MAX_BYTES >> 20} MiB",
                hint="add LIMIT, or let the statement count and sum",
            )
        rows.append(row)
    return query.Answer([column[0] for column in cursor.description], rows)


def _plain(value: object) -> object:
    """Return a value that JSON has too."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value


def _only_reads(word: str) -> Refused:
    said = f"{word} is not allowed" if word else "this statement would change something"
    return Refused(
        f"a query only reads: {said}",
        expected="one statement that begins with SELECT, WITH or VALUES",
    )


def _list(tables: frozenset[str] | tuple[str, ...]) -> str:
    return f"the tables are {', '.join(sorted(tables))}"


def _explain(error: Exception, guard: Guard, tables: tuple[str, ...], path: str) -> OstlerError:
    """Return what an error of the user's statement means."""
    if guard.denied is not None:
        return guard.denied
    name = getattr(error, "sqlite_errorname", "")
    text = str(error)
    if isinstance(error, MemoryError) or name == "SQLITE_NOMEM":
        return Refused(
            f"the query needs more than {query.MAX_MEMORY >> 20} MiB of memory",
            hint="select fewer rows or columns",
        )
    if name == "SQLITE_INTERRUPT":
        return query.late()
    if name == "SQLITE_TOOBIG" or isinstance(error, sqlite3.DataError):
        return Refused(f"a value is larger than {MAX_VALUE >> 20} MiB", hint="select less")
    if text.startswith("cannot modify"):  # a view, found before the authorizer is asked
        return _only_reads("")
    if text.startswith("no such table"):
        return Missing(f"there is {text}".replace("no such", "no"), expected=_list(tables))
    if text.startswith(("no such column", "no such function")):
        return Missing(
            f"there is {text}".replace("no such", "no"), hint="see `ostler query --help`"
        )
    if "one statement at a time" in text:
        return UsageError("there is more than one statement", expected="one")
    if name in ("SQLITE_ERROR", "SQLITE_RANGE", "") or isinstance(error, ValueError):
        return UsageError(f"the statement cannot be run: {text}")
    found = explain(error, path) if isinstance(error, sqlite3.Error) else None
    return found or NotNow(text)

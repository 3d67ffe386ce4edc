"""A query shows what its user may see, and nothing that a user writes gets behind that."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.job import JobSpec
from ostler.model.record import Blob, Setting
from ostler.store import query
from ostler.store.sqlite import sandbox
from tests.store.builders import Held, a_job, a_node, an_attempt, an_element, an_event

SECRET = "swordfish"  # stands in all that is private to ann


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("query") / "a b?c%20#'d.db"
    held = Held(path)
    digest = "d" * 64
    spec = JobSpec(argv=(SECRET.encode(),), env=digest, cwd=SECRET.encode())
    held.commit(
        Blob(digest, 1000, SECRET.encode()),
        a_job(1, user="ann", spec=spec, request_id=SECRET),
        a_job(2, user="bob", uid=1001, spec=JobSpec(argv=(b"mine",))),
        an_element(0, node="n1"),
        an_event(1, job=1, text="hello"),
        an_attempt(),
        a_node(),
        Setting("grace-period", "5"),
    )
    yield path
    held.store.close()


def rows(
    database: Path, sql: str, user: str = "bob", *, admin: bool = False
) -> list[tuple[Any, ...]]:
    found = sandbox.run(str(database), query.Ask(sql, user, admin))
    return found.rows


def test_a_query_names_its_columns_and_rows(database: Path) -> None:
    found = sandbox.run(str(database), query.Ask("select id, user as whose from jobs", "bob"))
    assert found.columns == ["id", "whose"]
    assert found.rows == [(1, "ann"), (2, "bob")]


RUNNING_SUM = """
WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n LIMIT 4)
SELECT sum(x) OVER (ORDER BY x) FROM n
"""


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM jobs", [(2,)]),
        ("select count(*) from events where node = 'n05'", [(0,)]),
        ("select 1 from jobs limit 1", [(1,)]),
        ("WITH x AS (SELECT id FROM jobs) SELECT max(id) FROM x", [(2,)]),
        ("with t as (select 1) select count(*) from t", [(1,)]),
        ("with jobs as (select 7 as id) select id from jobs", [(7,)]),
        ("VALUES (1, 'a')", [(1, "a")]),
        ("; -- a remark\n /* another */ select 1;", [(1,)]),
        (RUNNING_SUM, [(1,), (3,), (6,), (10,)]),
        ("select value from json_each('[1,2]')", [(1,), (2,)]),
        ("select j.id, e.element from jobs j join elements e on e.job = j.id", [(1, 0)]),
        ("select a.user from accounting a where exists (select 1 from jobs)", [("ann",)]),
        ("select key, value from attributes", [("grace-period", "5")]),
        ("select json_extract(cpu_numbers, '$[1]'), gpus from nodes", [(1, 0)]),
        ("select role from roles order by 1", [("machine",), ("partition:main",)]),
        ("select name from partitions", [("main",)]),
        ("select 9e999, -9e999, null, x'ff00', cast(x'ff' as text)",
         [("inf", "-inf", None, "ff00", "\ufffd")]),
    ],
)  # fmt: skip
def test_ordinary_selects_work(database: Path, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(database, sql) == expected


def test_a_user_sees_the_command_of_own_jobs_only(database: Path) -> None:
    sql = "select command, request_id is null from jobs order by id"
    assert rows(database, sql, "bob") == [(None, 1), ("mine", 0)]
    assert rows(database, sql, "ann") == [(SECRET, 0), (None, 1)]
    assert rows(database, sql, "root", admin=True) == [(None, 1), (None, 1)]


@pytest.mark.parametrize("user", ["' or 1=1 --", 'a"b', "x' THEN command END, spec --", ""])
def test_a_strange_user_name_is_only_a_name(database: Path, user: str) -> None:
    assert rows(database, "select command from jobs", user) == [(None,), (None,)]


def test_only_an_administrator_sees_that_there_are_blobs_and_never_what_is_in_them(
    database: Path,
) -> None:
    assert rows(database, "select uid, size from blobs", admin=True) == [(1000, len(SECRET))]
    assert rows(database, "select count(*) from blobs", admin=True) == [(1,)]
    for sql in ("select size from blobs", "select count(*) from blobs"):
        with pytest.raises(OstlerError, match="blobs"):
            rows(database, sql)


ESCAPES = [
    "select command from main.jobs",
    "select data from main.blobs",
    "select spec from jobs",
    "select data from blobs",
    "with jobs as (select command from main.jobs) select * from jobs",
    "with jobs as (select data from blobs) select * from jobs",
    "with blobs as (select data from blobs) select * from blobs",
    "with events as (select data as text from blobs) select text from events",
    "select * from (select data from blobs) as jobs",
    "select * from sqlite_master",
    "select * from sqlite_schema",
    "select sql from sqlite_temp_master",
    "select sql from temp.sqlite_master",
    "select sql from sqlite_temp_schema",
    "with jobs as (select sql from sqlite_temp_master) select * from jobs",
    "select count(*) from sqlite_temp_master",
    "select * from pragma_database_list",
    "select * from pragma_table_info('jobs')",
    "select count(*) from pragma_database_list",
    "select * from pragma_function_list",
    "select * from sqlite_dbpage",
    "select * from dbstat",
    "select * from sqlite_stmt",
    "select * from bytecode('select 1')",
    "select * from tables_used('select * from jobs')",
    "select * from generate_series(1, 2)",
    "pragma database_list",
    "PRAGMA writable_schema = on",
    "pragma hard_heap_limit = 0",
    "attach 'x.db' as x",
    "attach database ':memory:' as x",
    "detach temp",
    "insert into jobs (id) values (9)",
    "insert into main.jobs (id) values (9)",
    "with x as (select 9) insert into attributes (key) select * from x",
    "with x as (select 9) delete from jobs",
    "with x as (select 9) update jobs set state = 'done'",
    "replace into attributes values ('a', 'b', 'c', 1)",
    "create table t (a)",
    "create temp table t (a)",
    "create temp view v as select command from jobs",
    "create temp trigger t instead of insert on jobs begin select 1; end",
    "create virtual table t using fts5(a)",
    "drop view jobs",
    "alter table jobs rename to x",
    "begin",
    "vacuum into '/tmp/never'",
    "; ; vacuum",
    "reindex",
    "analyze",
    "savepoint a",
    "explain select 1",
    "/* */ explain query plan select * from jobs",
    "select load_extension('x')",
    "select fts3_tokenizer('simple')",
    "select readfile('/etc/passwd')",
    "select writefile('/tmp/never', 'x')",
    "select edit('x')",
    "select randomblob(1000000000)",
    "select length(zeroblob(1000000000))",
    "select hex(randomblob(1000000000))",
    "select sqlite_compileoption_get(1)",
    "select 1; select 2",
    "select 1; drop view jobs",
    "select 1 union select data from blobs",
    "select (select data from blobs)",
    "select * from jobs where exists (select 1 from blobs where data like 's%')",
    "select id from jobs order by (select data from blobs)",
    "select group_concat(data) from blobs",
    "select * from json_each((select data from blobs))",
]


@pytest.mark.parametrize("sql", ESCAPES)
@pytest.mark.parametrize("admin", [False, True], ids=["user", "admin"])
def test_no_statement_gets_out(database: Path, sql: str, *, admin: bool) -> None:
    with pytest.raises(OstlerError) as caught:
        rows(database, sql, admin=admin)
    assert caught.value.exit_status in (2, 3, 4)
    assert SECRET not in str(caught.value)
    assert not re.search("s[0-9a-f]{32}", str(caught.value))


def test_a_view_that_is_imitated_by_name_reads_nothing_behind_the_views(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authorizer alone would be taken in here: only the schema's secret name is in the way."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    sql = "with jobs as (select command from sknown.jobs) select * from jobs"
    assert (SECRET,) in rows(database, sql)
    monkeypatch.undo()
    with pytest.raises(Missing, match="sknown"):
        rows(database, sql)


@pytest.mark.parametrize(
    ("sql", "kind", "words"),
    [
        ("select * from job", Missing, "no table: job (the tables are access_controls, acc"),
        ("select colour from jobs", Missing, "no column: colour"),
        ("select colour(1)", Missing, "no function: colour"),
        ("delete from jobs", Refused, "DELETE is not allowed"),
        ("with x as (select 1) delete from jobs", Refused, "only reads"),
        ("pragma table_info(jobs)", Refused, "PRAGMA is not allowed"),
        ("select load_extension('x')", Refused, "load_extension"),
        ("selct 1", UsageError, "syntax error"),
        ("", UsageError, "no statement"),
        ("-- nothing", UsageError, "no statement"),
        ("select 1; select 2", UsageError, "more than one statement"),
        ("select 'a\0b'", UsageError, "statement"),
        ("select replace(printf('%.*c', 4000000, 'x'), 'x', 'yyy')", Refused, "8 MiB"),
    ],
)
def test_an_error_says_what_is_wrong(
    database: Path, sql: str, kind: type[OstlerError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        rows(database, sql)
    assert words in str(caught.value)


COUNT = "with recursive n(x) as (values(1) union all select x+1 from n limit {}) select {} from n"


def test_the_largest_answer_is_given_and_one_row_more_is_refused(database: Path) -> None:
    assert len(rows(database, COUNT.format(query.MAX_ROWS, "x"))) == query.MAX_ROWS
    with pytest.raises(Refused, match="LIMIT"):
        rows(database, COUNT.format(query.MAX_ROWS + 1, "x"))


def test_an_answer_of_too_many_bytes_is_refused(database: Path) -> None:
    with pytest.raises(Refused, match="16 MiB"):
        rows(database, COUNT.format(30, "printf('%.*c', 1000000, 'x')"))


def test_a_query_that_hoards_memory_is_refused(database: Path) -> None:
    hoard = "with recursive n(x) as (values(1) union all select x+1 from n limit 1000) "
    hoard += "select printf('%.*c', 8000000, 'x') || x as y from n order by y desc"
    with pytest.raises(Refused, match="256 MiB of memory"):
        rows(database, hoard)


def test_an_endless_query_is_stopped(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "DEADLINE", 0.1)
    endless = "with recursive n(x) as (values(1) union all select x from n) select count(*) from n"
    with pytest.raises(NotNow, match="stopped"):
        rows(database, endless)


WORDS = st.sampled_from(
    """
    select with recursive as from where ( ) , * jobs blobs main temp . sqlite_master union all
    join using group by order limit 1 'x' command spec data user = exists in case when then end
    json_each count max ; -- x insert into values pragma attach explain
    """.split()  # noqa: SIM905 - a list of words
)


@given(st.lists(WORDS, max_size=25).map(" ".join), st.booleans())
def test_whatever_is_written_the_answer_is_rows_or_a_sentence(
    database: Path,
    sql: str,
    admin: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    try:
        found = rows(database, sql, admin=admin)
    except OstlerError as error:
        assert str(error)  # noqa: PT017 - either is right
    else:
        assert SECRET not in repr(found)

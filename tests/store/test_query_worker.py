"""The process that answers one query: real processes, as the manager starts them."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ostler.model.errors import Missing, NotNow, OstlerError, UsageError
from ostler.model.limits import MAX_QUERY
from ostler.store import query
from tests.store.builders import Held, a_job


def ask(path: Path, data: bytes) -> dict[str, Any]:
    done = subprocess.run(
        query.command(str(path)), input=data, capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
    return query.answer(done.stdout, done.returncode)


def test_rows_come_back_while_the_manager_writes(on_disk: Held, path: Path) -> None:
    on_disk.commit(a_job())
    sql = "select id, command from jobs"
    assert ask(path, query.ask(sql, "ann", admin=False)) == {
        "columns": ["id", "command"],
        "rows": [(1, "/bin/true")],
    }


def test_an_error_comes_back_as_itself(on_disk: Held, path: Path) -> None:
    with pytest.raises(Missing, match="the tables are"):
        ask(path, query.ask("select * from job", "ann", admin=False))


def test_a_question_that_cannot_be_read_is_a_usage_error(on_disk: Held, path: Path) -> None:
    with pytest.raises(UsageError, match="question"):
        ask(path, b"\xc1")


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="cannot be opened"):
        ask(tmp_path / "none.db", query.ask("select 1", "ann", admin=False))
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"nothing of the kind" * 500)
    with pytest.raises(NotNow, match="no database"):
        ask(tmp_path / "bad.db", query.ask("select 1", "ann", admin=False))


def test_a_process_that_was_killed_counts_as_too_slow() -> None:
    with pytest.raises(NotNow, match="longer than 5 seconds"):
        query.answer(b"", -signal.SIGALRM)
    with pytest.raises(NotNow, match="status 1"):
        query.answer(b"", 1)


def test_a_statement_that_is_too_long_is_not_even_sent() -> None:
    with pytest.raises(OstlerError, match="at most"):
        query.ask("x" * (MAX_QUERY + 1), "ann", admin=False)

"""Ended jobs move to archives whole, and nothing is lost wherever that is interrupted."""

import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.model.errors import Missing, StaleEpoch
from ostler.model.ids import step_id
from ostler.model.job import Job
from ostler.model.record import Blob
from ostler.model.states import JobState
from ostler.store import query
from ostler.store.sqlite import sandbox
from ostler.store.sqlite.archive import Archives, path_of
from tests.store.builders import (
    Held,
    a_job,
    an_allocation,
    an_attempt,
    an_element,
    an_event,
    ended,
)

OLD = time.mktime((2025, 3, 15, 12, 0, 0, 0, 0, -1))
OLDER = time.mktime((2025, 2, 10, 12, 0, 0, 0, 0, -1))
NEW = OLD + 86_400.0
ELEMENTS = 7


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """Job 1 ended in February, job 2 in March: an `alloc` with a step. 3 runs, 4 is new, 5 newest."""
    held = Held(tmp_path / "ostler.db")
    step = step_id(2, 0)
    held.commit(
        ended(a_job(1), at=OLDER),
        *(an_element(i, job=1, state=JobState.DONE) for i in range(ELEMENTS)),
        an_allocation(1, job=1, state="released"),
        an_event(1, job=1),
        an_attempt(1, job=1, ended_at=OLDER),
        ended(a_job(2, user="bob"), at=OLD),
        an_element(0, job=2, state=JobState.DONE),
        ended(a_job(step, user="bob"), at=OLD),
        an_element(0, job=step, state=JobState.DONE),
        an_event(2, job=step),
        an_attempt(2, job=2, ended_at=OLD, user="bob"),
        a_job(3, state=JobState.RUNNING),
        an_allocation(2, job=3),
        ended(a_job(4), at=NEW),
        an_event(3, job=4),
        ended(a_job(5), at=OLDER),
        an_event(4),
    )
    yield held
    held.store.close()


def rows(path: Path, sql: str, user: str = "bob") -> list[tuple[Any, ...]]:
    return sandbox.run(str(path), query.Ask(sql, user)).rows


def move(held: Held, folder: Path, *, limit: int = 3) -> int:
    """Move what ended before `NEW`; return in how many transactions."""
    jobs = held.store.copy_jobs(str(folder), NEW, 100)
    assert jobs == [1, 2, step_id(2, 0)]
    count = 1
    while not held.store.drop_jobs(held.epoch, jobs, limit):
        count += 1
    return count


def test_what_ended_long_ago_is_found_in_the_archive_of_its_month(
    held: Held, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    move(held, folder)
    february, march = path_of(folder, "2025-02"), path_of(folder, "2025-03")
    assert rows(february, "select id from jobs") == [(1,)]
    assert rows(february, "select count(*) from elements") == [(ELEMENTS,)]
    assert rows(february, "select id, job from allocations") == [(1, 1)]
    assert rows(february, "select count(*) from allocation_nodes") == [(2,)]
    assert rows(february, "select serial, job from events") == [(1, 1)]
    assert rows(march, "select id from jobs") == [(2,)]
    assert rows(march, "select job, step from steps") == [(2, 0)]


def test_an_archive_hides_what_the_database_hides(held: Held, tmp_path: Path) -> None:
    move(held, tmp_path / "archive")
    march = path_of(tmp_path / "archive", "2025-03")
    assert rows(march, "select command is null from jobs", user="bob") == [(0,)]
    assert rows(march, "select command is null from jobs", user="ann") == [(1,)]
    assert stat.S_IMODE(march.stat().st_mode) == 0o600
    assert stat.S_IMODE(march.parent.stat().st_mode) == 0o700


def test_the_database_keeps_what_is_new_or_runs_and_the_newest_numbers(
    held: Held, tmp_path: Path
) -> None:
    move(held, tmp_path / "archive")
    database = tmp_path / "ostler.db"
    assert rows(database, "select id from jobs order by id") == [(3,), (4,), (5,)]
    assert rows(database, "select job from elements") == []
    assert rows(database, "select id from allocations") == [(2,)]
    assert rows(database, "select count(*) from accounting") == [(2,)]
    loaded = held.store.load()
    assert (loaded.next_job, loaded.next_allocation, loaded.next_event) == (6, 3, 5)


def test_rows_are_deleted_some_at_a_time(held: Held, tmp_path: Path) -> None:
    assert move(held, tmp_path / "archive", limit=3) == (ELEMENTS + 2) // 3 + 1


def test_a_move_that_was_interrupted_is_done_anew_and_loses_nothing(
    held: Held, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    jobs = held.store.copy_jobs(str(folder), NEW, 100)
    held.store.drop_jobs(held.epoch, jobs, 3)  # and then it dies
    move(held, folder)
    assert rows(path_of(folder, "2025-02"), "select count(*) from elements") == [(ELEMENTS,)]


def test_accounting_moves_by_its_own_time(held: Held, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    accounts = held.store.copy_accounts(str(folder), OLD, 100)
    assert accounts == [(1, 1, 0, 1, 0)]
    held.store.drop_accounts(held.epoch, accounts)
    assert rows(path_of(folder, "2025-02"), "select job from accounting") == [(1,)]
    assert rows(tmp_path / "ostler.db", "select job from accounting") == [(2,)]


def test_who_holds_the_role_no_more_deletes_nothing(held: Held, tmp_path: Path) -> None:
    with pytest.raises(StaleEpoch):
        held.store.drop_jobs(held.epoch - 1, [1], 10)
    with pytest.raises(StaleEpoch):
        held.store.drop_accounts(held.epoch - 1, [(1, 1, 0, 1, 0)])
    assert rows(tmp_path / "ostler.db", "select count(*) from accounting") == [(2,)]


def test_an_archive_that_is_not_there_is_refused_with_those_that_are(
    held: Held, tmp_path: Path
) -> None:
    move(held, tmp_path / "archive")
    with pytest.raises(Missing, match="2025-02, 2025-03"):
        path_of(tmp_path / "archive", "../ostler")
    with pytest.raises(Missing, match="none so far"):
        path_of(tmp_path / "nowhere", "2025-02")


def test_an_archived_job_is_read_from_the_archive_that_has_it(held: Held, tmp_path: Path) -> None:
    move(held, tmp_path / "archive")
    archives = Archives(tmp_path / "archive")
    with archives.holding(1) as (month, kept):
        assert month == "2025-02"
        assert len(kept.elements(1)) == ELEMENTS
        assert [row["serial"] for row in kept.history(1)] == [1]
    with archives.holding(step_id(2, 0)) as (month, kept):
        job = kept.job(step_id(2, 0))
        assert (month, job is not None) == ("2025-03", True)
    (tmp_path / "archive" / "2025-02.db").unlink()
    with (
        pytest.raises(Missing, match="job 1 was moved to an archive, which is no longer there"),
        archives.holding(1),
    ):
        pass


def test_blobs_go_when_no_job_names_them_any_more(held: Held, tmp_path: Path) -> None:
    def named(number: int, env: str, at: float) -> Job:
        job = a_job(number)
        return ended(replace(job, spec=replace(job.spec, env=env)), at=at)

    blobs = [Blob(name, 0, name.encode()) for name in ("old", "both", "new", "come")]
    held.commit(*blobs, named(6, "old", OLDER), named(7, "both", OLDER), named(8, "both", NEW))
    held.commit(named(9, "new", NEW))
    jobs = held.store.copy_jobs(str(tmp_path / "archive"), NEW, 100)
    while not held.store.drop_jobs(held.epoch, jobs, 100):
        pass
    digests, asked = held.store.orphans()
    assert set(digests) == {"old", "come"}
    held.commit(named(10, "come", NEW))  # before the others go
    held.store.drop_blobs(held.epoch, digests, asked)
    assert [held.store.blob(blob.digest) is None for blob in blobs] == [True, False, False, False]

"""What was committed is there, wholly, and only in the name of the present epoch."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.errors import NotNow, StaleEpoch
from ostler.model.job import Dependency, JobSpec, TaskExit, Usage
from ostler.model.record import Blob, EndedElement, Ruled, Setting, Used
from ostler.model.resources import Placement, Request
from ostler.model.states import AllocationState, JobState, NodeStatus, NodeWord, Result
from ostler.store.sqlite.store import WAL_ROOM, SqliteStore
from tests.store.builders import (
    Held,
    a_job,
    a_node,
    an_allocation,
    an_attempt,
    an_element,
    an_event,
    ended,
    take,
)

FULL_SPEC = JobSpec(
    argv=(b"/bin/echo", b"\xff\x00x"),
    env="e" * 64,
    cwd=b"/tmp/\xff",
    name="fit",
    request=Request(
        tasks=2,
        cpus=3,
        memory=1 << 40,
        generic={"disk": 1},
        nodelist=("n1",),
        constraint="a&b",
        exclusive=True,
        licences={"lic": 2},
        reservation="r",
    ),
    time_limit=60,
    array=((0, 3), (7, 7)),
    array_cap=2,
    not_before=1.5,
    after=(Dependency(1, "any"),),
    retry_on=("75", "lost"),
)
USAGE = Usage(1.5, 0.25, 1 << 30, 7, 8, 2.0)


def test_a_store_that_was_just_made_is_empty_and_counts_from_one(held: Held) -> None:
    loaded = held.store.load()
    assert (loaded.jobs, loaded.nodes, loaded.ended, loaded.settings) == ([], [], {}, {})
    assert (loaded.next_job, loaded.next_allocation, loaded.next_event) == (1, 1, 1)


def test_elements_that_nobody_needed_are_known_as_successes_of_an_ended_array(held: Held) -> None:
    """Others wait for them one by one, and they have no rows."""
    array = JobSpec(argv=(b"/bin/true",), array=((0, 4), (8, 9)))
    for number, rest in ((1, Result.SUCCESS), (2, None)):
        held.commit(ended(a_job(number, spec=array, rest=rest)))
        for index, result in ((1, Result.FAILED), (3, Result.SUCCESS)):
            done = an_element(index, job=number, state=JobState.DONE, result=result)
            held.commit(done)
    waits = (Dependency(1, "each"), Dependency(2, "each"))
    held.commit(a_job(3, spec=replace(array, after=waits)))
    assert held.store.load().successes == {1: [0, 2, 3, 4, 8, 9], 2: [3]}


def test_a_rule_told_alone_and_a_row_written_as_a_whole_leave_what_came_last(held: Held) -> None:
    jobs = [a_job(n) for n in range(1, 6)]
    first = [replace(job, rule="queue") for job in jobs]
    second = [replace(job, rule="resources", priority=77) for job in jobs]
    held.commit(*jobs[1:])
    held.commit(
        jobs[0],
        Ruled(first[0]),  # of a job that is new
        Ruled(replace(jobs[1], rule="behind")),
        Ruled(first[1]),  # told twice
        Ruled(first[2]),
        second[2],  # a whole row behind it
        second[3],
        Ruled(replace(second[3], rule="hold")),  # and before it
    )
    rows = [(job.id, job.rule, job.priority) for job in held.store.load().jobs]
    was = jobs[0].priority
    assert rows == [
        (1, "queue", was),
        (2, "queue", was),
        (3, "resources", 77),
        (4, "hold", 77),
        (5, "", was),
    ]


def test_unfinished_records_come_back_as_they_were_written(held: Held) -> None:
    job = a_job(4, spec=FULL_SPEC, state=JobState.RUNNING, started_at=3.0, rule="array_cap")
    element = an_element(
        7, job=4, state=JobState.HELD, attempt=1, held_by="ann", usage=USAGE, reason="ö"
    )
    alloc = an_allocation(
        9,
        job=4,
        state=AllocationState.SUSPENDED,
        made=frozenset({"n1"}),
        freed=frozenset({"n0"}),
        started=True,
        started_at=5.0,
        cause="timeout",
        why="over",
        time_limit=60,
        suspended_at=6.0,
        suspended=1.0,
        tasks=(TaskExit(1, 2, 0), TaskExit(0, 0, 9)),
        usage=USAGE,
        end_cause="memory",
        end_why="too large",
    )
    node = a_node(
        status=NodeStatus.RUNNING,
        word=NodeWord.DRAINING,
        word_by="root",
        word_at=1.0,
        word_reason="disk",
        boot_id="b",
        since=2.0,
        unknown_since=3.0,
        gone=True,
        own_features=("ib",),
    )
    held.commit(job, element, alloc, node, Setting("grace-period", "5", "ann", 1.0), an_event(3))
    loaded = held.store.load()
    assert loaded.jobs == [job]
    assert loaded.elements == [element]
    assert loaded.allocations == [alloc]
    assert loaded.nodes == [node]
    assert loaded.settings == {"grace-period": "5"}
    assert (loaded.next_job, loaded.next_allocation, loaded.next_event) == (5, 10, 4)


def test_of_what_has_ended_only_results_are_loaded(held: Held) -> None:
    held.commit(
        ended(a_job(1), Result.LOST),
        an_element(0, state=JobState.DONE, result=Result.LOST),
        a_job(2, spec=FULL_SPEC),
        an_element(0, job=2, state=JobState.DONE, result=Result.SUCCESS),
        an_element(3, job=2, state=JobState.DONE, result=Result.FAILED),
        an_allocation(1, job=1, state=AllocationState.RELEASED),
    )
    loaded = held.store.load()
    assert loaded.ended == {1: "lost"}
    assert [job.id for job in loaded.jobs] == [2]
    assert loaded.elements == []
    assert loaded.done == {2: [EndedElement(0, "success", 0), EndedElement(3, "failed", 0)]}
    assert loaded.allocations == []
    assert loaded.next_allocation == 2


def test_the_last_of_several_writes_of_a_row_counts(held: Held) -> None:
    held.commit(
        a_job(1, reason="first"),
        Setting("a", "1"),
        Setting("b", "1"),
        a_job(1, reason="last"),
        Setting("a", None),
        Setting("b", None),
        Setting("b", "2"),
    )
    loaded = held.store.load()
    assert [job.reason for job in loaded.jobs] == ["last"]
    assert loaded.settings == {"b": "2"}


def test_a_node_that_was_given_back_is_no_longer_one_of_the_allocation(held: Held) -> None:
    alloc = an_allocation(made=frozenset({"n1", "n0"}), leaving=frozenset({"n0"}))
    held.commit(a_job(), alloc)
    assert held.store.load().allocations == [alloc]
    first, second = alloc.placements
    more = Placement("n2", first_rank=2)
    kept = (second, more)
    changes = {"placements": kept, "left": (first,), "dropped": 1, "resized": 2, "granted_at": 9.0}
    trimmed = replace(alloc, made=frozenset({"n0"}), **changes)
    held.commit(trimmed)
    assert held.store.load().allocations == [trimmed]


def test_an_allocation_can_be_written_again_while_its_nodes_come_and_go(held: Held) -> None:
    alloc = an_allocation(made=frozenset({"n1"}))
    held.commit(a_job(), alloc)
    alloc = replace(alloc, made=frozenset({"n0", "n1"}), freed=frozenset({"n1"}))
    held.commit(alloc)
    assert held.store.load().allocations == [alloc]


def test_a_setting_can_be_removed(held: Held) -> None:
    held.commit(Setting("grace-period", "5", "ann", 1.0))
    held.commit(Setting("grace-period", None, "ann", 2.0))
    assert held.store.load().settings == {}


def test_the_same_bytes_are_kept_once(held: Held) -> None:
    held.commit(Blob("d" * 64, 1000, b"A=1\0"))
    held.commit(Blob("d" * 64, 1001, b"A=1\0"))
    assert held.store.blob("d" * 64) == b"A=1\0"
    assert held.store.blob("e" * 64) is None


def test_a_job_that_is_requeued_is_loaded_again(held: Held) -> None:
    held.commit(ended(a_job()))
    held.commit(a_job(requeues=1, promised_start=5.0))
    loaded = held.store.load()
    assert [(job.requeues, job.promised_start) for job in loaded.jobs] == [(1, 5.0)]
    assert loaded.ended == {}


def test_a_batch_that_fails_leaves_nothing_behind(held: Held) -> None:
    held.commit(an_event(1))
    with pytest.raises(NotNow, match="UNIQUE"):
        held.commit(a_job(), an_event(2), an_event(1))
    with pytest.raises(NotNow, match="64 bits"):
        held.commit(a_job(), an_event(2, job=1 << 63))
    with pytest.raises(NotNow, match="Unicode"):
        held.commit(a_job(), an_event(2, text="\udcff"))
    loaded = held.store.load()
    assert (loaded.jobs, loaded.next_event) == ([], 2)
    held.commit(a_job(), an_event(2))


def test_one_user_cannot_have_two_jobs_of_one_request(held: Held) -> None:
    held.commit(a_job(1, request_id="r"), a_job(2, request_id="r", uid=1001))
    with pytest.raises(NotNow, match="request_id"):
        held.commit(a_job(3, request_id="r"))


def test_a_commit_in_the_name_of_an_old_epoch_writes_nothing(on_disk: Held, path: Path) -> None:
    other = SqliteStore.open(str(path))
    newer = take(other, pid=11, now=60.0)
    with pytest.raises(StaleEpoch):
        on_disk.commit(a_job())
    other.commit([a_job(2)], newer)
    assert [job.id for job in other.load().jobs] == [2]
    other.close()


def test_a_commit_of_nothing_still_tells_that_the_role_is_over(held: Held) -> None:
    held.commit()
    held.store.drop_role(held.epoch)
    with pytest.raises(StaleEpoch):
        held.commit()


def test_what_was_committed_is_there_after_the_store_is_opened_again(
    on_disk: Held, path: Path
) -> None:
    on_disk.commit(a_job(1), an_attempt())
    again = SqliteStore.open(str(path))  # beside the first, which closes nothing: as after kill -9
    assert [job.id for job in again.load().jobs] == [1]
    again.close()


def test_a_checkpoint_empties_the_wal_beside_an_open_writer(on_disk: Held, path: Path) -> None:
    def bytes_in_file() -> int:
        return path.stat().st_size

    before = bytes_in_file()
    on_disk.commit(*(a_job(i) for i in range(1, 500)))
    assert bytes_in_file() == before
    size = on_disk.store.wal_bytes()
    on_disk.store.checkpoint()
    assert bytes_in_file() > before
    on_disk.commit(a_job(1, reason="again"))
    assert on_disk.store.wal_bytes() == size  # begun anew, not made longer
    assert on_disk.store.load().jobs[0].reason == "again"


def test_a_wal_of_which_all_was_moved_is_not_cut_off_however_long_it_is(
    on_disk: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostler.store.sqlite.store.WAL_MOST", 0)
    on_disk.commit(*(a_job(i) for i in range(1, 500)))
    size = on_disk.store.wal_bytes()
    on_disk.store.checkpoint()
    assert on_disk.store.wal_bytes() == size > 0


def test_the_database_is_readable_by_its_owner_only(on_disk: Held, path: Path) -> None:
    on_disk.commit(a_job())
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from(JobState),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        )
    )
)
def test_any_order_of_writes_gives_the_last_state_of_each_job(
    writes: list[tuple[int, JobState, str]],
) -> None:
    grouped, single = Held(":memory:"), Held(":memory:")
    made = [
        a_job(i, state=s, reason=r, result=Result.LOST if s is JobState.DONE else None)
        for i, s, r in writes
    ]
    grouped.commit(*made)
    for job in made:
        single.commit(job)
    last = {job.id: job for job in made}
    assert grouped.store.load() == single.store.load()
    assert {i: grouped.store.job(i) for i in last} == last
    grouped.store.close()
    single.store.close()


def test_commits_overwrite_a_wal_made_beforehand_and_outlive_a_crash(
    on_disk: Held, path: Path, tmp_path: Path
) -> None:
    wal = Path(f"{path}-wal")
    size = wal.stat().st_size
    for number in range(1, 11):
        on_disk.commit(a_job(number))
    assert wal.stat().st_size == size, "a file that grows makes each sync twice as slow"
    crashed = tmp_path / "crashed.db"
    shutil.copy(path, crashed)
    shutil.copy(wal, f"{crashed}-wal")
    store = SqliteStore.open(str(crashed))
    assert [job.id for job in store.load().jobs] == list(range(1, 11))
    store.close()


def test_a_disk_without_room_for_a_wal_beforehand_is_used_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes, at: int) -> int:
        if at:
            raise OSError(errno.ENOSPC, "full")
        return 0

    monkeypatch.setattr(os, "pwrite", full)
    held = Held(path)
    held.commit(a_job(1))
    assert [job.id for job in held.store.load().jobs] == [1]
    assert Path(f"{path}-wal").stat().st_size < WAL_ROOM
    held.store.close()


def test_what_was_used_is_summed_by_account_and_hour_where_shares_count(held: Held) -> None:
    step = 1 << 61 | 1 << 20
    held.commit(
        an_attempt(1, cpus=2, granted_at=0.0, ended_at=100.0),
        an_attempt(2, cpus=1, granted_at=60.0, ended_at=200.0, usage=Usage(suspended=40.0)),
        an_attempt(3, cpus=4, granted_at=0.0, ended_at=7_200.0),
        an_attempt(4, cpus=1, granted_at=0.0, ended_at=50.0, project="bio"),
        an_attempt(5, cpus=9, granted_at=9.0, ended_at=9.0),
        an_attempt(6, job=step, cpus=2, granted_at=0.0, ended_at=100.0),
    )
    assert held.store.load().used == []
    held.commit(Setting("weight-share", "1", "ann", 1.0))
    assert held.store.load().used == [
        Used("", "ann", 300.0, 30.0, 150.0),
        Used("", "ann", 28_800.0, 0.0, 7_200.0),
        Used("bio", "ann", 50.0, 0.0, 50.0),
    ]
    held.commit(Setting("share-half-life", "300", "ann", 1.0))
    assert [used.cpu_seconds for used in held.store.load().used] == [28_800.0]
    held.commit(Setting("share-half-life", "0", "ann", 1.0))
    assert len(held.store.load().used) == 3

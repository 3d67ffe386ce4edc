"""What is read of ended work equals what a plain search through all records finds."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.job import Dependency, Job, JobSpec, TaskExit, Usage
from ostler.model.record import Blob, Event
from ostler.model.resources import Request
from ostler.model.states import JobState, Result
from tests.store.builders import (
    Held,
    a_job,
    a_node,
    an_attempt,
    an_element,
    an_event,
    ended,
)


def ids(rows: list[dict[str, Any]], key: str = "id") -> list[int]:
    return [row[key] for row in rows]


def test_a_row_of_a_job_has_the_documented_columns_without_the_spec(held: Held) -> None:
    request = Request(
        tasks=2,
        cpus=3,
        memory=4,
        gpus=1,
        nodes=2,
        constraint="a&b",
        exclusive=True,
        licences={"lic": 2},
        reservation="r",
    )
    spec = JobSpec(
        argv=(b"fit", b"\xff"),
        script="5" * 64,
        name="n",
        project="p",
        partition="main",
        request=request,
        time_limit=60,
        array=((0, 3), (7, 7)),
        array_cap=2,
        not_before=1.5,
        after=(Dependency(3), Dependency(4, "any")),
    )
    held.commit(a_job(12, spec=spec, rule="array_cap", held_by="bob", started_at=5.0))
    assert held.store.jobs() == [
        {
            "id": 12,
            "name": "n",
            "user": "ann",
            "uid": 1000,
            "gid": 1000,
            "project": "p",
            "partition": "main",
            "rm": None,
            "state": "pending",
            "result": None,
            "exit_status": None,
            "reason": "",
            "rule": "array_cap",
            "priority": 50,
            "kind": "batch",
            "command": "(script) fit \ufffd",
            "tasks": 2,
            "cpus": 3,
            "memory": 4,
            "gpus": 1,
            "nodes": 2,
            "constraint": "a&b",
            "exclusive": 1,
            "licences": "lic:2",
            "reservation": "r",
            "time_limit_seconds": 60,
            "array": "0-3,7",
            "array_cap": 2,
            "elements": 5,
            "after": "3,4:any",
            "held_by": "bob",
            "not_before": 1.5,
            "submitted_at": 112.0,
            "started_at": 5.0,
            "ended_at": None,
            "requeues": 0,
            "request_id": "request-12",
            "rest": None,
            "promised_start": None,
        }
    ]


def test_what_was_not_asked_for_is_null_in_a_row(held: Held) -> None:
    held.commit(a_job())
    (row,) = held.store.jobs()
    assert [row[key] for key in ("array", "array_cap", "time_limit_seconds", "not_before")] == [
        None,
        None,
        None,
        None,
    ]
    assert row["elements"] == 1


def test_a_very_long_command_is_shortened_for_people_and_whole_in_the_job(held: Held) -> None:
    job = a_job(1, spec=JobSpec(argv=(b"x" * 100_000,)))
    held.commit(job)
    command = held.store.jobs()[0]["command"]
    assert (len(command), command[-1]) == (4096, "…")
    assert held.store.job(1) == job


JOBS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from([JobState.PENDING, JobState.HELD, JobState.DONE]),
        st.integers(0, 9),
    ),
    max_size=12,
)


@given(
    jobs=JOBS,
    user=st.none() | st.sampled_from(["ann", "bob", "eve"]),
    states=st.none() | st.sets(st.sampled_from([*JobState, *Result]), max_size=2),
    since=st.none() | st.integers(0, 9),
    some=st.none() | st.sets(st.integers(0, 13)),
    place=st.none() | st.sampled_from(["p", "q", "r"]),
    limit=st.integers(0, 12),
)
def test_jobs_are_selected_by_all_given_conditions(
    jobs: list[tuple[str, JobState, int]],
    user: str | None,
    states: set[JobState | Result] | None,
    since: int | None,
    some: set[int] | None,
    place: str | None,
    limit: int,
) -> None:
    held = Held(":memory:")
    made: list[Job] = []
    for number, (owner, state, at) in enumerate(jobs, 1):
        job = a_job(number, user=owner, state=state)
        made.append(ended(job, at=float(at)) if state is JobState.DONE else job)
    made = [
        replace(job, spec=replace(job.spec, partition="p" if job.id % 2 else "q")) for job in made
    ]
    held.commit(*made)
    expected = [
        job.id
        for job in made
        if (user is None or job.user == user)
        and (states is None or job.state in states or job.result in states)
        and (since is None or job.ended_at is None or job.ended_at >= since)
        and (some is None or job.id in some)
        and job.spec.partition == (place or job.spec.partition)
    ]
    found = held.store.jobs(
        user=user, partition=place, states=states, since=since, ids=some, limit=limit
    )
    held.store.close()
    assert ids(found) == expected[max(0, len(expected) - limit) :]


def test_a_job_is_found_whatever_its_state(held: Held) -> None:
    job = ended(a_job(1), Result.TIMEOUT)
    held.commit(job)
    assert held.store.job(1) == job
    assert held.store.job(2) is None


def test_elements_come_by_number_with_all_that_is_known(held: Held) -> None:
    usage = Usage(1.0, 2.0, 3, 4, 5, 6.0)
    tasks = (TaskExit(0, 0, 9), TaskExit(1, 2))
    held.commit(a_job(), an_element(3, node="n1,n2", attempt=2, usage=usage, tasks=tasks))
    assert held.store.elements(1) == [
        {
            "job": 1,
            "element": 3,
            "state": "pending",
            "attempt": 2,
            "held_by": "",
            "result": None,
            "exit_status": None,
            "reason": "",
            "node": "n1,n2",
            "started_at": None,
            "ended_at": None,
            "cpu_user_seconds": 1.0,
            "cpu_system_seconds": 2.0,
            "max_rss": 3,
            "read_bytes": 4,
            "written_bytes": 5,
            "suspended_seconds": 6.0,
            "tasks": "[[0, 0, 9], [1, 2, 0]]",
            "rm": None,
        }
    ]


def test_elements_are_selected_by_spans_and_states(held: Held) -> None:
    done: dict[str, Any] = {"state": JobState.DONE, "result": Result.SUCCESS}
    held.commit(
        a_job(1),
        a_job(2),
        *(an_element(i, **(done if i % 2 else {})) for i in range(20)),
        an_element(3, job=2),
    )
    find = held.store.elements
    assert ids(find(1, spans=[(2, 4), (17, 99)]), "element") == [2, 3, 4, 17, 18, 19]
    assert ids(find(1, spans=[(2, 5)], states=["done"]), "element") == [3, 5]
    assert ids(find(1, limit=3), "element") == [0, 1, 2]
    assert find(1, spans=[]) == []
    assert held.store.done(1) == [(i, "success", 0, "") for i in range(1, 20, 2)]


STORIES = [
    an_event(1, job=1, user="ann", text="submitted"),
    an_event(2, node="n1"),
    an_event(3, job=1, element=0, node="n1", allocation=5),
    an_event(4, job=2, node="n2"),
    an_event(5, job=1, element=1),
    an_event(6, node="n1"),
    an_event(7, job=1),
]


@pytest.fixture
def told(held: Held) -> Held:
    held.commit(*STORIES)
    return held


def test_an_event_is_read_as_it_was_written(told: Held) -> None:
    rows = told.store.events()
    assert [Event(**row) for row in rows] == STORIES


@pytest.mark.parametrize(
    ("asked", "serials"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7]),
        ({"since_serial": 6}, [6, 7]),
        ({"limit": 2}, [1, 2]),
        ({"limit": 2, "newest": True}, [6, 7]),
        ({"since_serial": 7, "limit": 2, "newest": True}, [7]),
        ({"job": 1}, [1, 3, 5, 7]),
        ({"job": 1, "limit": 1, "newest": True}, [7]),
        ({"job": 1, "element": 0}, [3]),
        ({"job": 1, "node": "n1"}, [3]),
        ({"node": "n1"}, [2, 3, 6]),
        ({"node": "n1", "since_serial": 3, "limit": 1}, [3]),
        ({"node": "n1", "limit": 1, "newest": True}, [6]),
        ({"job": 99}, []),
    ],
)
def test_events_come_in_order_from_either_end(
    told: Held, asked: dict[str, Any], serials: list[int]
) -> None:
    assert ids(told.store.events(**asked), "serial") == serials


def test_the_history_of_an_element_has_what_befell_the_whole_job(told: Held) -> None:
    assert ids(told.store.history(1), "serial") == [1, 3, 5, 7]
    assert ids(told.store.history(1, 0), "serial") == [1, 3, 7]
    assert ids(told.store.history(1, 0, limit=2), "serial") == [3, 7]


def test_attempts_are_selected_by_user_time_and_job(held: Held) -> None:
    held.commit(
        an_attempt(1, ended_at=10.0),
        an_attempt(2, ended_at=20.0, user="bob", job=2),
        an_attempt(3, ended_at=30.0, attempt=2, usage=Usage(1.0, 2.0, 3, 4, 5, 6.0)),
    )
    find = held.store.accounting
    assert ids(find(), "allocation") == [1, 2, 3]
    assert ids(find(user="ann"), "allocation") == [1, 3]
    assert ids(find(since=20.0), "allocation") == [2, 3]
    assert ids(find(until=20.0), "allocation") == [1]
    assert ids(find(job=1, since=11.0), "allocation") == [3]
    assert ids(find(job=1, user="bob"), "allocation") == []
    assert ids(find(limit=1), "allocation") == [3]
    assert find(job=1, limit=1)[0] == {
        "allocation": 3,
        "job": 1,
        "element": 0,
        "attempt": 2,
        "user": "ann",
        "project": "",
        "partition": "main",
        "nodes": "n1",
        "cpus": 1,
        "memory": 0,
        "gpus": 0,
        "granted_at": 1.0,
        "started_at": 1.0,
        "ended_at": 30.0,
        "result": "success",
        "exit_status": 0,
        "cpu_user_seconds": 1.0,
        "cpu_system_seconds": 2.0,
        "max_rss": 3,
        "read_bytes": 4,
        "written_bytes": 5,
        "suspended_seconds": 6.0,
        "part": 0,
        "first_of_job": 0,
    }


def test_a_request_is_found_for_its_own_user(held: Held) -> None:
    held.commit(a_job(1, request_id="r"), a_job(2, uid=1001, request_id="r"))
    assert held.store.find_request("r", 1000) == 1
    assert held.store.find_request("r", 1001) == 2
    assert held.store.find_request("r") == 2
    assert held.store.find_request("r", 1002) is None
    assert sorted(held.store.requests()) == [(1000, "r"), (1001, "r")]


def test_jobs_without_a_request_id_are_never_the_same(held: Held) -> None:
    held.commit(a_job(1, request_id=""), a_job(2, request_id=""))
    assert held.store.find_request("", 1000) is None
    assert list(held.store.requests()) == []


def test_nodes_come_by_name_with_their_sizes(held: Held) -> None:
    held.commit(a_node("n2"), a_node("n1", gone=True))
    rows = held.store.nodes()
    assert [(r["name"], r["cpus"], r["memory"], r["gone"]) for r in rows] == [
        ("n1", 2, 1 << 30, 1),
        ("n2", 2, 1 << 30, 0),
    ]


def test_a_reader_sees_whole_commits_while_the_writer_goes_on(on_disk: Held) -> None:
    seen: list[tuple[int, int]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            jobs = len(on_disk.store.jobs(limit=10_000))
            seen.append((jobs, len(on_disk.store.events(limit=10_000))))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        first = turn * 10 + 1
        jobs = [a_job(i) for i in range(first, first + 10)]
        on_disk.commit(*jobs, *(an_event(i) for i in range(first, first + 10)))
        if turn % 10 == 0:
            on_disk.store.checkpoint()
    stop.set()
    reader.join()
    assert seen
    assert all(jobs % 10 == 0 and jobs <= events for jobs, events in seen)
    assert [jobs for jobs, _ in seen] == sorted(jobs for jobs, _ in seen)


def test_reading_goes_on_while_the_disk_is_full(on_disk: Held) -> None:
    on_disk.commit(a_job(), Blob("d", 1, b"x"))
    on_disk.store._writer.execute("BEGIN IMMEDIATE")
    assert ids(on_disk.store.jobs()) == [1]
    assert on_disk.store.blob("d") == b"x"
    on_disk.store._writer.execute("ROLLBACK")


def test_a_request_is_found_while_a_commit_is_under_way(on_disk: Held, path: Path) -> None:
    on_disk.commit(a_job(1, uid=1000, request_id="r"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    commit = threading.Thread(target=on_disk.commit, args=(a_job(2),))
    commit.start()  # it waits for the other's lock
    assert on_disk.store.find_request("r", 1000) == 1
    other.execute("ROLLBACK")
    other.close()
    commit.join(30)
    assert on_disk.store.find_request("request-2", 1000) == 2

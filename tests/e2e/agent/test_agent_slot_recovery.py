"""What an agent tells of a slot whose starter left nothing but its spool, or not even that."""

import os
import signal
import subprocess
import time

import pytest

from ostler.agent import spool
from ostler.model.job import TaskExit
from ostler.model.orders import (
    LAST_SERIAL,
    Chunk,
    ElementEnd,
    Ended,
    EndShare,
    Feed,
    Held,
    Progress,
    SignalTasks,
    Withdraw,
)
from ostler.wire.supervise import process_start
from tests.e2e.agent.disk import accepted, journal, spooled
from tests.e2e.agent.kit import Job, Node, eventually

pytestmark = pytest.mark.e2e

CHUNK = Chunk(((4, 9),), attempts=((5, 2),), last=False)
# Element 4 ended well, and element 5, at its second start, with 3.
FOUR = (
    (spool.INTENT, 0, 4, 1, 8.0),
    (spool.PID, 0, 4_000_001, 1),
    (spool.STATUS, 0, 0, 0, 9.0),
    (spool.OVER, 1, 9.0, 0.5, 0.0, 0, 0, 0, 0.0),
)
FIVE = (
    (spool.INTENT, 0, 5, 2, 9.0),
    (spool.PID, 0, 4_000_002, 1),
    (spool.STATUS, 0, 3, 0, 9.5),
    (spool.OVER, 2, 9.5, 0.0, 0.0, 0, 0, 0, 0.0),
)
TOLD = [(4, 1, 8.0, "", (TaskExit(0, 0),)), (5, 2, 9.0, "", (TaskExit(0, 3),))]


def told(node: Node, job: Job) -> list[tuple[int, int, float | None, str, tuple[TaskExit, ...]]]:
    """Return what was told of elements before the share's end, in a word that is the last."""
    end = job.ended()
    [row] = [r for r in node.manager.rows if isinstance(r, Progress) and r.alloc == job.alloc]
    assert row.serial == LAST_SERIAL
    assert node.manager.rows.index(row) < node.manager.rows.index(end)
    return [(e.index, e.attempt, e.started_at, str(e.cause), e.tasks) for e in row.ended]


def is_gone(node: Node, job: Job) -> bool:
    return not any(state.alloc == job.alloc for state in node.spools())


def test_a_slot_between_two_elements_tells_those_that_ended(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    spooled(idle, job, *FOUR, *FIVE)
    idle.start()
    assert told(idle, job) == TOLD
    assert (job.ended().started_at, job.ended().cause) == (8.0, "")
    eventually("its spool is gone", lambda: is_gone(idle, job))


def test_a_slot_of_which_no_element_began_is_not_held(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    spooled(idle, job)
    idle.start()
    assert idle.manager.greeting().holds == []
    eventually("its spool is gone", lambda: is_gone(idle, job))


def test_a_slot_whose_elements_were_all_acknowledged_has_run(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    spooled(idle, job, *FOUR, *FIVE, (spool.HEARD, 2))
    idle.start()
    row = job.ended()
    assert (row.started_at, row.cause, row.tasks) == (8.0, "", ())
    assert [r for r in idle.manager.rows if isinstance(r, Progress)] == []


def test_only_the_element_that_may_have_run_without_witness_is_lost(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    began = time.time()
    spooled(idle, job, *FOUR, *FIVE, (spool.INTENT, 0, 6, 1, began))
    idle.start()
    assert told(idle, job) == [*TOLD, (6, 1, began, "lost", ())]
    assert (job.ended().started_at, job.ended().cause) == (8.0, "")


def test_an_element_whose_end_was_written_and_nothing_after_it_is_told(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    spooled(idle, job, *FOUR, *FIVE[:-1])
    idle.start()
    assert told(idle, job) == TOLD


def test_the_end_of_a_slot_that_was_written_down_follows_its_elements(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    end = {"alloc": job.alloc, "at": 12.0, "started_at": 8.0, "cause": "timeout", "why": "late"}
    spooled(idle, job, *FOUR, *FIVE, (spool.ENDED, {"type": "ended", **end}))
    idle.start()
    assert told(idle, job) == TOLD
    assert job.ended() == Ended(job.alloc, 12.0, 8.0, "timeout", "late")


@pytest.mark.parametrize("over", [False, True], ids=["going on", "over"])
def test_damage_may_hide_an_element_so_that_the_slot_is_lost(idle: Node, *, over: bool) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    end = {"alloc": job.alloc, "at": 12.0, "started_at": 8.0}
    more = ((spool.ENDED, {"type": "ended", **end}),) if over else ()
    path = spooled(idle, job, *FOUR, *FIVE, *more)
    text = path.read_bytes()
    path.write_bytes(text.replace(spool.encode(*FOUR[-1]), b"x" * len(spool.encode(*FOUR[-1]))))
    idle.start()
    assert [row[:2] for row in told(idle, job)] == [(4, 1), (5, 2)]
    assert (job.ended().cause, job.ended().started_at) == ("lost", 8.0)
    assert "damaged" in job.ended().why


def test_a_slot_whose_spool_cannot_be_read_is_lost_as_a_whole(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    spooled(idle, job, *FOUR).write_bytes(b"rubbish" * 40)
    idle.start()
    assert job.ended().cause == "lost"
    assert [r for r in idle.manager.rows if isinstance(r, Progress)] == []


def test_of_another_boot_ends_are_told_and_the_rest_is_lost(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    accepted(idle, job, boot_id="another boot")
    open_turn = (spool.INTENT, 0, 6, 1, 10.0)
    spooled(idle, job, *FOUR, *FIVE, open_turn, boot_id="another boot")
    idle.start()
    assert told(idle, job) == [*TOLD, (6, 1, 10.0, "lost", ())]
    assert (job.ended().cause, job.ended().started_at) == ("lost", 8.0)
    assert "started anew" in job.ended().why


def test_elements_that_may_not_have_come_through_are_told_until_they_have(idle: Node) -> None:
    job = idle.job(chunk=CHUNK)
    book = journal(idle)
    book.accept(job.launch, 100.0)
    row = Ended(job.alloc, 9.0, 8.0)
    last = Progress(job.alloc, LAST_SERIAL, (ElementEnd(4, 1, 8.0, 9.0),))
    book.finish(row, last)
    book.close()
    idle.manager.acknowledges = False
    for _ in range(2):
        idle.start()
        assert idle.manager.greeting().holds == [Held(job.alloc, "ended", 8.0)]
        assert job.ended() == row
        assert idle.manager.rows == [last, row]
        idle.manager.rows.clear()
        idle.kill_agent()


Orphan = tuple[Job, subprocess.Popen[bytes]]


@pytest.fixture
def orphan(idle: Node) -> Orphan:
    """Return a slot of a dead starter whose element 6 lives, below an agent that has met it."""
    job = idle.job(chunk=CHUNK)
    accepted(idle, job)
    env = {
        "OSTLER_ALLOCATION": str(job.alloc),
        "OSTLER_STATE": str(idle.state),
        "OSTLER_RANK": "0",
        "PATH": os.environ["PATH"],
    }
    began = time.time()
    command = "trap '' TERM; exec sleep 1000"
    task = subprocess.Popen(["sh", "-c", command], env=env, start_new_session=True)
    eventually("it is deaf", lambda: is_deaf(task.pid))
    spooled(idle, job, *FOUR, *FIVE, (spool.INTENT, 0, 6, 1, began))
    idle.start()
    assert idle.manager.greeting().holds == [Held(job.alloc, "started", 8.0)]
    return job, task


def is_deaf(pid: int) -> bool:
    """Say whether it ignores SIGTERM."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        [ignored] = [line for line in file if line.startswith("SigIgn:")]
    return bool(int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def ended_by(task: subprocess.Popen[bytes]) -> int:
    """Return the signal that ended it; the test, not the agent, is its parent."""
    eventually("it is told to end", lambda: not process_start(task.pid))
    return -task.wait()


def test_orders_to_an_orphan_reach_the_element_that_runs_and_no_other(
    idle: Node, orphan: Orphan
) -> None:
    job, task = orphan
    idle.manager.order(
        Withdraw(job.alloc, ((7, 9),), "cancelled", "somebody cancelled it"),
        Withdraw(job.alloc, ((6, 9),)),
        SignalTasks(job.alloc, signal.SIGUSR1, 7),
        Feed(job.alloc, Chunk(((10, 11),))),
    )
    idle.manager.quiet()
    assert process_start(task.pid)
    idle.manager.order(SignalTasks(job.alloc, signal.SIGUSR1, 6))
    assert ended_by(task) == signal.SIGUSR1
    assert [row[0] for row in told(idle, job)] == [4, 5, 6]


def test_an_orphan_that_is_withdrawn_with_a_cause_ends_and_its_slot_has_none(
    idle: Node, orphan: Orphan
) -> None:
    job, task = orphan
    idle.manager.order(Withdraw(job.alloc, ((6, 6),), "cancelled", "somebody cancelled it", 0))
    assert ended_by(task) == signal.SIGKILL
    assert [(row[0], row[3]) for row in told(idle, job)] == [(4, ""), (5, ""), (6, "cancelled")]
    assert job.ended().cause == ""


def test_the_first_cause_of_an_element_is_kept_by_the_next_agent(
    idle: Node, orphan: Orphan
) -> None:
    job, task = orphan
    idle.manager.order(Withdraw(job.alloc, ((6, 6),), "cancelled", "the first", 30))
    eventually("it is noted", lambda: idle.spool_of(job.alloc).cause)
    idle.kill_agent()
    idle.start()
    idle.manager.greeting()
    idle.manager.order(EndShare(job.alloc, "requeue", "the second", 0))
    assert ended_by(task) == signal.SIGKILL
    assert told(idle, job)[-1][3] == "cancelled"
    assert (job.ended().cause, job.ended().why) == ("requeue", "the second")


def test_an_order_to_end_the_slot_is_the_cause_of_both(idle: Node, orphan: Orphan) -> None:
    job, task = orphan
    idle.manager.order(job.end(grace=0))
    assert ended_by(task) == signal.SIGKILL
    assert told(idle, job)[-1][3] == "cancelled"
    assert (job.ended().cause, job.ended().why) == ("cancelled", job.end().why)

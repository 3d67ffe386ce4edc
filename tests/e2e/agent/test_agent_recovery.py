"""What an agent makes of the disk that it finds: held, over, lost, or proven not to have run."""

import os
import signal
import subprocess
import time

import pytest

from ostler.agent import spool
from ostler.model.job import TaskExit
from ostler.model.orders import Ended, Held, Made, StartTasks
from ostler.wire.supervise import process_start
from tests.e2e.agent.disk import accepted, journal, spooled
from tests.e2e.agent.kit import PATIENCE, Node, eventually

pytestmark = pytest.mark.e2e


def test_a_share_that_no_starter_heard_of_is_not_held_so_that_it_is_ordered_again(
    idle: Node,
) -> None:
    job = idle.job()
    accepted(idle, job, handed=False)
    idle.start()
    assert idle.manager.greeting().holds == []
    job.run().release()
    assert job.ended().tasks == (TaskExit(0, 7),)
    assert job.times_run() == 1


def test_a_share_whose_starter_never_spawned_is_not_held(idle: Node) -> None:
    job = idle.job()
    accepted(idle, job)
    spooled(idle, job)
    idle.start()
    assert idle.manager.greeting().holds == []
    eventually("its spool is gone", lambda: not any(s.alloc for s in idle.spools()))


def test_a_context_without_a_starter_is_made_anew(idle: Node) -> None:
    job = idle.job(start=False)
    accepted(idle, job)
    spooled(idle, job)
    idle.start()
    idle.manager.row(Made, job.alloc)
    idle.manager.order(StartTasks(job.alloc))
    job.release()
    assert job.ended().tasks == (TaskExit(0, 7),)


def test_a_spool_that_tells_the_end_is_believed(idle: Node) -> None:
    job = idle.job()
    accepted(idle, job)
    end = {
        "type": "ended",
        "alloc": job.alloc,
        "at": 9.0,
        "started_at": 8.0,
        "cause": "",
        "why": "",
        "tasks": [[0, 4, 0]],
        "usage": [0.5, 0.0, 0, 0, 0, 0.0],
    }
    spooled(idle, job, (spool.INTENT, 0, 0, 1, 8.0), (spool.ENDED, end))
    idle.start()
    row = job.ended()
    assert (row.at, row.started_at, row.tasks) == (9.0, 8.0, (TaskExit(0, 4),))


def test_a_spawn_without_witness_may_have_run(idle: Node) -> None:
    job = idle.job()
    accepted(idle, job)
    spooled(idle, job, (spool.INTENT, 0, 0, 1, time.time()))
    idle.start()
    row = job.ended()
    assert (row.cause, row.tasks) == ("lost", ())
    assert row.started_at is not None


def test_a_task_whose_pid_was_not_written_is_found_alive(idle: Node) -> None:
    job = idle.job()
    accepted(idle, job)
    spooled(idle, job, (spool.INTENT, 0, 0, 1, time.time()))
    env = {
        "OSTLER_ALLOCATION": str(job.alloc),
        "OSTLER_STATE": str(idle.state),
        "OSTLER_RANK": "0",
        "PATH": os.environ["PATH"],
    }
    task = subprocess.Popen(["sleep", "1000"], env=env, start_new_session=True)
    idle.start()
    [held] = idle.manager.greeting().holds
    assert (held.alloc, held.phase) == (job.alloc, "started")
    idle.manager.order(job.end())
    eventually("it was told to end", lambda: not process_start(task.pid))
    assert task.wait() == -signal.SIGTERM
    assert job.ended().cause == "cancelled"


def test_nothing_of_another_boot_lives(idle: Node) -> None:
    job = idle.job()
    accepted(idle, job, boot_id="another boot")
    spooled(idle, job, (spool.INTENT, 0, 0, 1, 55.0), boot_id="another boot")
    idle.start()
    row = job.ended()
    assert (row.cause, row.started_at) == ("lost", 55.0)
    assert "started anew" in row.why


def test_an_end_that_was_written_down_is_told_until_it_is_acknowledged(idle: Node) -> None:
    job = idle.job()
    book = journal(idle)
    book.accept(job.launch, 100.0)
    row = Ended(job.alloc, 9.0, None, "cancelled", "somebody cancelled it")
    book.finish(row)
    book.close()
    idle.manager.acknowledges = False
    idle.start()
    assert idle.manager.greeting().holds == [Held(job.alloc, "ended")]
    assert job.ended() == row
    idle.kill_agent()
    idle.start()
    idle.manager.rows.clear()
    assert job.ended() == row


def test_a_damaged_journal_is_said_and_the_rest_is_used(idle: Node) -> None:
    job = idle.job()
    book = journal(idle)
    book.accept(job.launch, 100.0)
    book.finish(Ended(job.alloc, 9.0, 8.0))
    book.close()
    with (idle.state / "node" / "journal").open("ab") as file:
        file.write(b"rubbish")
    idle.start()
    assert job.ended().at == 9.0
    assert "journal is damaged" in idle.log()


def test_an_agent_that_nobody_watches_over_makes_room_for_the_next(idle: Node) -> None:
    idle.start()
    idle.manager.greeting()
    first = idle.detach()
    idle.start()
    idle.manager.greeting()
    assert first.wait(PATIENCE) == 0

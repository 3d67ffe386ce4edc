"""What an agent does with orders, reports and greetings."""

import os
from pathlib import Path

import pytest

from ostler.model.job import TaskExit
from ostler.model.orders import (
    Ended,
    EndShare,
    Held,
    Made,
    ResumeShare,
    Retime,
    SignalTasks,
    Started,
    StartTasks,
    SuspendShare,
)
from ostler.wire.supervise import process_start
from tests.e2e.agent.kit import Manager, Node, eventually

pytestmark = pytest.mark.e2e


def test_a_launch_runs_and_its_end_is_told_and_forgotten_when_acknowledged(alone: Node) -> None:
    job = alone.job().run()
    started = alone.manager.row(Started, job.alloc)
    job.release()
    row = job.ended()
    assert (row.started_at, row.cause, row.tasks) == (started.at, "", (TaskExit(0, 7),))
    eventually("the spools are empty", lambda: all(s.alloc is None for s in alone.spools()))
    alone.manager.hang_up()
    assert alone.manager.greeting().holds == []


def test_a_repeated_launch_is_answered_and_runs_once(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.order(job.launch, job.launch)
    alone.manager.row(Started, job.alloc)
    alone.manager.order(job.launch)
    job.release()
    job.ended()
    assert job.times_run() == 1


def test_tasks_start_only_when_all_nodes_are_ready(alone: Node) -> None:
    job = alone.job(start=False)
    alone.manager.order(job.launch)
    alone.manager.row(Made, job.alloc)
    alone.manager.quiet()
    assert job.times_run() == 0
    alone.manager.order(StartTasks(job.alloc))
    alone.manager.row(Started, job.alloc)
    job.release()
    assert job.ended().tasks == (TaskExit(0, 7),)


def test_an_end_ordered_before_the_launch_keeps_it_from_running(alone: Node) -> None:
    job = alone.job()
    alone.manager.acknowledges = False
    alone.manager.order(job.end())
    assert job.ended() == Ended(job.alloc, job.ended().at, None, "cancelled", job.end().why)
    alone.manager.order(job.launch)
    alone.manager.quiet()
    assert job.times_run() == 0


def test_a_context_that_is_ended_before_its_start_is_proof_that_nothing_ran(alone: Node) -> None:
    job = alone.job(start=False)
    alone.manager.order(job.launch)
    alone.manager.row(Made, job.alloc)
    alone.manager.order(job.end())
    assert job.ended().started_at is None
    assert job.times_run() == 0


def test_an_end_takes_everything_with_it(alone: Node) -> None:
    job = alone.job("setsid sleep 1000 & echo $! >child; trap '' TERM; sleep 1000").run()
    job.release()
    child = alone.state / "child"
    eventually("its child runs", lambda: child.exists() and child.read_text().strip())
    alone.manager.order(job.end(grace=0))
    assert job.ended().cause == "cancelled"
    assert process_start(int(child.read_text())) == 0


def test_signals_suspending_and_resuming_reach_the_task(alone: Node) -> None:
    job = alone.job("exit 9")
    job.launch.argv[2]
    job.run()
    alone.manager.order(SuspendShare(job.alloc))
    alone.manager.order(ResumeShare(job.alloc))
    alone.manager.order(Retime(job.alloc, 1000))
    alone.manager.order(SignalTasks(job.alloc, 12))
    assert job.ended().tasks == (TaskExit(0, 0, 12),)


def test_orders_of_an_older_epoch_are_refused_by_this_agent_and_the_next(alone: Node) -> None:
    alone.manager.epoch = 5
    old, new = alone.job(), alone.job()
    alone.manager.order(new.launch)
    alone.manager.row(Started, new.alloc)
    alone.manager.order(old.launch, epoch=4)
    alone.manager.quiet()
    assert old.times_run() == 0
    alone.kill_agent()
    alone.start()
    assert alone.manager.greeting().epoch == 5
    alone.manager.order(old.launch, epoch=4)
    alone.manager.quiet()
    assert old.times_run() == 0
    assert "stale epoch" in alone.log()
    new.release()
    new.ended()


def test_a_manager_whose_epoch_is_over_is_not_served(alone: Node) -> None:
    alone.manager.epoch = 5
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    alone.manager.epoch = 4
    alone.manager.rows.clear()
    alone.manager.hang_up()
    alone.manager.greeting()
    alone.manager.greeting()  # it hung up, and tries again
    assert alone.manager.rows == []
    alone.manager.epoch = 5
    job.release()
    job.ended()


def test_what_ends_while_the_manager_is_away_is_told_to_the_next_one(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    alone.manager.close()
    job.release()
    eventually("it has ended", lambda: alone.spool_of(job.alloc).ended)
    alone.manager = Manager(alone.state)
    assert job.ended().tasks == (TaskExit(0, 7),)
    phases = [Held(job.alloc, phase, job.ended().started_at) for phase in ("started", "ended")]
    assert alone.manager.hellos[0].holds[0] in phases


def test_a_report_that_was_not_acknowledged_comes_again(alone: Node) -> None:
    alone.manager.acknowledges = False
    job = alone.job().run()
    job.release()
    first = job.ended()
    alone.manager.rows.clear()
    alone.manager.acknowledges = True
    alone.manager.hang_up()
    assert alone.manager.greeting().holds == [Held(job.alloc, "ended", first.started_at)]
    assert job.ended() == first


def test_a_personal_machine_runs_its_owners_tasks_only(alone: Node) -> None:
    job = alone.job(uid=os.getuid() + 1)
    alone.manager.order(job.launch)
    row = job.ended()
    assert (row.started_at, row.cause) == (None, "rejected")
    assert "belongs to uid" in row.why
    assert job.times_run() == 0


def test_an_end_of_something_unknown_is_answered(alone: Node) -> None:
    alone.manager.order(EndShare(77, "cancelled", "why not"))
    assert alone.manager.row(Ended, 77).started_at is None


def test_the_greeting_says_what_the_node_has(alone: Node) -> None:
    hello = alone.manager.greeting()
    assert hello.node == "n1"
    assert len(hello.facts.cpus) == 8
    assert hello.facts.declared
    assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()

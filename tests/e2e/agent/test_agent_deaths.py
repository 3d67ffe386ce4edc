"""kill -9 of agent, starter, zygote and supervisor: tasks go on, and nothing runs twice."""

import os
import random
import signal

import pytest

from ostler.model.job import TaskExit
from ostler.model.orders import Held, ResumeShare, Started, SuspendShare
from ostler.wire.supervise import process_start
from tests.e2e.agent.kit import Node, children, eventually

pytestmark = pytest.mark.e2e


def test_the_next_agent_goes_on_with_what_runs(alone: Node) -> None:
    job = alone.job().run()
    started = alone.manager.row(Started, job.alloc)
    alone.kill_agent()
    alone.start()
    assert alone.manager.greeting().holds == [Held(job.alloc, "started", started.at)]
    job.release()
    assert job.ended().tasks == (TaskExit(0, 7),)
    assert job.times_run() == 1


def test_an_exit_while_the_agent_is_down_arrives(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    alone.kill_agent()
    job.release()
    eventually("it has ended", lambda: alone.spool_of(job.alloc).ended)
    alone.start()
    assert job.ended().tasks == (TaskExit(0, 7),)
    assert job.times_run() == 1


def test_an_agent_that_is_stopped_leaves_its_tasks_running(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    alone.stop()
    alone.start()
    alone.manager.greeting()
    job.release()
    assert job.ended().tasks == (TaskExit(0, 7),)


def test_a_dead_starters_task_goes_on_and_its_exit_status_arrives(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    alone.kill_starter(job.alloc)
    alone.manager.quiet()
    job.release()
    row = job.ended()
    assert (row.cause, row.tasks) == ("", (TaskExit(0, 7),))
    assert row.started_at == alone.manager.row(Started, job.alloc).at
    assert job.times_run() == 1
    eventually("its spool is gone", lambda: all(s.alloc is None for s in alone.spools()))


def test_a_dead_starters_task_is_ended_by_order_with_all_it_started(alone: Node) -> None:
    job = alone.job("setsid sleep 1000 & echo $! >child; sleep 1000").run()
    job.release()
    child = alone.state / "child"
    eventually("its child runs", lambda: child.exists() and child.read_text().strip())
    alone.kill_starter(job.alloc)
    alone.manager.order(job.end())
    row = job.ended()
    assert (row.cause, row.tasks) == ("cancelled", (TaskExit(0, 0, signal.SIGTERM),))
    assert process_start(int(child.read_text())) == 0


def test_a_dead_starters_task_that_ignores_sigterm_is_killed_after_the_grace(alone: Node) -> None:
    job = alone.job("trap '' TERM; echo >deaf; while :; do sleep 1000; done").run()
    job.release()
    eventually("it is deaf", (alone.state / "deaf").exists)
    alone.kill_starter(job.alloc)
    alone.manager.order(job.end(grace=1))
    assert job.ended().tasks == (TaskExit(0, 0, signal.SIGKILL),)


def test_a_dead_starters_time_limit_is_kept(alone: Node) -> None:
    job = alone.job(time_limit=2, grace=1).run()
    alone.kill_starter(job.alloc)
    row = job.ended()
    assert (row.cause, row.tasks) == ("timeout", (TaskExit(0, 0, signal.SIGTERM),))
    assert "time limit" in row.why


def test_a_dead_starters_task_can_be_suspended_and_resumed(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    alone.kill_starter(job.alloc)
    alone.manager.order(SuspendShare(job.alloc))
    eventually("it is noted", lambda: alone.spool_of(job.alloc).suspended_at is not None)
    alone.manager.order(ResumeShare(job.alloc))
    job.release()
    row = job.ended()
    assert row.tasks == (TaskExit(0, 7),)
    assert row.usage.suspended > 0


def test_agent_and_starter_die_together_and_the_supervisor_learns_the_status(kept: Node) -> None:
    job = kept.job().run()
    kept.manager.row(Started, job.alloc)
    # The agent first, so that the task becomes the supervisor's child and not the agent's.
    os.kill(kept.agent, signal.SIGSTOP)
    os.kill(kept.agent, signal.SIGKILL)
    kept.kill_starter(job.alloc)
    job.release()
    row = job.ended()
    assert (row.cause, row.tasks) == ("", (TaskExit(0, 7),))
    assert job.times_run() == 1


def test_a_task_that_ends_while_agent_and_starter_are_dead_keeps_its_status(kept: Node) -> None:
    job = kept.job().run()
    kept.manager.row(Started, job.alloc)
    agent, starter = kept.agent, kept.spool_of(job.alloc).pid
    task = kept.spool_of(job.alloc).tasks[0].pid
    os.kill(kept.supervisor, signal.SIGSTOP)  # nobody starts another agent meanwhile
    os.kill(agent, signal.SIGKILL)
    os.kill(starter, signal.SIGKILL)
    eventually("both are gone", lambda: not process_start(agent) and not process_start(starter))
    job.release()
    eventually("the task is gone", lambda: not process_start(task))
    os.kill(kept.supervisor, signal.SIGCONT)
    row = job.ended()
    assert (row.cause, row.tasks) == ("", (TaskExit(0, 7),))


def test_nobody_can_tell_how_a_task_ended_that_had_no_reaper_of_ours(alone: Node) -> None:
    job = alone.job().run()
    alone.manager.row(Started, job.alloc)
    starter = alone.spool_of(job.alloc).pid
    alone.kill_agent()
    os.kill(starter, signal.SIGKILL)
    job.release()
    alone.start()
    row = job.ended()
    assert (row.cause, row.tasks) == ("lost", ())
    assert row.started_at is not None
    assert job.times_run() == 1


def test_a_dead_zygote_is_replaced_and_its_starters_go_on(alone: Node) -> None:
    before = alone.job().run()
    [zygote] = children(alone.agent)
    os.kill(zygote, signal.SIGKILL)
    eventually("another zygote", lambda: set(children(alone.agent)) - {zygote})
    jobs = [alone.job().run() for _ in range(4)]
    for job in [before, *jobs]:
        job.release()
        assert job.ended().tasks == (TaskExit(0, 7),)


def test_dead_idle_starters_are_replaced(alone: Node) -> None:
    first = alone.job().run()
    idle = [s.pid for s in alone.spools() if s.alloc is None]
    for pid in idle:
        os.kill(pid, signal.SIGKILL)
    second = alone.job().run()
    for job in (first, second):
        job.release()
        assert job.ended().tasks == (TaskExit(0, 7),)


def test_nothing_runs_twice_whoever_is_killed(kept: Node) -> None:
    rng = random.Random(7)
    for _ in range(6):
        jobs = [kept.job() for _ in range(3)]
        kept.manager.order(*(job.launch for job in jobs))
        victims = [kept.agent, *(s.pid for s in kept.spools())]
        for pid in rng.sample(victims, rng.randint(1, len(victims))):
            if process_start(pid):
                os.kill(pid, signal.SIGKILL)
        kept.manager.hang_up()
        held = {held.alloc for held in kept.manager.greeting().holds}
        # As the core does: what is not held and was not told to have started is ordered again.
        kept.manager.order(*(job.launch for job in jobs if job.alloc not in held))
        for job in jobs:
            job.release()
            row = job.ended()
            assert (row.cause, row.tasks) == ("", (TaskExit(0, 7),))
            assert job.times_run() == 1

"""Checks of what befalls nodes: each is seen, written down, and costs no work it need not cost."""

import os
import signal
from typing import Any

from lab.kit import Check, Ground, equal, expect
from ostler.wire.supervise import process_start

SILENCE = 5.0  # seconds: three heartbeats of a second, and time to look


def _events(at: Ground, since: int) -> list[tuple[str, str]]:
    rows = at.sql(
        f"select node, text from events where serial > {since} and kind = 'node/status' order by serial"
    )
    return [(node, text) for node, text in rows]


def _last(at: Ground) -> int:
    return int(at.sql("select max(serial) from events")[0][0])


def _is(at: Ground, node: str, status: str) -> bool:
    return bool(at.lab.nodes()[node]["status"] == status)


def killed_agent(at: Ground) -> str:
    """The death of an agent and its return are events of that node alone, within 2 s."""
    since = _last(at)
    at.lab.verb("kill", "n05")
    gone = at.within(2, "n05 has no agent", lambda: _is(at, "n05", "no_agent"))
    at.lab.verb("start", "n05")
    back = at.within(2, "n05 runs", lambda: _is(at, "n05", "running"))
    wanted = [("n05", "running -> no_agent"), ("n05", "no_agent -> running")]
    equal("events", _events(at, since), wanted)
    return f"seen after {gone:.1f} and {back:.1f} s"


def transitions(at: Ground) -> None:
    """Each change is one event, and only changes are; the table says what `nodes` says."""
    since = _last(at)
    nodes = at.nodes[:8]
    for _ in range(3):
        at.lab.lab.kill(nodes)
        for node in nodes:
            at.lab.await_status(node, "no_agent")
        at.lab.lab.start(nodes)
    equal("changes", len(_events(at, since)), 6 * len(nodes))
    table = dict(at.sql("select name, status from nodes"))
    equal("the table", table, {name: row["status"] for name, row in at.lab.nodes().items()})


def killed_while_it_runs(at: Ground) -> None:
    """With agent and supervisor dead a task goes on; its end is told when they are back."""
    job = at.gated("-w", "n02", code=7).running()
    at.lab.verb("kill", "n02")
    at.lab.await_status("n02", "no_agent")
    expect("since when it is unknown is told", at.lab.job(job.id)["unknown_since"])
    job.open()
    equal("nothing is guessed", at.lab.job(job.id)["state"], "running")
    at.lab.verb("start", "n02")
    equal("its end", job.ended(), ("failed", 7))
    equal("runs", len(job.pids), 1)


def crash(at: Ground) -> None:
    """A crash ends what ran as lost, and only --requeue runs it again."""
    plain = at.gated("-w", "n03").running()
    again = at.gated("-w", "n03", "--requeue").running()
    wide = at.gated("-w", "n[03-04]", "-N", "2", "-n", "2")
    at.within(20, "both tasks of the wide one run", lambda: len(wide.pids) == 2)
    at.lab.wait_for(wide.id, "running")
    at.lab.verb("crash", "n03")
    expect("nothing of it runs", not any(map(process_start, plain.pids + again.pids)))
    at.lab.await_status("n03", "no_agent")
    equal("unknown is not lost", at.lab.job(plain.id)["state"], "running")
    at.lab.verb("start", "n03")
    equal("the plain one", at.lab.wait_for(plain.id, "done")["result"], "lost")
    equal("the wide one", at.lab.wait_for(wide.id, "done")["result"], "lost")
    expect("its other task has ended too", not any(map(process_start, wide.pids)))
    at.within(20, "the other runs again", lambda: len(again.pids) == 2)
    again.open()
    equal("the other", again.ended(), ("success", 0))


def cut(at: Ground) -> str:
    """A cut node is silent, its agent lives, its work goes on, and its word comes in the end."""
    job = at.gated("-w", "n05", code=5).running()
    agent = _agent(at, "n05")
    at.lab.verb("cut", "n05")
    job.open()
    took = at.within(SILENCE, "n05 is silent", lambda: not _is(at, "n05", "running"))
    expect("its agent lives", process_start(agent))
    equal("nothing is guessed", at.lab.job(job.id)["state"], "running")
    at.lab.verb("heal", "n05")
    equal("its end", job.ended(), ("failed", 5))
    equal("the agent is the same", _agent(at, "n05"), agent)
    return f"silence seen after {took:.1f} s"


def freeze(at: Ground) -> str:
    """A frozen agent is silent and its tasks go on; thawed, it goes on where it was."""
    job = at.gated("-w", "n06", code=6).running()
    at.lab.verb("freeze", "n06")
    took = at.within(SILENCE, "n06 is silent", lambda: not _is(at, "n06", "running"))
    job.open()
    at.lab.verb("thaw", "n06")
    equal("its end", job.ended(), ("failed", 6))
    equal("runs", len(job.pids), 1)
    return f"silence seen after {took:.1f} s"


def _agent(at: Ground, node: str) -> int:
    pids: list[int] = at.lab.lab.member(node).daemons
    return pids[-1]


def drain(at: Ground) -> None:
    """A drained node keeps what runs and gets nothing new; others wait with that rule."""
    job = at.gated("-w", "n07").running()
    at.lab.ostler("nodes", "drain", "n07", "--reason", "new disk")
    waits = at.quick("-w", "n07")
    told = at.lab.json("explain", waits)
    expect("the drained node is named", "n07" in told["reason"] and "drain" in told["reason"], told)
    array = at.quick("--array", "0-39")
    at.lab.wait_for(array, "done")
    used = {row[0] for row in at.sql(f"select distinct node from elements where job = {array}")}
    expect("the array went round it", "n07" not in used, used)
    equal("what ran there runs", at.lab.job(job.id)["state"], "running")
    at.lab.ostler("nodes", "undrain", "n07")
    equal("the waiting one starts", at.lab.wait_for(waits, "done")["result"], "success")
    job.open()
    equal("the first", job.ended(), ("success", 0))


def manager_killed(at: Ground) -> None:
    """Statuses that happen while there is no manager arrive when there is one."""
    jobs = [at.gated("-w", node, code=9).running() for node in at.nodes]
    at.lab.verb("kill", "manager")
    for job in jobs:
        job.open()
    equal("nobody answers", at.status("jobs")[0], 5)
    at.lab.verb("start", "manager")
    equal("all ends", {job.ended() for job in jobs}, {("failed", 9)})
    equal("runs", {len(job.pids) for job in jobs}, {1})


def restarted_manager(at: Ground) -> None:
    """A manager that gets kill -9 is back by itself, and takes a new epoch."""
    status = at.lab.json("status")
    os.kill(status["processes"]["manager"], signal.SIGKILL)
    now: dict[str, Any] = at.lab.json("status")
    expect("it is another", now["processes"]["manager"] != status["processes"]["manager"])
    expect("its epoch is higher", now["epoch"] > status["epoch"], now["epoch"])
    at.lab.lab.await_running(at.nodes)


def all_free_in_the_end(at: Ground) -> None:
    """After 200 jobs on four nodes, many cut short by crashes, every CPU is free."""
    nodes = at.nodes[:4]
    at.quick("--array", "0-199", "-w", ",".join(nodes), script="sleep 0.2")
    for _ in range(3):
        for node in nodes:
            at.lab.verb("crash", node)
            at.lab.verb("start", node)
    at.within(60, "all have ended", lambda: not at.lab.json("jobs")["jobs"])
    rows = at.lab.nodes().values()
    equal("free CPUs", sum(row["free_cpus"] for row in rows), sum(row["cpus"] for row in rows))
    equal("allocations", sum(row["allocations"] for row in rows), 0)


def load(at: Ground) -> None:
    """A load is told with the next heartbeat."""
    at.lab.verb("load", "n01", "4.0")
    at.within(3, "n01 has it", lambda: at.lab.nodes()["n01"]["load"] == 4.0)


CHECKS = [
    Check("an agent dies and returns", "R-RMS-1", killed_agent),
    Check("events of changes only", "R-RMS-2, 7, 8", transitions),
    Check("a task outlives its agent", "issue 3", killed_while_it_runs),
    Check("crash and return", "issue 3", crash),
    Check("cut and heal", "R-RMS-4", cut),
    Check("freeze and thaw", "R-RMS-5", freeze),
    Check("drain and undrain", "issue 3", drain),
    Check("no manager for a while", "issue 3", manager_killed),
    Check("kill -9 of the manager", "issue 3", restarted_manager),
    Check("all CPUs free after crashes", "R-RMS-22", all_free_in_the_end),
    Check("reported load", "lab", load),
]

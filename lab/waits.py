"""Checks of `explain`: each kind of waiting is named with its rule and its numbers."""

import time
from typing import Any

from lab.kit import Check, Ground, expect
from ostler.client.link import Link
from ostler.model.errors import OstlerError


def _told(at: Ground, job: str, rule: str, *parts: str) -> dict[str, Any]:
    """Wait until a job waits by a rule; expect each part in its reason."""
    found: dict[str, Any] = {}

    def seen() -> bool:
        found.update(at.lab.json("explain", job))
        return bool(found["rule"] == rule)

    at.within(10, f"job {job} waits by {rule}", seen)
    for part in parts:
        expect(f"{part!r} is told", part in found["reason"], found["reason"])
    return found


def dependency(at: Ground) -> None:
    """It names the job that it waits for."""
    first = at.gated()
    expect("it", first.id in _told(at, at.quick("--after", first.id), "dependency")["blockers"])
    first.open()


def hold(at: Ground) -> None:
    """It says how to release it."""
    job = at.quick("--hold")
    expect("how", f"ostler release {job}" in _told(at, job, "hold")["to_start_now"])


def not_before(at: Ground) -> None:
    """The time is the expected start."""
    told = _told(at, at.quick("--not-before", "+1h"), "not_before")
    expect("in an hour", 3500 < told["expected_start"] - time.time() <= 3600)


def cpus(at: Ground) -> None:
    """It counts what is asked and what is free, and foresees a start."""
    busy = [at.gated("-c", "3", "-t", "10m").running() for _ in at.nodes]
    told = _told(at, at.quick("-c", "2"), "resources", "2 CPUs", "the most free: 1")
    expect("a start is foreseen", 0 < told["expected_start"] - time.time() <= 601)
    for job in busy:
        job.open()


def memory(at: Ground) -> None:
    """It counts memory."""
    busy = [at.gated("-m", "6G").running() for _ in at.nodes]
    told = _told(at, at.quick("-m", "3G"), "resources", "3G of memory")
    expect("memory is short", told["numbers"]["short"] == "memory")
    for job in busy:
        job.open()


def limit(at: Ground) -> None:
    """It tells what is held, asked and allowed."""
    at.lab.ostler("config", "set", "max-cpus-per-user", "5")
    held = at.gated("-c", "3").running()
    _told(at, at.quick("-c", "4"), "limit", "holds 3 CPUs", "asks for 4", "may hold 5")
    held.open()


def drained(at: Ground) -> None:
    """It names the node and the reason that was given."""
    at.lab.ostler("nodes", "drain", "n08", "--reason", "new disk")
    _told(at, at.quick("-w", "n08"), "nodes", "n08", "new disk")


def behind(at: Ground) -> None:
    """It names what it would delay."""
    busy = [at.gated("-c", "4", "-t", "10m").running() for _ in at.nodes[1:]]
    first = at.quick("-N", "2", "-n", "2", "-c", "4")
    _told(at, first, "resources")
    _told(at, at.quick("-c", "2"), "behind", first)
    at.lab.ostler("cancel", first)
    for job in busy:
        job.open()


def array_cap(at: Ground) -> None:
    """It tells how many may run at once."""
    gate = at.folder() / "go"
    script = f"until [ -e {gate} ]; do sleep 0.05; done"
    job = at.quick("--array", "0-9%2", script=script)
    _told(at, job, "array_cap", "2")
    gate.touch()
    at.lab.wait_for(job, "done")


def node_left(at: Ground) -> None:
    """It names the node that only could have held it."""
    count = str(len(at.nodes))
    job = at.quick("-N", count, "-n", count, "--hold")
    at.lab.verb("kill", "n09")
    at.lab.await_status("n09", "no_agent")
    link = Link(str(at.lab.state))
    try:
        link.call("node_word", verb="separate", nodes=["n09"], reason="sold")
    except OstlerError as error:
        expect("n09 can be separated", holds=False, found=error)
    finally:
        link.close()
    at.lab.ostler("release", job)
    _told(at, job, "node_left", "n09")


CHECKS = [
    Check(f"explain: {name}", "issue 3", run)
    for name, run in (
        ("a dependency", dependency),
        ("a hold", hold),
        ("a time to come", not_before),
        ("busy CPUs", cpus),
        ("busy memory", memory),
        ("a limit", limit),
        ("a drained node", drained),
        ("behind another", behind),
        ("the cap of an array", array_cap),
        ("a node that left", node_left),
    )
]

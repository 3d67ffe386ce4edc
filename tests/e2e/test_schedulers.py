"""Schedulers that are no part of Ostler, as real processes."""

import os
import signal

import pytest

from ostler.agent import proc
from tests.e2e.machine_kit import Host, eventually

GOOD = """
import json, sys
for line in sys.stdin:
    told = json.loads(line)
    start = [{"job": j["job"], "nodes": {n["name"]: 1}}
             for j in told["snapshot"]["waiting"] for n in told["snapshot"]["nodes"]]
    print(json.dumps({"type": "proposal", "number": told["number"], "start": start}), flush=True)
"""
BAD = {
    "ended with status": "import sys; sys.stdin.readline(); print('oh', file=sys.stderr); sys.exit(3)",
    "makes no sense": "import sys; sys.stdin.readline(); print('oh', flush=True); sys.stdin.read()",
    "did not answer within 1 s": "import sys; sys.stdin.read()",
    "longer than": "import sys\nwhile True: sys.stdout.write('x' * 1000000)",
}


@pytest.mark.parametrize("told", BAD)
def test_one_that_fails_is_replaced_by_the_one_that_is_built_in_until_it_is_well(
    host: Host, told: str
) -> None:
    plan = host.work / "plan.py"
    plan.write_text(BAD[told])
    before = host.json("events", "--limit", "1")["events"][-1]["serial"]
    host.ostler("scheduler", "add", "mine", f"/usr/bin/env python3 {plan}", "deadline=1s")
    host.ostler("partitions", "set", "main", "scheduler=mine")
    try:
        job = host.submit("--", "true")
        host.ostler("wait", job)
        (row,) = [r for r in host.json("scheduler")["schedulers"] if r["name"] == "mine"]
        assert row["state"] == "lost"
        assert told in row["why"]
        plan.write_text(GOOD)
        host.ostler("events", "wait", "scheduler/back", "--after", str(before))
        other = host.submit("--", "true")
        assert host.ostler("wait", other).returncode == 0
        rows = host.json("scheduler")["schedulers"]
        assert [(r["name"], r["state"]) for r in rows] == [("backfill", "idle"), ("mine", "plans")]
    finally:
        host.ostler("partitions", "set", "main", "scheduler=none")
        host.ostler("scheduler", "remove", "mine")


def pid(host: Host) -> int | None:
    """Return the process of the scheduler, once there is one."""
    rows = host.json("scheduler")["schedulers"]
    found: int | None = next(r["pid"] for r in rows if r["name"] == "mine")
    return found


def test_nothing_is_left_of_one_that_nobody_names_any_more(host: Host) -> None:
    plan = host.work / "plan.py"
    plan.write_text(GOOD)
    host.ostler("scheduler", "add", "mine", f"/usr/bin/env python3 {plan}")
    host.ostler("partitions", "set", "main", "shadow=mine")
    host.ostler("run", "--", "true")

    process = eventually("it runs", lambda: pid(host))
    host.ostler("partitions", "set", "main", "shadow=none")
    host.ostler("run", "--", "true")
    eventually("its end", lambda: proc.is_zombie(process))
    host.ostler("scheduler", "remove", "mine")


def test_one_that_hangs_ends_with_the_process_that_stands_between(host: Host) -> None:
    plan = host.work / "plan.py"
    plan.write_text("import time; time.sleep(1000)")
    before = host.json("events", "--limit", "1")["events"][-1]["serial"]
    host.ostler("scheduler", "add", "mine", f"/usr/bin/env python3 {plan}", "deadline=100s")
    host.ostler("partitions", "set", "main", "scheduler=mine")
    try:
        host.submit("--", "true")

        process = eventually("it runs", lambda: pid(host))
        os.kill(proc.parent(process), signal.SIGKILL)
        host.ostler("events", "wait", "scheduler/lost", "--after", str(before))
        eventually("its end", lambda: proc.is_zombie(process))
        (row,) = [r for r in host.json("scheduler")["schedulers"] if r["name"] == "mine"]
        assert "the process between it and the manager was lost" in row["why"]
    finally:
        host.ostler("partitions", "set", "main", "scheduler=none")
        host.ostler("scheduler", "remove", "mine")

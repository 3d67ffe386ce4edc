"""A driver in its processes: whatever it does, an answer or the reason comes by the deadline."""

import contextlib
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from ostler.drivers.running import Failure, Running
from ostler.model.foreign import Did, NodeState, Share, Start
from ostler.wire.drivers import Fault
from tests.e2e.machine_kit import eventually

FILE = Path(__file__).with_name("faulty_driver.py")
ENDS = {
    "segfault": (Fault.CRASHED, "SIGSEGV while it did list_nodes"),
    "close": (Fault.CRASHED, "while it did list_nodes"),
    "hang": (Fault.HUNG, "did not answer to list_nodes in 0.2 s"),
    "hang-in-c": (Fault.HUNG, "did not answer to list_nodes"),
    "drip": (Fault.HUNG, "did not answer to list_nodes"),
    "grow": (Fault.MEMORY, "list_nodes took more memory than 256 MiB"),
    "print": (Fault.FLOOD, "printed over 8 MiB"),
    "meddle": (Fault.GARBAGE, "the driver's process talks nonsense"),
    "begin": (Fault.FAILED, "cannot be loaded: ValueError: it does not like its settings"),
    "lacks": (Fault.FAILED, "cannot be loaded: its class has no list_jobs, events"),
}  # these cost a process
ANSWERS = {
    "raise": (Fault.FAILED, "list_nodes raised RuntimeError: a thing that nobody had thought of"),
    "exit": (Fault.FAILED, "list_nodes raised SystemExit: enough"),
    "trouble": (Fault.FAILED, "the controller is away"),
    "wrong-type": (Fault.GARBAGE, "it is no Nodes, but dict"),
    "bad-field": (Fault.GARBAGE, r"Expected `int` >= 0 - at `\$.nodes\[1\].cpus`"),
    "too-many": (Fault.GARBAGE, "100001 nodes; the most is 100000"),
    "endless": (Fault.GARBAGE, "nodes is no tuple, but callable_iterator"),
}
LATE = 0.2  # seconds until a hang is one


def running(how: str, seconds: float = 30.0) -> Running:
    return Running(f"{FILE}:Driver", {"how": how}, seconds=seconds, memory=256 << 20)


def below(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in children for found in (int(child), *below(int(child)))]


def lives(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def running_with(mark: str) -> bool:
    """Say whether a process has this among its arguments."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{name}/cmdline").read_bytes()
            if mark in told.replace(b"\0", b" ").decode(errors="replace"):
                return True
    return False


@pytest.mark.parametrize("how", ENDS)
def test_whatever_a_driver_does_the_reason_is_told_and_orders_go_on(how: str) -> None:
    """R-MAU-23, and R-MAU-24: the one that hangs is ended at its deadline."""
    fault, why = ENDS[how]
    with running(how, LATE if fault is Fault.HUNG else 30.0) as driver:
        with pytest.raises(Failure, match=why) as told:
            driver.list_nodes()
        assert told.value.fault is fault
        if how not in {"begin", "lacks"}:
            assert driver.start(Start("t1", ())).id == "t1"


def test_an_answer_that_is_none_costs_no_process(tmp_path: Path) -> None:
    told = tmp_path / "how"
    with Running(f"{FILE}:Driver", {"file": str(told)}) as driver:
        for how, (fault, why) in ANSWERS.items():
            told.write_text(how)
            with pytest.raises(Failure, match=why) as failure:
                driver.list_nodes()
            assert failure.value.fault is fault
        told.write_text("")
        assert [node.name for node in driver.list_nodes().nodes] == ["n1"]
        assert not driver.lost


def test_what_a_hanging_driver_has_started_ends_with_it_and_with_the_process_that_watches() -> None:
    with running("hang") as driver:
        assert driver.start(Start("t", ())).did is Did.DONE
        driver.tell("cancel", "hang")
        driver.tell("list_nodes", "")
        # Of each fork a shell, and what that waits for.
        eventually("both hang", lambda: len(below(driver.pid)) == 6)
        hanging = below(driver.pid)
        os.kill(driver.pid, signal.SIGKILL)
        eventually("none is left", lambda: not any(map(lives, hanging)))
        with pytest.raises(Failure):
            driver.list_nodes()
    mark = f"sleep 36{time.monotonic_ns()}"
    settings = {"how": "hang", "with": f"trap '' TERM; {mark}"}
    with Running(f"{FILE}:Driver", settings, seconds=LATE) as driver:
        with pytest.raises(Failure, match=r"in 0\.2 s"):
            driver.list_nodes()
        eventually("none is left", lambda: not running_with(mark))


def test_nodes_are_asked_for_side_by_side_and_one_that_hangs_costs_one_worker() -> None:
    """R-MAU-25; that the peak is what was asked for is tested in `test_driver_asking`."""
    with Running(f"{FILE}:Fleet", {"count": "200"}, seconds=0.5, workers=8) as driver:
        nodes = driver.list_nodes().nodes
        assert [node.name for node in nodes] == [f"n{n}" for n in range(200)]
        late = nodes[7]
        assert (late.state, late.reason) == (NodeState.UNKNOWN, "did not answer in 0.5 s")
        # Calls under way at once: never more; on a busy host they may not all meet.
        assert 1 < max(node.cpus for node in nodes) <= 8
        assert driver.last
        assert driver.last.nodes
        assert (driver.last.nodes.count, driver.last.nodes.late) == (199, 1)
        while not driver.hints:
            driver.wait(30.0)
        assert driver.hints == ["a node has come"]
        assert driver.list_jobs().complete  # by a process that has no call hanging
        assert not driver.lost


def test_what_a_driver_begins_as_a_job_outlives_it_and_has_not_its_limits(tmp_path: Path) -> None:
    out = tmp_path / "out"
    os.mkfifo(tmp_path / "go")
    script = f"#!/bin/sh\nread -r _ <{tmp_path}/go\nulimit -Sv >{out}.new && mv {out}.new {out}\n"
    with Running("local", {"folder": str(tmp_path), "cpus": "1"}) as driver:
        share = Share("local")
        order = Start("t1", (share,), script=script.encode(), user="u", cwd=bytes(tmp_path))
        assert driver.start(order).did is Did.ACCEPTED
    (tmp_path / "go").write_text("go\n")
    eventually("it has ended", out.exists)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    unlimited = hard == resource.RLIM_INFINITY
    assert out.read_text() == ("unlimited\n" if unlimited else f"{hard >> 10}\n")

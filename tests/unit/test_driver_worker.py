"""A driver in its processes: whatever it does, an answer or the reason comes by the deadline."""

import os
import signal
from pathlib import Path

import pytest

from ostler.drivers.running import Failure, Running
from ostler.model.foreign import Did, NodeState, Start
from ostler.wire.drivers import Fault
from tests.e2e.machine_kit import eventually

FILE = Path(__file__).with_name("faulty_driver.py")
CASES = {
    "segfault": (Fault.CRASHED, "SIGSEGV while it did list_nodes"),
    "abort": (Fault.CRASHED, "SIGABRT"),
    "hang": (Fault.HUNG, "did not answer to list_nodes in 0.3 s"),
    "hang-in-c": (Fault.HUNG, "did not answer to list_nodes"),
    "drip": (Fault.HUNG, "did not answer to list_nodes"),
    "grow": (Fault.MEMORY, "list_nodes took more memory than 256 MiB"),
    "print": (Fault.FLOOD, "printed over 8 MiB"),
    "meddle": (Fault.GARBAGE, "the driver's process talks nonsense"),
    "close": (Fault.CRASHED, "while it did list_nodes"),
    "raise": (Fault.FAILED, "list_nodes raised RuntimeError: a thing that nobody had thought of"),
    "exit": (Fault.FAILED, "list_nodes raised SystemExit: enough"),
    "trouble": (Fault.FAILED, "the controller is away"),
    "wrong-type": (Fault.GARBAGE, "it is no Nodes, but dict"),
    "bad-field": (Fault.GARBAGE, r"Expected `int` >= 0 - at `\$.nodes\[1\].cpus`"),
    "too-many": (Fault.GARBAGE, "100001 nodes; the most is 100000"),
    "endless": (Fault.GARBAGE, "nodes is no tuple, but callable_iterator"),
    "begin": (Fault.FAILED, "cannot be loaded: ValueError: it does not like its settings"),
}


LATE = 0.3  # seconds until a hang is one


def running(how: str, seconds: float = 30.0) -> Running:
    return Running(f"{FILE}:Driver", {"how": how}, seconds=seconds, memory=256 << 20)


def group(session: int) -> list[str]:
    """Return the names of the processes of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[3]) == session:
            found.append(text[text.index("(") + 1 : text.rindex(")")])
    return sorted(found)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("how", CASES)
def test_whatever_a_driver_does_the_reason_is_told_and_orders_go_on(how: str) -> None:
    fault, why = CASES[how]
    with running(how, LATE if fault is Fault.HUNG else 30.0) as driver:
        with pytest.raises(Failure, match=why) as told:
            driver.list_nodes()
        assert told.value.fault is fault
        if how != "begin":
            assert driver.start(Start("t1", ())).id == "t1"


def test_what_a_hanging_driver_has_started_ends_with_it_and_with_the_process_that_watches() -> None:
    with running("") as driver:
        assert driver.about.name == "faulty"
        assert driver.start(Start("t", ())).did is Did.DONE
        forks = children(driver.pid)
        assert len(forks) == 2
        driver.tell("cancel", "hang")
        eventually("it hangs", lambda: any("sleep" in group(fork) for fork in forks))
        os.kill(driver.pid, signal.SIGKILL)
        eventually("none is left", lambda: not any(group(fork) for fork in forks))
        with pytest.raises(Failure):
            driver.list_nodes()
    with running("hang", LATE) as driver:
        assert driver.about.name == "faulty"
        forks = children(driver.pid)
        with pytest.raises(Failure):
            driver.list_nodes()
        eventually("its child has ended", lambda: not any("sleep" in group(fork) for fork in forks))


def test_nodes_are_asked_for_side_by_side_and_one_that_hangs_costs_one_worker() -> None:
    with Running(f"{FILE}:Fleet", {"count": "200"}, seconds=LATE, workers=8) as driver:
        nodes = driver.list_nodes().nodes
        assert [node.name for node in nodes] == [f"n{n}" for n in range(200)]
        late = nodes[7]
        assert (late.state, late.reason) == (NodeState.UNKNOWN, "did not answer in 0.3 s")
        assert max(node.cpus for node in nodes) == 8  # calls under way at once
        assert driver.last
        assert driver.last.nodes
        assert (driver.last.nodes.count, driver.last.nodes.late) == (199, 1)
        while not driver.hints:
            driver.wait(30.0)
        assert driver.hints == ["a node has come"]
        assert len(driver.list_nodes().nodes) == 200  # by a process that has no call hanging
        assert not driver.lost

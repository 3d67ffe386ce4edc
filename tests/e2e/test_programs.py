"""Prologs whose agent dies, and that take too long: nothing of them is left running."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.machine_kit import Host, eventually

pytestmark = pytest.mark.e2e

PROGRAM = """#!/bin/sh
echo $OSTLER_PROGRAM $$ >> {0}/calls
test $OSTLER_PROGRAM = epilog && exit
yes it says much | head -n 300000
echo it waits
until [ -e {0}/go ]; do sleep 0.02; done
"""


def test_a_prolog_is_ended_with_its_agent_or_when_it_is_late(own_host: Host) -> None:
    folder = own_host.work
    folder.chmod(0o755)
    program = folder / "program"
    program.write_text(PROGRAM.format(folder))
    program.chmod(0o755)
    for key in ("prolog", "epilog"):
        own_host.ostler("config", "set", key, str(program))
    job = own_host.submit("-o", "/dev/null", "--", "true")
    first = pid_of(folder, 0, "prolog")
    os.kill(own_host.pids()["agent"], signal.SIGKILL)
    assert pid_of(folder, 1, "epilog") != first  # what it had begun is cleared away
    second = pid_of(folder, 2, "prolog")
    assert not Path(f"/proc/{first}").exists()
    (folder / "go").touch()
    assert own_host.wait_for(job, "done")["result"] == "success"
    assert not Path(f"/proc/{second}").exists()
    pid_of(folder, 3, "epilog")
    assert own_host.json("contexts") == {"contexts": [], "silent": []}

    (folder / "go").unlink()
    own_host.ostler("config", "set", "prolog-timeout", "1")
    late = own_host.submit("-o", "/dev/null", "--", "true")
    third = pid_of(folder, 4, "prolog")
    (node,) = eventually(
        "the node drains",
        lambda: [n for n in own_host.json("nodes")["nodes"] if n["word"] == "draining"],
    )
    assert node["word_reason"] == f"prolog {program} did not end within 1 s: it waits"
    assert own_host.wait_for(late, "pending")["rule"] in ("nodes", "new", "retry")
    assert not Path(f"/proc/{third}").exists()
    log = (own_host.state / "log" / "agent.log").read_text()
    assert log.count("prolog says more, which is left out") == 3
    assert log.count("line='it says much'") <= 3 * 100


EPILOG = """#!/bin/sh
echo epilog $$ >> {0}/calls
until [ -e {0}/cleared ]; do sleep 0.02; done
test -e {0}/silent || echo done
"""


def test_an_epilog_runs_once_though_its_agent_dies(own_host: Host) -> None:
    folder = own_host.work
    folder.chmod(0o755)
    program = folder / "epilog"
    program.write_text(EPILOG.format(folder))
    program.chmod(0o755)
    own_host.ostler("partitions", "set", "main", f"epilog={program}")
    (folder / "silent").touch()
    for call, how in enumerate(("its end is known", "it was cut off")):
        job = own_host.submit("-o", "/dev/null", "--", "true")
        pid = pid_of(folder, call, "epilog")
        old = own_host.pids()["agent"]
        os.kill(old, signal.SIGKILL)
        eventually("another agent is there", partial(is_another, own_host, old))
        assert Path(f"/proc/{pid}").exists(), how
        (folder / "cleared").touch()
        assert own_host.wait_for(job, "done")["result"] == "success"
        assert not Path(f"/proc/{pid}").exists(), how
        (node,) = own_host.json("nodes")["nodes"]
        assert (node["word"] == "in") == (call == 0)
        (folder / "cleared").unlink()
        (folder / "silent").unlink(missing_ok=True)
    (node,) = own_host.json("nodes")["nodes"]
    assert node["word_reason"].startswith(f"epilog {program} ended, and nobody can tell how far")
    assert len((folder / "calls").read_text().splitlines()) == 2


def is_another(host: Host, old: int) -> bool:
    """Say whether an agent runs that is not the old one."""
    return host.pids().get("agent", old) != old


def pid_of(folder: Path, call: int, what: str) -> int:
    """Return the process of the program's n-th call, which was for this."""

    def calls() -> list[list[str]]:
        try:
            lines = (folder / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.split() for line in lines[call : call + 1]]

    ((found, pid),) = eventually(f"call {call} is for the {what}", calls)
    assert found == what
    return int(pid)

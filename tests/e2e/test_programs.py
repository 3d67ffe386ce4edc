"""Prologs whose agent dies, and that take too long: nothing of them is left running."""

import os
import signal
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

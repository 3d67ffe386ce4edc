"""The supervisor: one for each state folder, always there, and nobody's exit status is missed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ostler.agent.reaped import read_reaped
from ostler.model.errors import NotNow
from ostler.wire.supervise import launch_supervisor, process_start, read_supervisor
from tests.e2e.machine_kit import Host, eventually

pytestmark = pytest.mark.e2e


def supervisor(state: Path) -> int:
    """Return the pid of the living supervisor, or 0."""
    record = read_supervisor(str(state))
    pid = record.get("pid")
    alive = isinstance(pid, int) and process_start(pid) == record.get("start_time")
    return pid if alive and isinstance(pid, int) else 0


def children(state: Path) -> dict[str, int]:
    """Return the pids of the daemons that the supervisor has noted and that live."""
    noted = read_supervisor(str(state)).get("children")
    assert isinstance(noted, dict)
    return {
        name: one["pid"]
        for name, one in noted.items()
        if process_start(one["pid"]) == one["start_time"]
    }


def test_a_second_supervisor_says_which_one_holds_the_folder(own_host: Host) -> None:
    pid = supervisor(own_host.state)
    with pytest.raises(NotNow, match=f"holds .*already, pid {pid}"):
        launch_supervisor(str(own_host.state))
    assert supervisor(own_host.state) == pid


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotNow, match="cannot use the state folder"):
        launch_supervisor(str(file))


def test_it_begins_although_whoever_launched_it_has_gone(tmp_path: Path) -> None:
    """A daemon that starts a new supervisor may be killed before that one can say that it is up."""
    listens, says = os.pipe()
    os.close(listens)
    code = "from ostler.agent import supervisor as s; s._CHILDREN = (); s.main()"
    argv = [sys.executable, "-c", code, "--state", str(tmp_path), "--ready", str(says)]
    process = subprocess.Popen(argv, pass_fds=[says])
    os.close(says)
    try:
        eventually("it is up, or has ended", lambda: supervisor(tmp_path) or process.poll())
        process.terminate()
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["manager", "agent"])
def test_a_daemon_that_dies_is_started_again(own_host: Host, name: str) -> None:
    before = children(own_host.state)
    os.kill(before[name], signal.SIGKILL)
    eventually(
        f"another {name}", lambda: children(own_host.state).get(name, before[name]) != before[name]
    )
    assert own_host.ostler("run", "echo", "back").stdout == "back\n"


@pytest.mark.parametrize("also", [(), ("agent",), ("manager",), ("agent", "manager")])
def test_a_supervisor_that_dies_is_replaced_and_jobs_go_on(
    own_host: Host, also: tuple[str, ...]
) -> None:
    gate = own_host.work / "gate"
    os.mkfifo(gate)
    script = f"echo ran >>ran; read word <'{gate}'; exit 5"
    ident = own_host.submit("--", "sh", "-c", script)
    own_host.wait_for(ident, "running")
    eventually("it runs", (own_host.work / "ran").exists)
    first, before = supervisor(own_host.state), children(own_host.state)
    for name in also:
        os.kill(before[name], signal.SIGKILL)
    os.kill(first, signal.SIGKILL)
    if len(also) == 2:  # nobody is left who could
        own_host.up()
    eventually("another supervisor", lambda: supervisor(own_host.state) not in (0, first))
    eventually("fresh daemons", lambda: not set(before.values()) & _alive(own_host.state))
    own_host.ostler("status")
    gate.write_text("go\n")
    row = own_host.wait_for(ident, "done")
    assert row["exit_status"] == 5
    assert (own_host.work / "ran").read_text() == "ran\n"


def _alive(state: Path) -> set[int]:
    found = set(children(state).values())
    return found if len(found) == 2 else {0}


def test_an_orphans_exit_status_is_recorded_before_it_is_forgotten(tmp_path: Path) -> None:
    orphan = "import os, sys; os.fork() and os._exit(0); os.setsid(); sys.stdin.read(); os._exit(9)"
    parent = (
        "import subprocess, sys; from ostler.agent import supervisor as s; s._CHILDREN = ();"
        "s.become_subreaper();"  # before the orphan can be one
        f"subprocess.Popen([sys.executable, '-c', {orphan!r}]);"
        "sys.exit(s.main(['--state', sys.argv[1]]))"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], stdin=subprocess.PIPE)
    path = str(tmp_path / "node" / "spool" / "supervisor")
    try:
        eventually("it is up", lambda: supervisor(tmp_path) == process.pid)
        assert process.stdin is not None
        process.stdin.close()
        found = eventually(
            "the orphan's record",
            lambda: [one for one in read_reaped([path]).values() if one.code == 9],
        )
        assert found[0].leader
        assert process_start(found[0].pid) == 0
    finally:
        process.terminate()
        process.wait()


def test_down_leaves_no_process_and_no_supervisor_file(own_host: Host) -> None:
    pids = [supervisor(own_host.state), *children(own_host.state).values()]
    own_host.down()
    eventually("all are gone", lambda: not any(map(process_start, pids)))
    assert not (own_host.state / "supervisor.json").exists()

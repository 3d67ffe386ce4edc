"""What one user could do to another, or to the machine, through a machine of their own."""

import os
import select
import subprocess
from pathlib import Path

from tests.e2e.machine_kit import OSTLER, PATIENCE, Host, kill_leftovers


def test_no_descriptor_of_the_shell_that_started_it_stays_open(tmp_path: Path) -> None:
    host = Host(tmp_path, "--cpus", "1")
    readable, writable = os.pipe()
    try:
        subprocess.run(
            [OSTLER, "--state", str(host.state), "up", "-q"],
            pass_fds=(writable,),
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=PATIENCE,
        )
        os.close(writable)
        assert host.ostler("run", "echo", "up").stdout == "up\n"
        assert select.select([readable], [], [], 5.0)[0]  # its end: nobody has the other one
    finally:
        os.close(readable)
        host.down()
        kill_leftovers(host.state)


def test_a_time_limit_of_months_is_kept_by_the_starter_itself(host: Host) -> None:
    assert host.ostler("run", "-t", "52w", "sh", "-c", "sleep 0.2; echo done").stdout == "done\n"
    assert "a starter died" not in (host.state / "log" / "agent.log").read_text()

"""Records of reaped orphans: read back whole, whatever happened to the file."""

import os
import signal
from pathlib import Path

import pytest

from ostler.agent.reaped import ReapedLog, read_reaped


def orphan(end: str) -> int:
    """Return the pid of a child that has ended and was not waited for."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", end], {}, setpgroup=0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


@pytest.mark.parametrize(
    ("end", "code", "signum"), [("exit 3", 3, 0), ("kill -15 $$", 0, signal.SIGTERM)]
)
def test_how_a_process_ended_is_written_before_the_kernel_forgets_it(
    tmp_path: Path, end: str, code: int, signum: int
) -> None:
    log = ReapedLog(str(tmp_path / "spool" / "agent"))
    pid = orphan(end)
    one = log.reap(pid)
    assert one is not None
    [found] = read_reaped([log.path]).values()
    assert (found.pid, found.start_time, found.code, found.signal) == (
        pid,
        one.start_time,
        code,
        signum,
    )
    assert found.leader
    assert found.usage == one.usage
    assert log.reap(pid) is None
    log.close()


def test_a_child_that_lives_is_not_reaped(tmp_path: Path) -> None:
    log = ReapedLog(str(tmp_path / "agent"))
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    assert log.reap(pid) is None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    log.close()


def test_damage_costs_the_record_it_hits_and_no_other(tmp_path: Path) -> None:
    log = ReapedLog(str(tmp_path / "agent"))
    for code in (1, 2, 3):
        log.reap(orphan(f"exit {code}"))
    log.close()
    path = tmp_path / "agent"
    data = path.read_bytes()
    size = len(data) // 6  # two records each
    assert sorted(one.code for one in read_reaped([str(path)]).values()) == [1, 2, 3]
    path.write_bytes(data[: 2 * size] + data[2 * size + 7 : 4 * size] + data[4 * size : -5])
    assert sorted(one.code for one in read_reaped([str(path)]).values()) == [1, 2, 3]
    path.write_bytes(data[: 2 * size] + b"x" * 2 * size + data[4 * size :])
    assert sorted(one.code for one in read_reaped([str(path)]).values()) == [1, 3]

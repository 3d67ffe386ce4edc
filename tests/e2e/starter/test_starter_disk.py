"""A starter whose spool cannot be written: nothing is started unrecorded, nothing told is lost."""

import os
from pathlib import Path

import pytest

from ostler.agent import spool
from ostler.wire.cgroup import find_bases
from tests.e2e.starter.kit import Agent, order, wait_gone

pytestmark = pytest.mark.e2e


def full_from(kind: int) -> str:
    """Code for a zygote whose starters find the disk full from this kind of record on."""
    return f"""
import errno
from ostler.agent.spool import Spool
whole = Spool.add
def add(self, kind, *values):
    if kind >= {kind}: raise OSError(errno.ENOSPC, "No space left on device")
    whole(self, kind, *values)
Spool.add = add
"""


@pytest.mark.parametrize("kind", [spool.ACCEPTED, spool.INTENT], ids=["accepted", "intent"])
def test_what_cannot_be_recorded_is_not_started_and_may_start_elsewhere(
    agent: Agent, work: Path, kind: int
) -> None:
    agent.start_zygote(full_from(kind))
    line = agent.fork()
    line.say("launch", **order(1, [b"touch", b"ran"], work))
    ended = line.hear()
    assert (ended["type"], ended["started_at"], ended["cause"]) == ("ended", None, "node")
    assert "no space left on device" in ended["why"]
    assert not (work / "ran").exists()


def test_what_runs_when_the_disk_fills_is_told_all_the_same(agent: Agent, work: Path) -> None:
    agent.start_zygote(full_from(spool.PID))
    line = agent.fork()
    line.say("launch", **order(1, [b"sh", b"-c", b"exit 3"], work))
    assert line.hear_until("ended")["tasks"] == [[0, 3, 0]]


def test_a_starter_without_a_spool_goes_at_once_and_leaves_no_group(agent: Agent) -> None:
    agent.start_zygote(
        "import ostler.agent.starter as s\n"
        "def refuse(*_): raise OSError(30, 'Read-only file system')\n"
        "s.Spool = refuse"
    )
    folders = [base.folder for base in find_bases()]
    before = {n for f in folders for n in os.listdir(f)}  # of one that was killed, of the same pid
    pid = agent.ask({"type": "fork", "name": "s1"})["pid"]
    wait_gone(pid)
    now = {n for f in folders for n in os.listdir(f)}
    assert not [n for n in now - before if n.startswith(f"ostler-{pid}-")]

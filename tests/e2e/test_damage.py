"""Damaged files of the state folder: said clearly, others go on, and `lost` only where it must be."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostler.wire.supervise import process_start
from tests.e2e.gated import Gated
from tests.e2e.machine_kit import Host, machine

pytestmark = pytest.mark.e2e

Damage = Callable[[Path], object]


def garble(path: Path) -> None:
    """Overwrite the middle third with noise."""
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = random.Random(1).randbytes(third)
    path.write_bytes(data)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(random.Random(2).randbytes(100))


DAMAGES: dict[str, Damage] = {
    "garbled": garble,
    "beheaded": lambda path: path.write_bytes(b"\0" * 20 + path.read_bytes()[20:]),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 5),
    "emptied": lambda path: os.truncate(path, 0),
    "appended": append,
}


def agent_log(host: Host) -> str:
    return (host.state / "log" / "agent.log").read_text()


@pytest.fixture
def wide_host(tmp_path: Path) -> Iterator[Host]:
    """Run a machine with room for one job of each damage, and one that is not hit."""
    with machine(tmp_path, "--cpus", str(len(DAMAGES) + 1)) as found:
        yield found


def test_damaged_spools_of_living_starters_cost_nothing(wide_host: Host) -> None:
    other = Gated(wide_host, "other", 8).running()
    hit = {name: Gated(wide_host, name, 7).running() for name in DAMAGES}
    paths = {name: Path(job.spool().path) for name, job in hit.items()}
    wide_host.ostler("down", "--leave")
    for name, damage in DAMAGES.items():
        damage(paths[name])
    wide_host.up()
    for job in (*hit.values(), other):
        job.open()
    assert {name: job.ended() for name, job in hit.items()} == dict.fromkeys(hit, ("failed", 7))
    assert other.ended() == ("failed", 8)
    assert {len(job.pids) for job in (*hit.values(), other)} == {1}
    for name in ("garbled", "beheaded", "appended"):
        assert f"{paths[name]}: bytes" in agent_log(wide_host)


def test_what_nobody_can_tell_of_is_lost_and_nothing_of_it_is_left(wide_host: Host) -> None:
    other = Gated(wide_host, "other", 8).running()
    hit = {name: Gated(wide_host, name, 7).running() for name in DAMAGES}
    for name, job in hit.items():
        found = job.spool()
        DAMAGES[name](Path(found.path))
        os.kill(found.pid, signal.SIGKILL)
    for name in ("appended", "cut"):  # what the spool told before is whole, or enough of it
        hit[name].open()
        assert hit[name].ended() == ("failed", 7)
    for name in ("garbled", "beheaded", "emptied"):
        assert hit[name].ended()[0] == "lost"
        assert not any(map(process_start, hit[name].pids))
    other.open()
    assert other.ended() == ("failed", 8)
    assert {len(job.pids) for job in (*hit.values(), other)} == {1}


def test_files_in_the_spool_that_are_none_are_said_and_left_out(own_host: Host) -> None:
    job = Gated(own_host, "job", 7).running()
    own_host.ostler("down", "--leave")
    folder = own_host.state / "node" / "spool"
    (folder / "noise").write_bytes(random.Random(3).randbytes(3000))
    (folder / "folder").mkdir()
    own_host.up()
    job.open()
    assert job.ended() == ("failed", 7)
    assert f"{folder / 'noise'}: bytes" in agent_log(own_host)


@pytest.mark.parametrize("part", [0, 2])
def test_a_damaged_journal_costs_nothing_while_starters_live(own_host: Host, part: int) -> None:
    jobs = [Gated(own_host, f"job{n}", n).running() for n in (5, 6)]
    own_host.ostler("down", "--leave")
    journal = own_host.state / "node" / "journal"
    data = bytearray(journal.read_bytes())
    at = part * len(data) // 4
    data[at : at + len(data) // 4] = bytes(len(data) // 4)
    journal.write_bytes(data)
    own_host.up()
    for job, code in zip(jobs, (5, 6), strict=True):
        job.open()
        assert job.ended() == ("failed", code)
        assert len(job.pids) == 1
    assert "journal is damaged" in agent_log(own_host)

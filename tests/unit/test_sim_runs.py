"""Replays in processes of their own: the same starts in order, and nothing left when it goes wrong."""

import multiprocessing
import os
import signal
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from ostler.model.errors import OstlerError
from ostler.schedule.counted import Rule
from ostler.schedule.policy import FCFS, parse_policy
from ostler.sim.runs import Replayed, Run, carry_out
from ostler.sim.swf import Trace, read
from tests.unit.swf_kit import job, written


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """More jobs than are worth a process."""
    lines = [job(n, n * 7, 1 + n * 31 % 900, 1 + n % 10, 1000) for n in range(10_000)]
    return read(written(tmp_path / "t.swf", *lines))


def results(done: list[Replayed]) -> list[object]:
    return [(each.run, each.starts, each.measured) for each in done]


def test_processes_give_what_one_after_the_other_gives(trace: Trace) -> None:
    asked = [Run(trace, parse_policy(name), Rule.EVENT) for name in ("fcfs", "easy", "fcfs")]
    told: dict[int, int] = {}
    beside = carry_out(asked, told.__setitem__, cpus=2)
    assert told == dict.fromkeys(range(3), len(trace))
    assert results(beside) == results(carry_out(asked, lambda _run, _jobs: None, cpus=1))
    assert multiprocessing.active_children() == []


def test_what_goes_wrong_in_a_process_is_raised_here(trace: Trace) -> None:
    asked = [Run(trace, FCFS, Rule.EVENT), Run(Trace("bad", 0), FCFS, Rule.EVENT)] * 2
    with pytest.raises(OstlerError, match="the replay of bad under fcfs failed: "):
        carry_out(asked, lambda _run, _jobs: None, cpus=2)
    assert multiprocessing.active_children() == []


def test_nothing_runs_on_after_an_interruption(trace: Trace) -> None:
    def interrupted(_run: int, _jobs: int) -> None:
        raise KeyboardInterrupt

    asked = [Run(trace, FCFS, Rule.EVENT)] * 3
    with pytest.raises(KeyboardInterrupt):
        carry_out(asked, interrupted, cpus=2)
    assert multiprocessing.active_children() == []


def test_an_interruption_reaches_no_process_not_even_one_that_begins(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = SpawnProcess.start

    def interrupted(process: SpawnProcess) -> None:
        start(process)
        os.kill(process.pid or 0, signal.SIGINT)

    monkeypatch.setattr(SpawnProcess, "start", interrupted)
    asked = [Run(trace, FCFS, Rule.EVENT)] * 2
    assert len(carry_out(asked, lambda _run, _jobs: None, cpus=2)) == 2


def test_a_process_that_is_killed_is_told(trace: Trace) -> None:
    def kill(_run: int, _jobs: int) -> None:
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGKILL)

    asked = [Run(trace, FCFS, Rule.EVENT)] * 2
    with pytest.raises(OstlerError, match=r"the replay of .* under fcfs was ended from outside"):
        carry_out(asked, kill, cpus=2)
    assert multiprocessing.active_children() == []

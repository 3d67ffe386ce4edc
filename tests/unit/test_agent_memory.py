"""How a share's memory is summed up where no control group does it."""

import pytest

from ostler.agent import memory
from ostler.wire.cgroup import Groups


class Processes:
    """What the kernel says of some processes, at each look; the last answer stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **said: dict[int, list[int]]) -> None:
        monkeypatch.setattr(memory, "descendants", lambda _: sorted(said["resident"]))
        for name, answers in said.items():
            monkeypatch.setattr(memory, name, lambda pid, answers=answers: _next(answers[pid]))


def _next(answers: list[int]) -> int:
    return answers.pop(0) if len(answers) > 1 else answers[0]


def look() -> str:
    return memory.MemoryWatch(Groups([], "none"), 100 << 20).look()


def test_processes_that_end_while_their_memory_is_summed_up_use_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seventy = 70 << 20
    Processes(
        monkeypatch,
        resident={1: [seventy, 0], 2: [seventy, 0]},
        proportional={1: [0], 2: [0]},
    )
    assert look() == ""


def test_a_process_that_cannot_be_looked_at_closely_counts_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Processes(
        monkeypatch,
        resident={1: [70 << 20], 2: [80 << 20]},
        proportional={1: [35 << 20], 2: [0]},
    )
    assert look() == "used 115M of the 100M it asked for"

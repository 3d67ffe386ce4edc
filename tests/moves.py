"""Which legal moves do the tests make? A pytest plugin that notes them, and a table of the rest.

`make cover` runs the tests with `-p tests.moves` and then this module as a program. Moves made in
real daemons (tests/e2e) are not seen: what the core may do has to be shown without them.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from ostler.core.effects import Effect, Save
from ostler.core.events import Event
from ostler.core.machine import Machine
from ostler.model.allocation import Allocation
from ostler.model.job import Job
from ostler.model.states import LEGAL_ALLOCATION, LEGAL_JOB

Move = tuple[str, str, str]  # noun, state left, state entered

NOTES = Path(os.environ.get("OSTLER_MOVES", ".moves")).absolute()  # tests go elsewhere
LEGAL: Mapping[str, Mapping[StrEnum, frozenset[StrEnum]]] = {
    "job": {state: frozenset(after) for state, after in LEGAL_JOB.items()},
    "allocation": {state: frozenset(after) for state, after in LEGAL_ALLOCATION.items()},
}

_seen: Counter[tuple[Move, str]] = Counter()
_states: WeakKeyDictionary[Machine, dict[tuple[str, int], str]] = WeakKeyDictionary()


def moves(last: dict[tuple[str, int], str], effects: Iterable[Effect]) -> Iterable[Move]:
    """Yield the moves that the rows of some effects tell of, and remember the states in `last`."""
    for effect in effects:
        if not isinstance(effect, Save) or not isinstance(effect.write, Job | Allocation):
            continue
        row = effect.write
        noun = type(row).__name__.lower()
        left = last.get((noun, row.id), row.state.value)
        last[noun, row.id] = row.state.value
        if left != row.state:
            yield noun, left, row.state.value


def pytest_configure() -> None:
    """Look over the shoulder of every machine."""
    handle = Machine.handle

    def noting(self: Machine, now: float, event: Event) -> list[Effect]:
        effects = handle(self, now, event)
        last = _states.setdefault(self, {})
        _seen.update((move, type(event).__name__) for move in moves(last, effects))
        return effects

    Machine.handle = noting  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave what this process saw where the program finds it."""
    del session
    NOTES.mkdir(exist_ok=True)
    lines = [" ".join((*move, event, str(count))) for (move, event), count in _seen.items()]
    (NOTES / str(os.getpid())).write_text("".join(f"{line}\n" for line in lines))


def read_notes() -> dict[Move, Counter[str]]:
    """Return for each move made how often each event made it."""
    made: dict[Move, Counter[str]] = {}
    for path in NOTES.iterdir():
        for line in path.read_text().splitlines():
            noun, left, entered, event, count = line.split()
            made.setdefault((noun, left, entered), Counter())[event] += int(count)
    return made


def main() -> int:
    """Print every legal move with what made it; return how many nothing made."""
    made = read_notes()
    missing = 0
    for noun, table in LEGAL.items():
        for left, after in table.items():
            for entered in sorted(after):
                events = made.get((noun, left.value, entered.value), Counter())
                missing += not events
                by = ", ".join(f"{event} {count}" for event, count in events.most_common())
                print(f"{noun:10} {left:10} -> {entered:10} {by or 'NO TEST MAKES THIS MOVE'}")
    print(f"{missing} legal moves without a test")
    return missing


if __name__ == "__main__":
    sys.exit(main() > 0)

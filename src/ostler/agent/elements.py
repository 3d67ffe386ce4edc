"""A slot's elements as its hand knows them, and what is told of them in a dead starter's place."""

import time
from collections.abc import Iterable

import msgspec
from msgspec import structs

from ostler.agent.spool import SpoolState
from ostler.model.ids import AllocationId
from ostler.model.orders import LAST_SERIAL, ElementEnd, Ended, Progress, Spans
from ostler.model.states import Result

_DAMAGED = "its starter died and its record is damaged; nobody can tell which elements ran"


Doom = tuple[str, str, float]  # cause, why, seconds of grace


class Elements:
    """What a slot's starter told and the manager has not acknowledged; what is to be ended."""

    def __init__(self) -> None:
        self._told: dict[int, Progress] = {}  # by serial
        self._doomed: dict[int, Doom] = {}  # until told of

    def told(self, row: Progress) -> None:
        """Keep what its starter told."""
        self._told[row.serial] = row
        if self._doomed:
            for index in (*(end.index for end in row.ended), *_numbers(row.returned)):
                self._doomed.pop(index, None)

    def acknowledged(self, serial: int) -> None:
        """Forget what was told up to this serial."""
        for number in [number for number in self._told if number <= serial]:
            del self._told[number]

    def doom(self, elements: Spans, doom: Doom) -> None:
        """Note that these are to be ended, as the order may be lost with their starter."""
        self._doomed.update(dict.fromkeys(_numbers(elements), doom))

    def doom_of(self, element: int) -> Doom | None:
        """Return how it is to be ended; None if it is not."""
        return self._doomed.get(element)

    def last_word(self, alloc: AllocationId, ends: Iterable[ElementEnd]) -> Progress | None:
        """Return what must be told before the slot's end; None if nothing.

        ends: as a dead starter's spool tells them. Of several of one attempt the last counts: the
        element was given back before it, unrun.
        """
        last: dict[tuple[int, int], ElementEnd] = {}
        told = [end for row in self._told.values() for end in row.ended]
        for end in (*told, *ends):
            last.pop((end.index, end.attempt), None)
            last[end.index, end.attempt] = end
        return Progress(alloc, LAST_SERIAL, tuple(last.values())) if last else None


def _numbers(spans: Spans) -> Iterable[int]:
    return (index for low, high in spans for index in range(low, high + 1))


def ends_of(state: SpoolState) -> tuple[ElementEnd, ...]:
    """Return how elements ended by the spool; a row that makes no sense is noted as damage."""
    ends = []
    for row in state.ends:
        try:
            ends.append(msgspec.convert(row, ElementEnd))
        except msgspec.ValidationError as error:
            state.damage.append(f"{state.path}: the end of an element is none: {error}")
    return tuple(ends)


def doubted(row: Ended, state: SpoolState) -> Ended:
    """Return a slot's end, lost if its spool is damaged.

    Of an element that was told of nowhere the manager believes that it did not run.
    """
    if not (state.is_slot and state.damage):
        return row
    return structs.replace(row, cause=Result.LOST, why=_DAMAGED)


def lost_turn(state: SpoolState, why: str) -> tuple[ElementEnd, ...]:
    """Return the end of the element that ran, of which nobody can tell how it ended."""
    if state.element < 0 or state.started_at is None:
        return ()
    started, now = state.started_at, time.time()
    return (ElementEnd(state.element, state.attempt, started, now, Result.LOST, why),)

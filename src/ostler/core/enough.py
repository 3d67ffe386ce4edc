"""The end of an array of which enough is done: whoever has it needs no more of its elements."""

from ostler.core.entry import Entry
from ostler.core.foreign.spread import spreads
from ostler.core.moves import end_waiting, tell_dependents
from ostler.core.slots import drain
from ostler.core.state import State
from ostler.model.errors import Unsupported
from ostler.model.states import Result


def end_array(s: State, now: float, entry: Entry, why: str) -> str:
    """End what waits as a success, and what is in slots and has not begun; what runs goes on.

    Raises `Unsupported` where elements wait in other resource managers, which only cancel.
    """
    if entry.job.id not in s.jobs:
        return f"had already ended as {entry.job.result}"
    if entry.job.rm or spreads(s, entry):
        raise Unsupported("it may wait in another resource manager", hint="cancel it")
    for number in sorted(entry.slots):
        alloc = s.allocations[number]
        if alloc.slot and not alloc.cause:
            drain(s, entry, alloc)
    end_waiting(s, now, entry, Result.SUCCESS, why)
    if entry.job.id in s.dependents and entry.job.id in s.jobs:
        tell_dependents(s, now, entry.job.id)
    return "ends with what runs" if entry.slots else "ended"

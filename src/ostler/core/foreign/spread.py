"""Arrays in partitions of several resource managers: each element goes where there is room for it.

Nothing binds such an array as a whole. An element is bound once a resource manager may have taken
it: by `Entry.bound`, and by its row after a restart. A start that was refused binds nothing.

A scheduler is shown of such an array what it may start anywhere it likes among the places that
are shown with it: what is bound nowhere; or, if all that waits is bound, so many as each resource
manager has of them that has any. So it starts nothing for which no element is left.
"""

from math import inf
from typing import NamedTuple

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.foreign.bind import foreign_partitions, with_features
from ostler.core.foreign.rms import Rm
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.features import FOREIGN, NATIVE, OF_RM
from ostler.model.ids import Ref
from ostler.model.ranges import RangeSet
from ostler.model.resources import Placement, Request
from ostler.model.states import Result, Rule
from ostler.schedule.can_ever import can_ever
from ostler.schedule.snapshot import Wait


def spreads(s: State, entry: Entry) -> bool:
    """Say whether the elements of a job go to several resource managers, each by itself."""
    job = entry.job
    if not s.rms or not job.is_array or job.rm or job.spec.within:
        return False
    return bool(entry.bound) or job.spec.partition in foreign_partitions(s)


def rm_name(s: State, places: tuple[Placement, ...]) -> str:
    """Return the resource manager of these places; `native`: they are the machine's own."""
    return s.nodes[places[0].node].node.rm or NATIVE


def rm_of(s: State, alloc: Allocation) -> Rm | None:
    """Return the resource manager in which an allocation is; None: in none but this."""
    return s.rms.get(rm_name(s, alloc.placements)) if s.rms and alloc.placements else None


def rms_of(s: State, entry: Entry, ref: Ref | None = None) -> list[Rm]:
    """Return the resource managers that have something of a job, or of the elements named."""
    if entry.job.rm:
        return [rm] if (rm := s.rms.get(entry.job.rm)) is not None else []
    if not spreads(s, entry):
        return []
    spans = None if ref is None or ref.elements is None else list(ref.elements)
    live = entry.live if spans is None else RangeSet([(i, i) for i in entry.live]).common(spans)
    found = {rm_name(s, s.allocations[entry.live[i]].placements) for i in live}
    for name, elements in entry.bound.items():
        waits = (*entry.waiting.spans, *entry.barred.spans)
        if any(elements.between(*span) for span in waits) and spans is None:
            found.add(name)
    return [s.rms[name] for name in sorted(found) if name in s.rms]


def rm_at(s: State, entry: Entry, index: int) -> Rm | None:
    """Return the resource manager that has an element, or had it last."""
    if index in entry.live:
        return rm_of(s, s.allocations[entry.live[index]])
    return s.rms.get(entry.job.rm or where(entry, index))


def where(entry: Entry, index: int) -> str:
    """Return where an element that does not run is bound to; empty: nowhere."""
    return next((rm for rm, elements in entry.bound.items() if index in elements), "")


# -- binding ------------------------------------------------------------------------------------


def bind_element(s: State, entry: Entry, alloc: Allocation) -> str:
    """Bind the element of an allocation that is over to where it was; return where it is bound.

    Of our own nodes only what they have started counts: nothing else of it is left there.
    """
    if not spreads(s, entry):
        return ""
    name = rm_name(s, alloc.placements)
    if alloc.started or (name != NATIVE and not entry.slots[alloc.id].refused):
        entry.bind(alloc.element, name)
        return name
    return where(entry, alloc.element)


def bound_again(s: State, entry: Entry, index: int) -> str:
    """Return where an ended element is bound that is to run again.

    Of the many that succeeded in slots nothing was noted: only our own nodes have those.
    """
    name = where(entry, index)
    if not name and entry.result_of(index) == Result.SUCCESS and spreads(s, entry):
        name = NATIVE
        entry.bind(index, name)
    return name


def may_go_elsewhere(s: State, alloc: Allocation) -> bool:
    """Say whether an element that a resource manager does not run could run in another."""
    entry = s.jobs[alloc.job]
    if not spreads(s, entry) or where(entry, alloc.element):
        return False
    spec, here = entry.job.spec, rm_name(s, alloc.placements)
    nodes = [
        node
        for node in (known.node for known in s.nodes.values())
        if node.partition == spec.partition and not node.gone
        if (name := node.rm or NATIVE) != here and entry.shunned.get(name, 0.0) < inf
    ]
    return bool(nodes) and can_ever(spec.request, spec.partition, nodes) is None


def pause(entry: Entry, rm: str, until: float) -> None:
    """Start nothing of an array in a resource manager that refused to, until then."""
    entry.shunned[rm] = max(entry.shunned.get(rm, 0.0), until)


# -- what is next -------------------------------------------------------------------------------


def following(entry: Entry, rm: str) -> int | None:
    """Return the element to start next in a resource manager: its own go first."""
    if not entry.bound:
        return entry.next_waiting()
    mine = entry.bound.get(rm)
    if mine and (index := mine.first_of(entry.waiting)) is not None:
        return index
    at = 0
    while (index := entry.waiting.from_on(at)) is not None:
        lasts = (elements.last_beside(index) for elements in entry.bound.values())
        last = next((each for each in lasts if each is not None), None)
        if last is None:
            return index
        at = last + 1
    return None


def check_element(now: float, entry: Entry, element: int | None, rm: str) -> None:
    """Raise `Refused` unless an element, or some element, may start in a resource manager now."""
    number = entry.job.id
    if entry.shunned.get(rm, 0.0) > now:
        raise Refused(f"{rm} has just refused to start an element of job {number}")
    if not entry.bound:
        return
    if element is None:
        if following(entry, rm) is None:
            raise Refused(f"job {number} has no element that waits and may start in {rm}")
    elif (there := where(entry, element)) not in ("", rm):
        raise Refused(f"element {element} of job {number} was submitted to {there}, and stays")


class Front(NamedTuple):
    """What a scheduler is shown of an array: it may start so many, wherever that is asked for."""

    most: int
    request: Request
    head: bool  # one of them was returned by a start that failed


def front(entry: Entry, now: float) -> Front:
    """Return what of the elements that wait is to be started first."""
    request, counts = entry.job.spec.request, _waiting(entry)
    shunned = {rm for rm, until in entry.shunned.items() if until > now}
    free = len(entry.waiting) - sum(counts.values())
    going = {rm: count for rm, count in counts.items() if rm not in shunned}
    head = where(entry, entry.returned[0]) if entry.returned else None
    if free or not going:
        features = tuple(f"!{_feature(rm)}" for rm in sorted(shunned))
        narrow = with_features(request.constraint, features) if free else request.constraint
        return Front(free or len(entry.waiting), replace(request, constraint=narrow), head == "")
    text = with_features(request.constraint, ("|".join(map(_feature, sorted(going))),))
    return Front(min(going.values()), replace(request, constraint=text), head in going)


def shut_out(s: State, now: float, entry: Entry) -> Wait | None:
    """Return why nothing of an array may start, if all that could take it have just refused."""
    until = {rm: at for rm, at in entry.shunned.items() if at > now}
    if not until or not entry.waiting:
        return None
    counts = _waiting(entry)
    places = set(counts)
    if sum(counts.values()) < len(entry.waiting):
        places |= {rm or NATIVE for rm in foreign_partitions(s).get(entry.job.spec.partition, ())}
    if not places or not places <= until.keys():
        return None
    at = min(until[rm] for rm in places)
    failures = max(entry.failures.values(), default=1)
    return Wait(Rule.RETRY, {"at": at, "failures": failures}, at)


def handed(s: State, entry: Entry) -> Request:
    """Return what those ask for that wait in slots behind others, and are for others to start."""
    request, mine = entry.job.spec.request, entry.bound.get(NATIVE)
    spans = [span for number in entry.slots for span in s.allocations[number].chunk]
    if mine and all(mine.between(low, high) == high - low + 1 for low, high in spans):
        text = with_features(request.constraint, (_feature(NATIVE),))
        return replace(request, constraint=text)
    return request


def _waiting(entry: Entry) -> dict[str, int]:
    """Return how many of the elements that wait are bound where."""
    spans = entry.waiting.spans
    counts = {
        rm: sum(elements.between(low, high) for low, high in spans)
        for rm, elements in entry.bound.items()
    }
    return {rm: count for rm, count in counts.items() if count}


def _feature(rm: str) -> str:
    return f"!{FOREIGN}" if rm == NATIVE else f"{OF_RM}{rm}"

"""What is told and is not as it should be: a row and an event for each change, and what was done."""

from collections.abc import Collection
from typing import NamedTuple

from msgspec.structs import replace

from ostler.core.foreign.rms import Rm
from ostler.core.state import State
from ostler.model.foreign_rows import Discrepancy
from ostler.model.limits import MAX_SENTENCE


def clean(text: str, most: int = MAX_SENTENCE) -> str:
    """Return what a resource manager said as text that any terminal may show."""
    cut = text[:most]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


class Odd(NamedTuple):
    """A thing that is told to be otherwise than it should be. All but its names are phrases."""

    kind: str  # as in the table of discrepancies
    thing: str  # node or job
    before: str  # as it should be
    after: str  # as it is told
    done: str = ""
    job: int | None = None
    node: str | None = None


def tell(s: State, now: float, rm: Rm, odd: Odd, *, lasts: bool = True) -> None:
    """Record a discrepancy: once, until it is another.

    lasts: it goes on until `agree` is called; else what was done has settled it.
    """
    key = odd.kind, odd.thing
    known = rm.odd.get(key)
    if known is not None:
        if (known.before, known.after) == (odd.before, odd.after):
            return
        agree(s, now, rm, *key)
    over_at = None if lasts else now
    found = Discrepancy(s.next_event, now, rm.name, *odd[:5], over_at)
    text = f"{odd.thing} should be {odd.before}, and {rm.name} tells that it is {odd.after}: "
    s.note(now, "discrepancy", text + odd.done, job=odd.job, node=odd.node, about=rm.name)
    s.save(found)
    if lasts:
        rm.odd[key] = found


def settle_odd(
    s: State, now: float, rm: Rm, kinds: Collection[str], listed: Collection[str] = ()
) -> None:
    """Note that what was odd of these kinds is over, but for things that are still listed.

    listed: by the names that the resource manager has for them.
    """
    for kind, thing in list(rm.odd):
        if kind in kinds and rm.own(thing) not in listed:
            agree(s, now, rm, kind, thing)


def agree(s: State, now: float, rm: Rm, kind: str, thing: str) -> None:
    """Note that something is as it should be again, if it was not."""
    known = rm.odd.pop((kind, thing), None)
    if known is not None:
        s.save(replace(known, over_at=now))

"""What is told and is not as it should be: a row and an event for each change, and what was done."""

from msgspec.structs import replace

from ostler.core.foreign.rms import Rm
from ostler.core.state import State
from ostler.model.foreign_rows import Discrepancy
from ostler.model.limits import MAX_SENTENCE


def clean(text: str, most: int = MAX_SENTENCE) -> str:
    """Return what a resource manager said as text that any terminal may show."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


def tell(
    s: State,
    now: float,
    rm: Rm,
    kind: str,
    thing: str,
    *,
    before: str,
    after: str,
    done: str,
    job: int | None = None,
    node: str | None = None,
    lasts: bool = True,
) -> None:
    """Record that a thing should be as before, and was told to be otherwise; once until it changes.

    lasts: it goes on until `agree` is called; else what was done has settled it.
    """
    known = rm.odd.get((kind, thing))
    if known is not None:
        if (known.before, known.after) == (before, after):
            return
        agree(s, now, rm, kind, thing)
    found = Discrepancy(
        s.next_event, now, rm.name, kind, thing, before, after, done, None if lasts else now
    )
    text = f"{thing} should be {before}, and {rm.name} tells that it is {after}: {done}"
    s.note(now, "discrepancy", text, job=job, node=node, about=rm.name)
    s.save(found)
    if lasts:
        rm.odd[kind, thing] = found


def agree(s: State, now: float, rm: Rm, kind: str, thing: str) -> None:
    """Note that something is as it should be again, if it was not."""
    known = rm.odd.pop((kind, thing), None)
    if known is not None:
        s.save(replace(known, over_at=now))

"""Jobs of other resource managers by the names that people know: `slurm/4711`."""

from itertools import islice

from ostler.core.entry import Entry
from ostler.core.foreign.spread import rm_at, rm_of, spreads
from ostler.core.state import State
from ostler.model.errors import Missing
from ostler.model.ids import Ref, parse_ref

NAMES_SHOWN = 100  # of the elements of one job


def read_ref(s: State, text: str) -> Ref:
    """Return what a text names, `12_3` or `slurm/4711`; raise `UsageError` or `Missing`."""
    name, slash, ident = text.partition("/")
    if not slash:
        return parse_ref(text)
    rm = s.rms.get(name)
    if rm is None:
        known = ", ".join(sorted(s.rms)) or "none"
        raise Missing(f"there is no resource manager {name!r}", expected=f"known: {known}")
    key = rm.by_id.get(ident)
    if key is None:
        raise Missing(
            f"{name} has not told of a job {ident!r}",
            hint=f"see `ostler jobs --rm {name}`; of one that has long ended, the table rm_jobs",
        )
    job, element, _ = key
    entry = s.jobs.get(job) or s.recent.get(job)
    is_array = entry is not None and entry.job.is_array
    return Ref(job, ((element, element),) if is_array else None)


def names_there(s: State, entry: Entry) -> list[str]:
    """Return what resource managers call a job, or the elements of it that they have."""
    job = entry.job
    if not (job.rm or spreads(s, entry)):
        return []
    allocs = (s.allocations[number] for number in entry.slots)
    there = (
        (rm, (job.id, alloc.element, alloc.attempt))
        for alloc in allocs
        if (rm := rm_of(s, alloc)) is not None
    )
    found = list(islice(there, NAMES_SHOWN))
    if not (found or job.is_array) and (rm := rm_at(s, entry, 0)) is not None:
        found = [(rm, (job.id, 0, max(entry.element(0).attempt, 1)))]
    named = ((rm, rm.jobs.get(key)) for rm, key in found)
    return [f"{rm.name}/{each.id}" for rm, each in named if each is not None and each.id]

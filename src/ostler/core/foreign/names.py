"""Jobs of other resource managers by the names that people know: `slurm/4711`."""

from ostler.core.entry import Entry
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
    """Return what its resource manager calls a job, or the elements of it that it has."""
    job, rm = entry.job, s.rms.get(entry.job.rm)
    if rm is None:
        return []
    allocs = (s.allocations[number] for number in entry.slots)
    keys = [(job.id, alloc.element, alloc.attempt) for alloc in allocs]
    if not keys and not job.is_array:
        keys = [(job.id, 0, max(entry.element(0).attempt, 1))]
    there = (rm.jobs.get(key) for key in keys[:NAMES_SHOWN])
    return [f"{rm.name}/{each.id}" for each in there if each is not None and each.id]

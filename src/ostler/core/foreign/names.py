"""Jobs of other resource managers by the names that people know: `slurm/4711`."""

from ostler.core.foreign.rms import Rm
from ostler.core.state import State
from ostler.model.errors import Missing
from ostler.model.ids import Ref, parse_ref


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


def foreign_ids(rm: Rm, job: int) -> list[str]:
    """Return what a resource manager calls the parts of a job that it has or had of late."""
    found = [each.id for each in rm.jobs.values() if each.job == job and each.id]
    return [f"{rm.name}/{ident}" for ident in sorted(found)]

"""What the order to start a share says that needs a look at more than the job."""

from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.job import JobSpec
from ostler.model.orders import Programs
from ostler.model.resources import Placement
from ostler.model.site_types import OFF
from ostler.schedule.ranks import cyclic


def programs_of(s: State, spec: JobSpec) -> Programs | None:
    """Return what an administrator has run around each allocation of the partition."""
    partition = s.site.partitions.get(spec.partition)
    prolog = s.text("prolog") if partition is None else _chosen(partition.prolog, s.text("prolog"))
    epilog = s.text("epilog") if partition is None else _chosen(partition.epilog, s.text("epilog"))
    if not (prolog or epilog):
        return None
    return Programs(prolog, epilog, s.setting("prolog-timeout"), spec.partition)


def _chosen(own: str | None, usual: str) -> str:
    """Return the partition's own program, else the usual one; empty: none."""
    if own is None:
        return usual
    return "" if own == OFF else own


def ranks_of(spec: JobSpec, alloc: Allocation, place: Placement) -> tuple[int, ...]:
    """Return the ranks of the tasks of a place; none: one after the other from its first."""
    if spec.distribution == "block" or len(alloc.placements) == 1 or alloc.resized:
        return ()  # what is added later has ranks of its own
    ranks = cyclic(tuple(p.tasks for p in alloc.placements))
    return ranks[alloc.placements.index(place)]

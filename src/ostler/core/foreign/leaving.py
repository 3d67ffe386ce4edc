"""Resource managers that are disabled or leave the machine, with their nodes; a machine that leaves."""

from collections.abc import Mapping

from ostler.core.foreign import nodes
from ostler.core.foreign.distrust import settle_odd
from ostler.core.foreign.rms import Rm
from ostler.core.foreign.spread import rms_of
from ostler.core.foreign.told import ended
from ostler.core.foreign.usable import find_twins, look
from ostler.core.serving import nodes_changed
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.foreign import End
from ostler.model.foreign_rows import Stage
from ostler.model.job import FOREIGN
from ostler.model.site import Site
from ostler.model.states import Result
from ostler.schedule.words import counted


def check_removal(s: State, name: str) -> None:
    """Raise `Refused` if jobs of the machine are bound to a resource manager that is to go."""
    rm, own = s.rms.get(name), (e for e in s.jobs.values() if e.job.spec.kind != FOREIGN)
    mine = sum(rm in rms_of(s, entry) for entry in own) if rm is not None else 0
    if mine:
        raise Refused(
            f"{counted(mine, 'unfinished job')} can run in {name} alone, or elements of it",
            hint=f"cancel them or wait; `enabled=false` keeps new ones from {name}",
        )


def follow_rms(s: State, now: float, before: Mapping[str, Rm], old: Site) -> None:
    """Let the nodes and jobs of resource managers go that are there no more. old: before.

    Another driver may serve one that is otherwise now: nobody answers what was asked before.
    """
    for name, rm in before.items():
        if name in s.rms:
            if s.site.rms[name] != old.rms[name]:
                rm.asked.clear()
                rm.under_way.clear()
            look(s, rm)
            continue
        proof = f"{name} was removed; what runs there goes on, and is not looked at any more"
        for job in [job for job in rm.jobs.values() if job.stage is not Stage.OVER]:
            ended(s, now, rm, job, End(job.id, str(Result.LOST), proof))
        for node in list(rm.nodes):
            nodes.leave(s, now, rm, node, f"{name} was removed")
        settle_odd(s, now, rm, {kind for kind, _ in rm.odd})
        nodes_changed(s)
    find_twins(s)


def is_theirs(s: State, alloc: Allocation) -> bool:
    """Say whether its job was submitted to a resource manager itself: a machine stops without it."""
    entry = s.jobs.get(alloc.job)
    return entry is not None and entry.job.spec.kind == FOREIGN

"""What an allocation asks of foreign nodes becomes calls of their resource manager's driver.

The rest of the core orders of each node what it orders of an agent. Here the orders for all nodes
of an allocation are one call; one whose aim has been reached, or that is under way, is none.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostler.core.effects import Call
from ostler.core.foreign.rms import Asked, Rm
from ostler.model.allocation import Allocation
from ostler.model.foreign import ForeignState, Option, Share, Start
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.job import Job
from ostler.model.orders import EndShare, Launch, Order, ResumeShare, Retime, SuspendShare
from ostler.model.patterns import NULL, output_path

if TYPE_CHECKING:  # the state sends orders
    from ostler.core.state import State

START, CANCEL = "start", "cancel"
VERBS = (START, CANCEL, *map(str, (Option.SUSPEND, Option.RESUME, Option.MODIFY)))
_GONE = (ForeignState.ENDING,)


def take(s: "State", name: str, node: str, order: Order, blobs: tuple[str, str, str]) -> None:
    """Take an order for one node of an allocation."""
    rm, alloc = s.rms.get(name), s.allocations.get(order.alloc)
    if rm is None or alloc is None or rm.down_since is not None:
        return  # once it answers, it is looked at what is to be asked of it
    if isinstance(order, Launch):
        if node == alloc.placements[0].node:
            _start(s, rm, alloc, order, blobs)
        return
    job = rm.of((alloc.job, alloc.element, alloc.attempt), alloc.id)
    if job is None:
        return
    match order:
        case EndShare():
            cancel(s, rm, job)
        case SuspendShare() if job.state != ForeignState.SUSPENDED and rm.can(Option.SUSPEND):
            call(s, rm, job, Option.SUSPEND)
        case ResumeShare() if job.state == ForeignState.SUSPENDED and rm.can(Option.RESUME):
            call(s, rm, job, Option.RESUME)
        case Retime(time_limit=limit) if rm.can(Option.MODIFY):
            call(s, rm, job, Option.MODIFY, time_limit=limit)


def call(s: "State", rm: Rm, job: RmJob, verb: str, *, time_limit: int = 0) -> None:
    """Ask something about a job, unless that is under way."""
    asked = Asked(str(verb), job.key)
    if asked in rm.under_way and verb != Option.MODIFY:
        return
    rm.under_way.add(asked)
    rm.asked[s.next_call] = asked
    s.effects.append(
        Call(rm.name, s.next_call, str(verb), job.id, job.token, time_limit=time_limit)
    )
    s.next_call += 1


def cancel(s: "State", rm: Rm, job: RmJob) -> None:
    """Ask for the end of a job, unless it is ending."""
    if job.state not in _GONE and rm.down_since is None:
        call(s, rm, job, CANCEL)


def cancel_again(s: "State", now: float, rm: Rm, job: RmJob) -> None:
    """Ask for the end of a job that is listed still, unless that was refused of late."""
    denied = rm.denied.get(Asked(CANCEL, job.key))
    if denied is None or now >= denied.until:
        cancel(s, rm, job)


def _start(
    s: "State", rm: Rm, alloc: Allocation, order: Launch, blobs: tuple[str, str, str]
) -> None:
    key = (alloc.job, alloc.element, alloc.attempt)
    job, asked = rm.jobs.get(key), Asked(START, key)
    if job is None or job.stage is Stage.OVER or not job.token or job.allocation != alloc.id:
        theirs = job is not None and job.theirs
        new = RmJob(rm.name, *key, Stage.ASKED, alloc.granted_at)
        if job is not None and theirs:  # it is there, and waits to be started
            new = replace(job, stage=Stage.ASKED, since=alloc.granted_at)
        job = replace(new, token=f"{s.identity}-{alloc.id}", allocation=alloc.id, differs="")
        job = rm.keep(job)
        s.save(job)
    elif asked in rm.under_way:
        return
    rm.under_way.add(asked)
    rm.asked[s.next_call] = asked
    owner = s.jobs[alloc.job].job
    start = _start_of(rm, owner, alloc, order, job)
    variables = _variables(rm, owner, alloc)
    element = alloc.element if owner.is_array else -1
    s.effects.append(
        Call(rm.name, s.next_call, START, job.id, job.token, start, blobs, element, variables)
    )
    s.next_call += 1


def _start_of(rm: Rm, owner: Job, alloc: Allocation, order: Launch, job: RmJob) -> Start:
    """Return what the driver is asked to start; the manager puts the large parts in."""
    shares = tuple(
        Share(rm.own(p.node), p.tasks, len(p.cpus), p.memory, len(p.gpus), p.generic)
        for p in alloc.placements
    )
    if job.theirs:
        return Start(job.token, shares, job.id, owner.user, time_limit=alloc.time_limit)
    values = {
        "j": str(owner.id),
        "a": str(alloc.element),
        "t": "0",
        "n": shares[0].node,
        "u": owner.user,
        "x": order.name,
    }

    def path(pattern: bytes) -> bytes:
        return output_path(pattern, order.cwd, values, array=owner.is_array)

    return Start(  # without an id, even if one was told since: it is known by its token
        job.token,
        shares,
        user=owner.user,
        uid=owner.uid,
        gid=owner.gid,
        argv=order.argv,
        cwd=order.cwd,
        umask=order.umask,
        name=order.name,
        project=owner.spec.project,
        output=path(order.output),
        error=path(order.error) if order.error else b"",
        input=path(order.input) if order.input else NULL,
        time_limit=alloc.time_limit,
        cpus_per_task=owner.spec.request.cpus,
        options=owner.spec.rm_options,
        again=job.missing_since is not None,
    )


def _variables(rm: Rm, owner: Job, alloc: Allocation) -> dict[str, str]:
    found = {
        "OSTLER_JOB": str(owner.id),
        "OSTLER_TASKS": str(owner.spec.request.tasks),
        "OSTLER_NODES": ",".join(rm.own(p.node) for p in alloc.placements),
        "OSTLER_ATTEMPT": str(alloc.attempt),
    }
    return found | ({"OSTLER_ELEMENT": str(alloc.element)} if owner.is_array else {})

"""Jobs that were submitted to a resource manager itself: they become jobs of the machine."""

from itertools import chain

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.foreign.bind import with_feature
from ostler.core.foreign.bounds import bounded
from ostler.core.foreign.distrust import clean
from ostler.core.foreign.rms import Rm
from ostler.core.foreign.told import close_unseen, keep
from ostler.core.moves import settle
from ostler.core.state import State
from ostler.model.features import OF_RM, is_feature
from ostler.model.foreign import End, ForeignJob, ForeignState, Option
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.job import BY_NAME, FOREIGN, Job, JobSpec
from ostler.model.limits import MAX_CPUS, MAX_TASKS
from ostler.model.resources import Request
from ostler.model.states import Rule


def adopt(s: State, now: float, rm: Rm, told: ForeignJob) -> RmJob:
    """Take a job in that the machine did not know; return what is known of it."""
    at, why = min(told.submitted_at or now, now), clean(told.reason)
    spec = spec_of(s, rm, told)
    entry = _entered(s, rm, spec, told.user, told.id, told.incarnation, at, why)
    number, user = entry.job.id, entry.job.user
    job = RmJob(rm.name, number, 0, 1, Stage.WAITS, now, told.id, told.incarnation, theirs=True)
    if told.state is not ForeignState.UNKNOWN:
        job = replace(job, state=str(told.state), native_state=clean(told.native_state), reason=why)
    keep(s, rm, job)
    s.note(now, "job/adopted", f"{user} submitted it as {job.rm}/{job.id}", job=number, user=user)
    s.marks.jobs.add(number)
    s.changed = True
    return job


def _entered(
    s: State,
    rm: Rm,
    spec: JobSpec,
    user: str,
    ident: str,
    incarnation: str,
    at: float,
    why: str = "",
) -> Entry:
    number = s.next_job
    s.next_job += 1
    waits = rm.can(Option.SCHEDULES)
    job = Job(
        number,
        spec,
        clean(user),
        BY_NAME,
        BY_NAME,
        f"{rm.name}/{ident}/{incarnation}/{number}",
        at,
        rule=str(Rule.FOREIGN if waits else Rule.NEW),
        reason=why if waits else "",
        priority=spec.priority,
        rm=rm.name,
    )
    entry = Entry(job)
    s.save(job)
    s.add(entry)
    return entry


def spec_of(s: State, rm: Rm, told: ForeignJob) -> JobSpec:
    """Return what a job asks for, as far as that was told."""
    features = [name for name in told.features if is_feature(name)]
    request = Request(
        tasks=min(max(told.tasks, 1), MAX_TASKS),
        cpus=min(max(told.cpus, 1), MAX_CPUS),
        memory=bounded(told.memory),
        gpus=min(told.gpus, MAX_CPUS),
        nodes=min(told.nodes, MAX_TASKS),
        nodelist=tuple(map(rm.here, told.nodelist)),
        constraint="&".join(features),
    )
    nodes = [rm.here(share.node) for share in told.shares] or list(request.nodelist)
    return JobSpec(
        argv=(told.command.encode(),) if told.command else (),
        name=clean(told.name),
        project=clean(told.project),
        partition=_home(s, rm, nodes),
        request=replace(request, constraint=with_feature(request.constraint, f"{OF_RM}{rm.name}")),
        time_limit=told.time_limit,
        not_before=told.not_before,
        kind=FOREIGN,
    )


def _home(s: State, rm: Rm, nodes: list[str]) -> str:
    """Return the partition of a job that has, or names, these nodes."""
    for name in chain(nodes, rm.nodes):
        entry = s.nodes.get(name)
        if entry is not None and entry.node.partition:
            return entry.node.partition
    return s.division.of(rm.here("")) or s.site.default_partition


def waits_there(rm: Rm, told: ForeignJob) -> bool:
    """Say whether a job that waits is to be left to its resource manager.

    One of a state that nobody can read is not known to be ready, where it is ours to start.
    """
    unclear = told.state is ForeignState.UNKNOWN and not rm.can(Option.SCHEDULES)
    return unclear or told.state in (ForeignState.HELD, ForeignState.VACATED)


def _held(rm: Rm, told: ForeignJob) -> str:
    if told.state is ForeignState.UNKNOWN:
        word = clean(told.native_state)
        return f"{rm.name} says {word!r} of it, which its driver does not know"
    if told.state is ForeignState.VACATED:
        return f"{rm.name} has taken it off its nodes, and does not say yet that it waits"
    return ": ".join(filter(None, (f"{rm.name} holds it", clean(told.reason))))


def follow_request(s: State, now: float, rm: Rm, entry: Entry, told: ForeignJob) -> None:
    """Bring a job that waits up to what its resource manager says of it now."""
    before = entry.job
    held = waits_there(rm, told)
    by = before.held_by
    if held and not by:
        by = rm.name
    elif not held and by == rm.name:
        by = ""
    why = clean(told.reason)
    entry.job = replace(before, spec=spec_of(s, rm, told), held_by=by)
    if rm.can(Option.SCHEDULES):
        entry.job = replace(entry.job, rule=str(Rule.FOREIGN), reason=why)
    if entry.job.spec.weight != entry.weight:
        s.user_weight[before.user] += entry.job.spec.weight - entry.weight
        entry.weight = entry.job.spec.weight
    if entry.job != before:
        settle(s, now, entry, why=_held(rm, told) if held else why, saved=before)
        s.waiting.look(entry)


def adopt_ended(s: State, now: float, rm: Rm, end: End) -> None:
    """Take a job in that has begun and ended between two loads: it is listed and accounted."""
    began = min(max(end.started_at or 0.0, 0.0) or end.ended_at or now, now)
    spec = JobSpec(partition=_home(s, rm, []), kind=FOREIGN)
    entry = _entered(s, rm, spec, end.user, end.id, end.incarnation, began)
    number = entry.job.id
    keep(
        s,
        rm,
        RmJob(rm.name, number, 0, 1, Stage.OVER, now, end.id, end.incarnation, theirs=True),
    )
    close_unseen(s, now, rm, entry, end)

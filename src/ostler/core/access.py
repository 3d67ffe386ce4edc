"""Who may run what where: asked before all else, and what a request takes over from it.

The rows of `access_controls` that are about somebody come in an order: the user's own, those of
groups, of the project, and the default; of the partition before those of all partitions. Each
value is that of the first row that has it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from ostler.core import roles
from ostler.core.state import State
from ostler.model.caller import Caller
from ostler.model.errors import Missing, Refused
from ostler.model.job import JobSpec
from ostler.model.limits import USUAL_PRIORITY
from ostler.model.site import ANYWHERE, Access, Holder, Partition, Work
from ostler.model.units import format_duration, format_size
from ostler.schedule.limits import MINUTE, Bucket
from ostler.schedule.rules import Limit
from ostler.schedule.words import counted

_NOBODY = Partition("")  # says nothing


def rows_of(s: State, caller: Caller, project: str, partition: str) -> Iterator[Access]:
    """Yield the rows that are about such a request, the first that counts first."""
    known = s.site.access
    if not known:
        return
    whose = [
        (Holder.USER, caller.user),
        *((Holder.GROUP, group) for group in caller.groups),
        (Holder.PROJECT, project),
        (Holder.DEFAULT, ""),
    ]
    for where in (partition, ANYWHERE):
        for holder, name in whose:
            row = known.get((where, holder, name))
            if row is not None:
                yield row


def _first(rows: Iterable[Access], column: str) -> Any:
    found = (getattr(row, column) for row in rows)
    return next((value for value in found if value is not None), None)


def kind_of(spec: JobSpec) -> Work:
    """Return what kind of work it is."""
    typed_at = spec.streams is not None and spec.streams.window is not None
    if spec.work == Work.SHELL or typed_at:
        return Work.SHELL
    return Work.PARALLEL if spec.request.tasks > 1 else Work.SERIAL


# -- what a request takes over ------------------------------------------------------------------


def settled(s: State, caller: Caller, spec: JobSpec) -> JobSpec:
    """Return the request with what it left open: its place, project, and what is limited there."""
    if spec.within:
        return spec  # as its allocation has it
    user = s.site.users.get(caller.user)
    spec = replace(
        spec,
        partition=spec.partition or s.site.default_partition,
        project=spec.project or (user.projects[0] if user and user.projects else ""),
    )
    partition = s.site.partitions.get(spec.partition, _NOBODY)
    rows = list(rows_of(s, caller, spec.project, spec.partition))
    if not rows and partition.time_limit is partition.default_time is partition.memory_limit:
        return spec
    request, changes = spec.request, dict[str, Any]()
    if not spec.time_limit:
        longest = _least(partition.time_limit, _first(rows, "time_limit"))
        usual = partition.default_time or longest or 0
        changes["time_limit"] = min(usual, longest or usual)
    if not request.memory and (memory := memory_limit(partition, rows)):
        changes["request"] = replace(request, memory=memory * request.cpus)
    most = _first(rows, "priority")
    if most is not None and most < spec.priority == USUAL_PRIORITY:
        changes["priority"] = most
    return replace(spec, **changes)


def memory_limit(partition: Partition, rows: Iterable[Access]) -> int | None:
    """Return how many bytes a job may ask for, for each CPU."""
    return _least(partition.memory_limit, _first(rows, "max_memory"))


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


# -- access -------------------------------------------------------------------------------------


def check_access(s: State, caller: Caller, spec: JobSpec) -> None:
    """Raise `Refused` or `Missing` unless the caller may run such work there, for this project."""
    if spec.within:
        return
    name = spec.partition
    if name not in s.site.partitions:
        known = ", ".join(s.site.partitions)
        raise Missing(f"there is no partition {name[:100]!r}", expected=f"known: {known}")
    _check_project(s, caller, spec.project)
    rows = list(rows_of(s, caller, spec.project, name))
    if not _is_allowed(s, rows, name):
        raise Refused(
            f"{caller.user} may not use partition {name}",
            expected=_open_to(s, caller),
            hint="ask an administrator: ostler access allow",
        )
    kinds, kind = _first(rows, "kinds"), kind_of(spec)
    if kinds is not None and kind not in kinds:
        raise Refused(
            f"partition {name} takes no {kind} work of {caller.user}",
            expected=f"kinds: {', '.join(kinds) or 'none'}",
        )


def _is_allowed(s: State, rows: list[Access], partition: str) -> bool:
    said = _first(rows, "allow")
    if said is not None:
        return bool(said)
    return partition not in s.closed and ANYWHERE not in s.closed


def _open_to(s: State, caller: Caller) -> str:
    projects = s.site.users[caller.user].projects if caller.user in s.site.users else ()
    mine = [
        name
        for name in s.site.partitions
        if _is_allowed(s, list(rows_of(s, caller, projects[0] if projects else "", name)), name)
    ]
    return f"open to {caller.user}: {', '.join(mine) or 'none'}"


def _check_project(s: State, caller: Caller, project: str) -> None:
    """Raise `Missing` or `Refused` if work cannot be accounted to it; where none is known, to any."""
    if not project or not s.site.projects:
        return
    if project not in s.site.projects:
        known = ", ".join(s.site.projects)
        raise Missing(f"there is no project {project[:100]!r}", expected=f"known: {known[:200]}")
    user = s.site.users.get(caller.user)
    mine = user.projects if user else ()
    if project not in mine and not roles.may(s, caller, "any project"):
        raise Refused(
            f"{caller.user} is not in project {project}",
            expected=f"projects of {caller.user}: {', '.join(mine) or 'none'}",
        )


# -- limits -------------------------------------------------------------------------------------


def check_limits(s: State, caller: Caller, spec: JobSpec, *, jobs: int, here: int = 0) -> None:
    """Raise `Refused`, with the most that would fit, if it would exceed a limit even if alone.

    jobs: how many there would be with it beside those that wait already, and here: how many of them
    in its partition; 0: it waits already.
    """
    if spec.within:
        return
    partition = s.site.partitions.get(spec.partition, _NOBODY)
    rows = list(rows_of(s, caller, spec.project, spec.partition))
    request, cpus = spec.request, spec.request.tasks * spec.request.cpus
    if cpus < partition.min_cpus:
        least = partition.min_cpus
        raise Refused(
            f"it asks for {counted(cpus, 'CPU')}", expected=f"{_in(spec)}: {least} or more"
        )
    most = memory_limit(partition, rows)
    if most is not None and request.memory > most * request.cpus:
        raise Refused(
            f"it asks for {format_size(request.memory)} of memory for each task",
            expected=f"{_in(spec)}: {format_size(most)} for each CPU,"
            f" here {format_size(most * request.cpus)}",
        )
    longest = _least(partition.time_limit, _first(rows, "time_limit"))
    if longest is not None and spec.time_limit > longest:
        raise Refused(
            f"it asks for {format_duration(spec.time_limit)}",
            expected=f"{_in(spec)}: {format_duration(longest)} at most",
        )
    for bucket, limit in s.limits.key(caller.user, spec.project, spec.partition):
        if limit.ranked:  # else it is an attribute, which `claims` looks at
            _check_counted(s, bucket, limit, cpus, here if bucket[2] else jobs)
            _check_minutes(bucket, limit, cpus, spec.time_limit)


def _check_counted(s: State, bucket: Bucket, limit: Limit, cpus: int, jobs: int) -> None:
    whose = _whose(bucket)
    if limit.cpus is not None and cpus > limit.cpus:
        raise Refused(
            f"it asks for {counted(cpus, 'CPU')}, and {whose} may hold {limit.cpus}",
            hint=f"ask for {limit.cpus} or fewer" if limit.cpus else "",
        )
    if limit.running == 0:
        raise Refused(f"{whose} may run nothing")
    if limit.waiting is not None and jobs:
        waiting = s.waiting.of(bucket)
        if waiting + jobs > limit.waiting:
            raise Refused(
                f"{whose} has {counted(waiting, 'job')} waiting, and may have {limit.waiting}",
                hint="wait for some to start",
            )


def _check_minutes(bucket: Bucket, limit: Limit, cpus: int, seconds: int) -> None:
    """Raise `Refused` if the work could use more CPU-minutes than may be left to use at all."""
    if limit.cpu_minutes is None or (seconds and cpus * seconds <= limit.cpu_minutes * MINUTE):
        return
    asked = f"{cpus * seconds / MINUTE:.10g} CPU-minutes" if seconds else "no time limit"
    least = limit.cpu_minutes * MINUTE // max(cpus, 1)
    raise Refused(
        f"it asks for {asked}, and {_whose(bucket)} may have {limit.cpu_minutes} CPU-minutes left",
        hint=f"ask for at most {format_duration(least)}: -t" if least else "",
    )


def _whose(bucket: Bucket) -> str:
    holder, name, where = bucket
    return f"{holder} {name}" + (f" in partition {where}" if where else "")


def most_priority(s: State, caller: Caller, spec: JobSpec) -> int:
    """Return the highest priority that the caller may ask for there."""
    said = _first(rows_of(s, caller, spec.project, spec.partition), "priority")
    return USUAL_PRIORITY if said is None else int(said)


def _in(spec: JobSpec) -> str:
    return f"in partition {spec.partition}"

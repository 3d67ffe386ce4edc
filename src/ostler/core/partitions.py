"""Start, stop and reload of a partition, and what becomes of its jobs: docs/decisions/0030."""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from ostler.core.access import check_access, check_limits
from ostler.core.administer import carry_out
from ostler.core.claims import check_fits
from ostler.core.effects import Address, Fail, Reply
from ostler.core.entry import Entry
from ostler.core.events import PartitionWorded
from ostler.core.follow import note_closing
from ostler.core.life import end_for_good, release
from ostler.core.moves import settle
from ostler.core.over import REQUEUE
from ostler.core.serving import check_partition
from ostler.core.site_view import partition_rows
from ostler.core.slots import drain
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.caller import Caller
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.ids import is_step
from ostler.model.site import PartitionState
from ostler.model.site_changes import SET, Change, Draft
from ostler.schedule.words import counted

HOW = ("refuse", "wait", "drain", "kill")
_SELF = "machine"  # who says that a partition has come to rest


def on_worded(s: State, now: float, event: PartitionWorded) -> None:
    """Start, stop or reload a partition; a stop that waits is answered once it is down."""
    verbs: dict[str, Callable[[State, float, PartitionWorded], dict[str, Any] | None]] = {
        "start": _start,
        "stop": _stop,
        "reload": _reload,
    }
    try:
        if event.verb not in verbs:
            raise UsageError(f"no verb {event.verb[:40]!r}", expected=", ".join(verbs))
        if event.name not in s.site.partitions:
            known = ", ".join(sorted(s.site.partitions))
            raise Missing(f"there is no partition {event.name!r}", expected=f"known: {known}")
        row = verbs[event.verb](s, now, event)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    s.changed = True
    if row is not None:
        s.effects.append(Reply(event.to, {"partitions": [row]}))


def _start(s: State, now: float, event: PartitionWorded) -> dict[str, Any]:
    _say(s, now, event.name, PartitionState.UP, event.caller.user)
    s.parts.closing.pop(event.name, None)
    for to in [to for to, name in s.parts.stoppers.items() if name == event.name]:
        del s.parts.stoppers[to]
        why = f"partition {event.name} was started again by {event.caller.user}"
        s.effects.append(Fail(to, NotNow(why, hint="stop it again")))
    return _row_of(s, event.name)


def _stop(s: State, now: float, event: PartitionWorded) -> dict[str, Any] | None:
    name, how = event.name, event.how or "refuse"
    if how not in HOW:
        raise UsageError(f"there is no way {how[:40]!r} to stop", expected="wait, drain or kill")
    running = list(_allocations(s, name))
    if running and how == "refuse":
        jobs = counted(len({alloc.job for _, alloc in running}), "job")
        hint = "use --drain, --wait or --kill"
        raise Refused(f"{jobs} of partition {name} would go on", hint=hint)
    state = PartitionState.DRAINING if running else PartitionState.DOWN
    _say(s, now, name, state, event.caller.user)
    for entry, alloc in running:
        if how == "kill":
            _kill(s, now, entry, alloc, f"partition {name} was stopped by {event.caller.user}")
        elif alloc.slot and not alloc.cause:
            drain(s, entry, alloc)
    note_closing(s)
    if how in ("wait", "kill") and running:
        s.parts.stoppers[event.to] = name
        return None
    return _row_of(s, name)


def _kill(s: State, now: float, entry: Entry, alloc: Allocation, why: str) -> None:
    """End what runs; what may run again waits for the partition to be started."""
    if entry.job.spec.requeue and not alloc.cause:
        release(s, alloc, REQUEUE, why)
    else:
        end_for_good(s, alloc, why)
    settle(s, now, entry, why=why)


def _say(s: State, now: float, name: str, state: PartitionState, by: str) -> None:
    """Set the state of a partition, as a change of its row."""
    draft = Draft(s.site, s.settings)
    changed = draft.take([Change(SET, "partition", (name,), {"state": str(state)})])
    carry_out(s, now, by, draft, changed)


def follow(s: State, now: float) -> None:
    """Let partitions be down of which nothing is left, and tell those who wait for that."""
    for name in [name for name, left in s.parts.closing.items() if not left]:
        del s.parts.closing[name]
        _say(s, now, name, PartitionState.DOWN, _SELF)
        for to in [to for to, waited in s.parts.stoppers.items() if waited == name]:
            forget(s, to)
            s.effects.append(Reply(to, {"partitions": [_row_of(s, name)]}))


def forget(s: State, to: Address) -> None:
    """Forget a client that waited until a partition is down; the stop itself goes on."""
    s.parts.stoppers.pop(to, None)


def _allocations(s: State, partition: str) -> Iterator[tuple[Entry, Allocation]]:
    for number in sorted(s.allocations):
        alloc = s.allocations[number]
        entry = s.jobs[alloc.job]
        if entry.job.spec.partition == partition and not is_step(alloc.job):
            yield entry, alloc


def _reload(s: State, now: float, event: PartitionWorded) -> dict[str, Any]:
    """Hold what waits in the partition and would be refused now; plan the rest anew."""
    name, by = event.name, event.caller.user
    held, mine = [], [e for e in s.jobs.values() if e.job.spec.partition == name]
    for entry in [entry for entry in mine if entry.waiting and not entry.job.spec.within]:
        why = _refused(s, entry, event.caller)
        if why and not entry.job.held_by:
            before = entry.job
            entry.job = replace(before, held_by=by)
            settle(s, now, entry, why=f"partition {name} would refuse it now: {why}", saved=before)
            held.append(before.name)
    s.marks.everything = True
    s.note(now, "partition/reloaded", f"{by} reloaded {name}; {len(held)} held", user=by)
    return _row_of(s, name) | {"held": held}


def _refused(s: State, entry: Entry, by: Caller) -> str:
    """Return why such a job would be refused if it were submitted now; empty if it would not.

    by: who wants to know, who may be its own user and the machine's owner.
    """
    job, spec = entry.job, entry.job.spec
    known, owner = s.members.get(job.user, ()), by.owner and by.uid == job.uid
    caller = Caller(job.uid, job.gid, job.user, known, owner=owner)
    try:
        check_access(s, caller, spec)
        check_partition(s, spec)
        check_limits(s, caller, spec, jobs=0)
        check_fits(s, spec, job.user)
    except OstlerError as error:
        return error.message
    return ""


def _row_of(s: State, name: str) -> dict[str, Any]:
    """Return one partition as `ostler partitions --json` shows it."""
    return next(row for row in partition_rows(s) if row["name"] == name)

"""A machine that is stopped: what it is told to do with its jobs, and what it waits for.

Nothing that a node holds ends because the node is silent. But nobody can be told to end anything
on a node that is unreachable, or by a resource manager that does not answer: a machine that kills
notes that it is to end, says where, and stops without it. It is ended when the machine is up
again and hears of it.
"""

from collections.abc import Iterator
from typing import Any

from ostler.core.effects import Fail, Reply
from ostler.core.events import ShutdownAsked
from ostler.core.foreign.leaving import is_theirs
from ostler.core.life import end_for_good
from ostler.core.moves import settle
from ostler.core.node_entry import NodeEntry
from ostler.core.state import NO_JOB, State
from ostler.core.view import counts, rows_held
from ostler.model.errors import Missing, OstlerError, Refused
from ostler.model.ids import is_step, within
from ostler.model.states import NodeStatus

STOP_SECONDS = 60.0  # in which whoever was told that all has stopped ends the manager


def on_shutdown(s: State, now: float, event: ShutdownAsked) -> None:
    """Let nothing more start, and end what runs if that is wanted; refuse while jobs run."""
    ours = [each for each in s.allocations.values() if not is_theirs(s, each)]
    live = sorted({alloc.job for alloc in ours if not is_step(alloc.job)})
    how = event.how
    error: OstlerError | None = None
    if how not in ("refuse", "wait", "kill", "leave"):
        error = Missing(f"there is no way {how!r} to stop", expected="wait, kill or leave")
    elif how == "refuse" and live:
        names = ", ".join(map(str, live[:5])) + (", ..." if len(live) > 5 else "")
        count = "1 job is" if len(live) == 1 else f"{len(live)} jobs are"
        hint = "use --wait, --kill, or --leave them running"
        error = Refused(f"{count} running ({names})", hint=hint)
    if error is not None:
        s.effects.append(Fail(event.to, error))
        return
    if how == "kill":
        for number in live:
            entry = s.jobs[number]
            for alloc in [s.allocations[a] for a in entry.slots]:
                end_for_good(s, alloc, f"the machine was stopped by {event.caller.user}")
            settle(s, now, entry)
    s.stopping = how
    s.note(now, "machine/stopping", f"{event.caller.user} stops it ({how})", user=event.caller.user)
    s.stop_waiters.append(event.to)


def answer(s: State, now: float) -> None:
    """Tell those who stop the machine that nothing stands in the way any more."""
    if not s.stop_waiters or next(_held(s, within_reach=True), None) is not None:
        return
    s.stop_answered_at = now
    s.wake(now + STOP_SECONDS, NO_JOB)
    body = {"stopped": True, "jobs": counts(s), "left": rows_held(s, _held(s, within_reach=False))}
    s.effects += [Reply(to, body) for to in s.stop_waiters]
    s.stop_waiters.clear()


def go_on(s: State, now: float) -> None:
    """Be a machine again if whoever was told that all has stopped has not ended the manager."""
    if s.stopping and not s.stop_waiters and now >= s.stop_answered_at + STOP_SECONDS:
        s.stopping = ""
        s.changed = True
        s.note(now, "machine/goes-on", "it was to be stopped, and nobody ended it")


def awaited(s: State) -> list[dict[str, Any]]:
    """Return the nodes for which a machine that is being stopped waits, as `status` shows them."""
    return rows_held(s, _held(s, within_reach=True))


def _held(s: State, *, within_reach: bool) -> Iterator[tuple[str, int]]:
    """Yield each node and job that a stop has to do with; one that leaves what runs has none."""
    if s.stopping not in ("wait", "kill"):
        return
    for alloc in s.allocations.values():
        if is_theirs(s, alloc):
            continue
        for name in alloc.nodes - alloc.freed:
            reached = s.stopping == "wait" or _is_within_reach(s, s.nodes[name])
            if reached is within_reach:
                yield name, within(alloc.job)


def _is_within_reach(s: State, entry: NodeEntry) -> bool:
    """Say whether somebody there can be told to end something, or as soon as an agent is back."""
    if not entry.node.rm:
        return entry.node.status is not NodeStatus.UNREACHABLE
    rm = s.rms.get(entry.node.rm)
    return rm is None or (rm.down_since is None and rm.row.enabled)

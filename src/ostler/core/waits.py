"""Clients that wait for the end of jobs or elements."""

from typing import Any

from ostler.core.effects import Address, Reply
from ostler.core.state import State
from ostler.core.view import element_row, job_row
from ostler.core.waiter import Waiter
from ostler.model.ids import Ref
from ostler.model.states import JobState


def begin(s: State, to: Address, refs: tuple[Ref, ...], *, attach: bool) -> None:
    """Wait, or answer at once if all has ended. The refs are known to exist."""
    waiter = Waiter(to, refs, attach, {ref.job for ref in refs if not _over(s, ref)})
    for job in {ref.job for ref in refs} - waiter.left:
        waiter.rows[job] = _rows(s, waiter, job)
    if not waiter.left:
        s.effects.append(Reply(to, _answer(waiter)))
        return
    s.waiters[to] = waiter
    for job in waiter.left:
        s.waited.setdefault(job, set()).add(to)


def tell_waiters(s: State, job: int) -> None:
    """Answer those who waited for this job, as far as it is over for them."""
    for to in sorted(s.waited.get(job, ())):
        waiter = s.waiters[to]
        if all(_over(s, ref) for ref in waiter.refs if ref.job == job):
            waiter.left.discard(job)
            waiter.rows[job] = _rows(s, waiter, job)
            _leave(s, job, to)
            if not waiter.left:
                del s.waiters[to]
                s.effects.append(Reply(to, _answer(waiter)))


def forget(s: State, to: Address) -> Waiter | None:
    """Drop a waiter whose client is gone, and return it."""
    waiter = s.waiters.pop(to, None)
    if waiter is not None:
        for job in waiter.left:
            _leave(s, job, to)
    return waiter


def _leave(s: State, job: int, to: Address) -> None:
    tos = s.waited[job]
    tos.discard(to)
    if not tos:
        del s.waited[job]


def _over(s: State, ref: Ref) -> bool:
    entry = s.jobs.get(ref.job)
    if entry is None:
        return True
    if ref.elements is None:
        return entry.job.state is JobState.DONE
    return all(entry.over(low, high) for low, high in ref.elements)


def _rows(s: State, waiter: Waiter, job: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for ref in waiter.refs:
        if ref.job != job:
            continue
        entry = s.entry(ref)
        if ref.elements is None:
            rows.append(job_row(s, entry))
        else:
            numbers = (i for low, high in ref.elements for i in range(low, high + 1))
            rows += [element_row(s, entry, i) for i in numbers]
    return rows


def _answer(waiter: Waiter) -> dict[str, Any]:
    """Return the rows in the order in which the jobs were named."""
    order = dict.fromkeys(ref.job for ref in waiter.refs)
    return {"jobs": [row for job in order for row in waiter.rows[job]]}

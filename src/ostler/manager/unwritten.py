"""Listings that tell nothing of what is still being written need not wait for the disk.

Most are of that kind: a user's newest jobs wait or run, and the rows on their way are of others.
"""

from collections.abc import Iterable

from ostler.manager.documents import PIECE, Listing
from ostler.model.allocation import Allocation
from ostler.model.ids import STEPS_FROM, JobId
from ostler.model.job import Element, Job
from ostler.model.node import Node
from ostler.model.record import Ruled, Write


def without(listing: Listing, writes: Iterable[Write]) -> Listing | None:
    """Return a listing as it is while such rows are not written; None: they would change its rows.

    Of a job that has ended, and of which only that is to be written, it says no more than that it
    is one of the older ones; one that runs again may not have been among them before. Asked of at
    once when the listing is made.
    """
    state, user = listing.state, listing.whole_of
    if user is None or len(listing.found) > PIECE or state.rms:
        return None
    shown = {entry.job.id: entry for entry in listing.entries()}
    ended = set[JobId]()
    for write in writes:
        number = _job_of(write)
        if number in shown:
            return None
        if isinstance(write, Node) and any(entry.slots for entry in shown.values()):
            return None  # since when it is silent is told of what runs there
        if isinstance(write, Job) and write.user == user:
            if write.requeues:
                return None  # it may have ended before, and then counts only from this row on
            if number not in state.jobs:
                ended.add(number)
    ended = {number for number in ended if number < STEPS_FROM}
    if ended and not (listing.more and max(ended) < min(shown)):
        return None
    return listing._replace(more=listing.more + len(ended))


def _job_of(write: Write) -> JobId:
    """Return of which job a row tells what a listing shows; 0: of none."""
    if isinstance(write, Job):
        return write.id
    if isinstance(write, Ruled):
        return write.job.id
    if isinstance(write, Element | Allocation):
        return write.job
    return 0

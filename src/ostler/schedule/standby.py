"""Allocations that stand by: a scheduler has suspended them, and they go on by themselves.

Here a picture is changed as if lines of a plan were carried out that suspend them or let them go on.
"""

from collections.abc import Collection

from msgspec.structs import replace

from ostler.schedule.picture import Picture
from ostler.schedule.resumes import Resumption
from ostler.schedule.room import mask_of
from ostler.schedule.snapshot import RunningView


def halt(picture: Picture, view: RunningView, now: float) -> None:
    """Let a running allocation stand still: its CPUs are free, all else that it holds is not."""
    picture.becomes(replace(view, suspended=True, halted_at=now))
    picture.slots.pop(view.alloc, None)
    picture.table.change_cpus(view.placements, free=True)


def can_go_on(picture: Picture, found: Resumption, without: Collection[int] = ()) -> bool:
    """Say whether the CPUs of one that stands by are free, and nobody comes before it there.

    without: others that stand by and do not come before it.
    """
    table = picture.table
    kept = picture.resumes.kept({*without, found.view.alloc})
    for place in found.view.placements:
        row = table.rows.get(place.node)
        if row is None:
            return False
        if mask_of(place.cpus) & ~(table.cpus[row] & ~kept.get(place.node, 0)):
            return False
    most = picture.rules.max_cpus_per_user
    return not most or picture.held.get(found.user, 0) + found.cpus <= most


def go_on(picture: Picture, found: Resumption, now: float) -> None:
    """Let one that stands by go on; its CPUs are free."""
    found.wait, found.starts_at = None, now
    view = picture.running[found.view.alloc]
    picture.table.change_cpus(view.placements, free=False)
    picture.becomes(replace(view, suspended=False, halted_at=None, ends_at=found.ends_at))
    picture.resuming = [each for each in picture.resuming if each.alloc != view.alloc]


def go_on_at_last(picture: Picture, claimed: Collection[int], now: float) -> list[int]:
    """Let all go on that may, now that everything else is planned; return their allocations.

    claimed: those whose CPUs are needed by what made them give way.
    """
    standby = [found for found in picture.resumes.pending if found.view.yields]
    numbers = {found.view.alloc for found in standby}
    gone = []
    for found in standby:
        if found.view.alloc not in claimed and can_go_on(picture, found, numbers):
            go_on(picture, found, now)
            gone.append(found.view.alloc)
    return gone

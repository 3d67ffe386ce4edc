"""Who plans which partition: the scheduler that is built in, or another that was named for it.

Another one plans as long as it does not fail; when it is lost the one that is built in takes over,
until it is back. Its plans are checked as any are.
"""

from typing import Any

from msgspec.structs import replace

from ostler.core.events import SchedulerSeen, ShadowDiffered
from ostler.core.state import State
from ostler.model.errors import Refused
from ostler.model.site import Site
from ostler.model.states import Rule
from ostler.schedule.snapshot import BUILT_IN, Line, Piece, Start, Wait

Row = dict[str, Any]


def others(s: State) -> dict[str, frozenset[str]]:
    """Return the schedulers that are not built in, each with the partitions it is named for.

    Those too whose plans are only compared.
    """
    found: dict[str, set[str]] = {}
    for name, partition in s.site.partitions.items():
        for each in {partition.scheduler, partition.shadow}:
            if each:
                found.setdefault(each, set()).add(name)
    return {name: frozenset(partitions) for name, partitions in found.items()}


def decides(s: State, by: str) -> frozenset[str]:
    """Return the partitions of which a scheduler's plans are carried out while it is well."""
    return frozenset(n for n, partition in s.site.partitions.items() if partition.scheduler == by)


def check_charge(s: State, line: Line, by: str) -> None:
    """Raise `Refused` unless this scheduler plans the partition that the line is about."""
    if isinstance(line, Start):
        entry = s.jobs.get(line.job)
    else:
        alloc = s.allocations.get(line.alloc)
        entry = None if alloc is None else s.jobs.get(alloc.job)
    if entry is None:
        return  # what there is not is refused as such
    partition = entry.job.spec.partition
    holder = s.parts.planner_of(s.site, partition)
    if by != holder:
        raise Refused(f"partition {partition} is planned by {holder}, not by {by}")


def on_seen(s: State, now: float, event: SchedulerSeen) -> None:
    """Take note that a scheduler is lost, so that another plans for it, or that it is back."""
    lost = s.parts.lost
    if event.up != (event.name in lost):
        return  # known
    if event.up:
        del lost[event.name]
        s.note(now, "scheduler/back", f"{event.name} plans again", about=event.name)
    else:
        lost[event.name] = event.why
        text = f"{event.why}; what it planned is planned by the one that is built in"
        s.note(now, "scheduler/lost", text, about=event.name)
    s.parts.told.pop(event.name, None)
    s.parts.refused.discard(event.name)
    _look_again(s, decides(s, event.name))


def on_differed(s: State, now: float, event: ShadowDiffered) -> None:
    """Record how the plan of a shadow differs from what was done."""
    s.note(now, "scheduler/differs", event.text, about=event.name)


def appointed(s: State, old: Site) -> None:
    """Let those plan that are named now; one that is another than before is not lost yet."""
    now = s.site
    for name in [n for n in s.parts.lost if now.schedulers.get(n) != old.schedulers.get(n)]:
        del s.parts.lost[name]
    was, new = (
        {name: partition.scheduler for name, partition in site.partitions.items()}
        for site in (old, now)
    )
    _look_again(s, frozenset(n for n in {*was, *new} if was.get(n) != new.get(n)))


def _look_again(s: State, partitions: frozenset[str]) -> None:
    if not partitions:
        return
    s.marks.jobs.update(s.jobs)  # to look for those of the partitions takes longer
    s.marks.resuming = s.changed = True


def take_reasons(
    s: State, waits: dict[int, Wait], by: str, piece: Piece | None = None
) -> dict[int, Wait]:
    """Keep why jobs wait as another scheduler tells; return those by the rule that says so.

    piece None: these are all that it tells of.
    """
    told: dict[int, Wait] = {}
    for number, wait in waits.items():
        entry = s.jobs.get(number)
        if entry is not None and s.parts.planner_of(s.site, entry.job.spec.partition) == by:
            named = {**wait.numbers, "scheduler": by, "partition": entry.job.spec.partition}
            told[number] = replace(wait, rule=Rule.SCHEDULER, numbers=named)
    before = s.parts.told.get(by, {})
    if piece is None:
        s.marks.jobs.update(n for n in {*told, *before} if told.get(n) != before.get(n))
        s.parts.told[by] = told
        return told
    if piece.anew:
        s.marks.jobs.update(before)
        before = {}
    for number in piece.silent:
        before.pop(number, None)
    before |= told
    s.marks.jobs.update(told, piece.silent)
    s.parts.told[by] = before
    return told


def rows(s: State) -> list[Row]:
    """Return all schedulers, the one that is built in first, each with what it plans."""
    partitions = s.site.partitions
    holders = {name: s.parts.planner_of(s.site, name) for name in partitions}
    named = dict.fromkeys((BUILT_IN, *s.site.schedulers, *others(s)))
    found = []
    for name in named:
        row = s.site.schedulers.get(name)
        mine = [each for each, holder in holders.items() if holder == name]
        state = "lost" if name in s.parts.lost else "plans" if mine else "idle"
        if state == "idle" and any(p.shadow == name for p in partitions.values()):
            state = "shadow"
        found.append(
            {
                "name": name,
                "command": row.command if row else "",
                "state": state,
                "partitions": mine,
                "shadow_of": [each for each, p in partitions.items() if p.shadow == name],
                "why": s.parts.lost.get(name, ""),
            }
        )
    return found

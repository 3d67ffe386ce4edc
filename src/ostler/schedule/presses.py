"""What is to be said of preemption to somebody who asks why a job waits."""

from copy import copy
from itertools import islice

from ostler.model.states import Rule
from ostler.model.units import format_duration
from ostler.schedule.engine import Engine
from ostler.schedule.planner import Planner
from ostler.schedule.pressure import gives_way, weaker
from ostler.schedule.snapshot import WaitingView

_TIMES = 20  # at which something has run for long enough, that are tried


def presses(engine: Engine, planner: Planner, view: WaitingView, rule: Rule) -> str:
    """Tell when running work gives way to a job, or that none does; empty: there is nothing to tell.

    planner: as a plan has left it. What gives way at once has been planned already.
    """
    rules, partition = planner.picture.rules, view.partition
    if not rules.preempting or partition in engine.books or not planner.backfills(partition):
        return ""
    if rule not in {Rule.RESOURCES, Rule.BEHIND} or view.job in engine.pledges:
        return ""
    givers = planner.picture.givers
    if givers.leaving:
        return ""
    key, pledges = engine.queue.entries[view.job].key, engine.pledges.values()
    later = copy(planner)
    times = dict.fromkeys(givers.over_after(planner.now))
    for later.now in islice(times, _TIMES):
        if gives_way(later, view, key, pledges).lines:
            wait = format_duration(later.now - planner.now)
            return f"; what it may preempt has not run for long enough, and gives way in {wait}"
    if not weaker(planner, view):
        return ""
    ahead = [head.job for head in planner.heads_of(partition) if head.key < key]
    but = f", unless that delays job {ahead[0]}" if ahead else ""
    return f"; nothing that it may preempt makes room for it{but}"

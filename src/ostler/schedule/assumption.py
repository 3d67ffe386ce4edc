"""What an expected start rests on; or why there is none."""

from collections.abc import Sequence
from math import inf

from ostler.model.ids import element_name
from ostler.model.states import Rule
from ostler.model.units import format_duration
from ostler.schedule.planner import Planner
from ostler.schedule.reasons import FORETOLD
from ostler.schedule.snapshot import Wait, WaitingView
from ostler.schedule.words import jobs, listed


def assumed(
    wait: Wait,
    waits_for: Sequence[str],
    ahead: Sequence[str],
    *,
    kept: bool = False,
    passed: bool = False,
) -> str:
    """Return what a plan supposes that foretells a start: a clause that begins with `if`.

    waits_for: what it waits for, as in `Explanation`. ahead: ids of jobs that come first.
    kept: the start is promised, and no job that comes later can delay it. passed: it is promised,
    and some that wait for something else may come before.
    """
    if kept:
        return "if all that runs keeps to its time limit"
    if passed and not ahead:
        return "if all that runs, and all that starts before it, takes its whole time limit"
    if ahead:
        return "if every job ahead of it takes its whole time limit, and none comes before it"
    if wait.rule is Rule.RESERVED:
        return "if all that runs keeps to its time limit"
    if wait.rule is Rule.LIMIT:
        whose = wait.numbers.get("whose", "its user")
        return f"if what {whose} runs takes its whole time limit"
    if not waits_for:
        return ""
    several = len(waits_for) > 1
    take = "take their whole time limits" if several else "takes its whole time limit"
    return f"if {jobs(waits_for)} {take}"


def why_unknown(
    planner: Planner,
    entry: WaitingView,
    wait: Wait,
    waits_for: Sequence[str],
    ahead: Sequence[WaitingView],
    *,
    till: float,
) -> str:
    """Return what keeps everybody from telling when it starts; empty if it is no single thing.

    till: the last planned end that was looked at.
    """
    if wait.rule is Rule.NODES:
        nodes = f"{'node' if len(waits_for) == 1 else 'nodes'} {listed(waits_for)}"
        return f"nobody knows when {nodes} will be usable again"
    frozen = {
        element_name(view.job, view.element)
        for view in planner.picture.running.values()
        if view.suspended
    }
    endless = [release for release in planner.coming() if release.at == inf]
    if wait.rule is Rule.BEHIND:  # whatever keeps the one ahead from being told a start
        within = {room.node for room in planner.rooms(entry.partition)}
        names = [r.name for r in endless if any(p.node in within for p in r.places)]
    else:
        names = [release.name for release in endless if release.name in waits_for]
    names = list(dict.fromkeys(names)) or [str(o.job) for o in ahead if o.duration == inf]
    if suspended := [name for name in names if name in frozen]:
        return f"{jobs(suspended)} {'is' if len(suspended) == 1 else 'are'} suspended"
    if names:
        return f"{jobs(names)} {'has' if len(names) == 1 else 'have'} no time limit"
    shut = wait.rule is Rule.RESERVED and "own" not in wait.numbers  # else it waits for those nodes
    if shut and entry.duration == inf:
        return "it has no time limit, and the nodes are reserved again and again"
    if wait.rule not in FORETOLD or till <= planner.now:
        return ""
    return f"not within the {format_duration(till - planner.now)} that were looked ahead"

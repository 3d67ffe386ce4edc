"""What a waiting job waits for: the allocations that must end, nodes that must come back, limits."""

from ostler.model.states import Rule
from ostler.schedule.fit import serves
from ostler.schedule.horizon import Expected
from ostler.schedule.limited import limited
from ostler.schedule.planner import Planner
from ostler.schedule.profile import Release
from ostler.schedule.snapshot import Wait, WaitingView
from ostler.schedule.why import amount, kinds

_NAMED = 100  # names listed


def blockers(
    planner: Planner, entry: WaitingView, wait: Wait, expected: Expected | None
) -> list[str]:
    """Return ids of jobs or elements, names of nodes, or the limit; the first to end first."""
    match wait.rule:
        case Rule.RESOURCES:
            return _named(_in_the_way(planner, entry, wait, expected))
        case Rule.BEHIND:
            return [str(wait.numbers["ahead"])] if "ahead" in wait.numbers else []
        case Rule.LIMIT:
            return _under_limit(planner, entry, wait, expected)
        case Rule.LICENCES:
            name = str(wait.numbers["short"])
            found = [release for release in planner.coming() if release.licences.get(name)]
            return _named([r for r in found if expected is None or r.at <= expected.at])
        case Rule.NODES:
            views = planner.sizes.views(entry.partition)
            out = [v for v in views if not v.usable and not v.gone]
            names = (v.name for v in out if serves(v.name, v.facts.features, entry.request))
            return list(names)[:_NAMED]
        case Rule.RESERVED:
            return str(wait.numbers["reservations"]).split(", ")
        case Rule.NODE_LEFT:
            return [str(wait.numbers["left"])] if wait.numbers.get("left") else []
        case _:
            return []


def kept_until(planner: Planner, entry: WaitingView, expected: Expected | None) -> list[str]:
    """Return the reservations that keep nodes of its place from an entry until it should start."""
    calendar = planner.picture.calendar
    if calendar is None or expected is None or expected.at <= planner.now:
        return []
    key, names = calendar.key(entry.user, entry.project), set[str]()
    for node in expected.tasks:
        shut = calendar.closed(node, key, planner.now, expected.at)
        if shut and shut[-1][1] >= expected.at:
            names.update(calendar.names(key, [node], planner.now, expected.at))
    return sorted(names)


def _under_limit(
    planner: Planner, entry: WaitingView, wait: Wait, expected: Expected | None
) -> list[str]:
    """Return the limit, and what holds what it counts; of what must end what ends by then."""
    under, what = limited(planner, entry), wait.numbers.get("what")
    held = [r for r in planner.coming() if under.runs(r.number, r.user)]
    if expected is not None and what != "cpu_minutes":  # these come back while it runs
        held = [release for release in held if release.at <= expected.at]
    if what is None:
        return ["max-cpus-per-user", *_named([r for r in held if r.user_cpus])]
    return [f"{what} of {wait.numbers['whose']}", *_named(held)]


def _in_the_way(
    planner: Planner, entry: WaitingView, wait: Wait, expected: Expected | None
) -> list[Release]:
    """Return those whose end gives it its place; if nobody can tell, those that have any of it."""
    rooms = planner.rooms(entry.partition)
    if expected is not None:
        request = entry.request
        short = {
            (room.node, kind)
            for room in rooms
            if (tasks := expected.tasks.get(room.node))
            for kind, _, count in kinds(request)
            if tasks * count > amount(room, kind)
        }
        if request.exclusive:
            short |= {(room.node, "idle") for room in rooms if room.node in expected.tasks}
        before = (release for release in planner.coming() if release.at <= expected.at)
        return [r for r in before if any(_holds(r, kind, {node}) for node, kind in short)]
    nodes = {room.node for room in rooms if serves(room.node, room.features, entry.request)}
    kind = str(wait.numbers.get("short", ""))
    return [release for release in planner.coming() if _holds(release, kind, nodes)]


def _holds(release: Release, kind: str, nodes: set[str]) -> bool:
    """Say whether it has some of this kind on one of these nodes."""
    for place, cpus in zip(release.places, release.cpus, strict=True):
        if place.node in nodes:
            match kind:
                case "cpus":
                    found = bool(cpus)
                case "gpus":
                    found = bool(place.gpus)
                case "idle":
                    found = True
                case "memory":
                    found = place.memory > 0
                case _:
                    found = place.generic.get(kind.removeprefix("generic:"), 0) > 0
            if found:
                return True
    return False


def _named(releases: list[Release]) -> list[str]:
    names = dict.fromkeys(release.name for release in releases)
    return list(names)[:_NAMED]

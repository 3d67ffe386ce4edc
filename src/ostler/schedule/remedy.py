"""What would let a waiting job start now. Each remedy was tried, on a copy or by a question."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import ceil, inf

from msgspec.structs import replace

from ostler.model.constraint import parse
from ostler.model.ids import element_name
from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.model.units import format_duration
from ostler.schedule.engine import Engine
from ostler.schedule.fit import allowed
from ostler.schedule.limited import limited
from ostler.schedule.limits import Breach
from ostler.schedule.picture import MANY
from ostler.schedule.planner import Planner
from ostler.schedule.rules import Limit
from ostler.schedule.snapshot import Delta, NodeView, RunningView, Wait, WaitingView
from ostler.schedule.trial import Trial
from ostler.schedule.why import kinds
from ostler.schedule.words import amount_in, counted, joined, to_ask

_ENDS = 24  # allocations whose end is tried, and nodes that come back
_ENDS_OF_MANY = 6  # on a large machine
_NAMED = 3  # of these that are named
_TOGETHER = 5  # allocations that may have to end together
_HIGHEST = 100  # priority
_MINUTE = 60
_LONG = 1e9  # seconds: longer than any limit that is meant

Sure = Callable[[WaitingView], bool]


def remedies(
    planner: Planner,
    entry: WaitingView,
    wait: Wait,
    before: Sequence[WaitingView],
    trial: Trial | None,
) -> list[str]:
    """Return phrases, cheapest for the user first; any one of them is enough.

    planner: after the pass, without the job as head. before: what comes before it in its partition
    and waits for what it waits for. trial: None: it is too far back for more than its own request.
    """
    sure = partial(_is_sure, planner, entry, trial)
    found = [*_smaller(planner, entry, sure), *_sooner_over(planner, entry, wait, sure)]
    if trial is not None:
        if wait.rule is Rule.LIMIT:
            found += _limit_raised(trial, planner, entry, wait)
        found += _others_end(trial, planner, entry, wait)
        found += _nodes_back(trial, planner, entry, wait)
        found += _priority(trial, entry, before)
    return found


def _is_sure(
    planner: Planner, entry: WaitingView, trial: Trial | None, changed: WaitingView
) -> bool:
    """Say whether an entry that has room so starts so, where others have promises.

    What it was promised is free to them then, and may be theirs before it is looked at.
    """
    if trial is None or entry.partition not in planner.books:
        return True
    return trial.starts(lambda engine: engine.apply(Delta(waiting=[changed])))


def _smaller(planner: Planner, entry: WaitingView, sure: Sure) -> Iterator[str]:
    """Yield less of each kind of resource, fewer tasks and fewer nodes."""
    for phrase, request in _less(planner, entry):
        if sure(replace(entry, request=request, known=None)):
            yield phrase


def _less(planner: Planner, entry: WaitingView) -> Iterator[tuple[str, Request]]:
    """Yield what has room now, and what it would ask for then."""
    request = entry.request
    fits = partial(_fits, planner, entry)
    for name, asked in sorted(request.licences.items()):
        fewer = partial(_with_licences, request, name)
        if count := _most(partial(_fits_as, planner, entry, fewer), asked - 1):
            yield f"ask for {count} of licence {name} instead of {asked}", fewer(count)
    for kind, _, asked in kinds(request):
        if count := _most(partial(_fits_with, planner, entry, kind), asked - 1):
            each = " a task" if request.tasks > 1 else ""
            less = to_ask(kind, count)
            told = f"ask for {less}{each} instead of {amount_in(kind, asked)}"
            yield told, _with(request, kind, count)
    if tasks := _most(lambda n: fits(replace(request, tasks=n)), request.tasks - 1):
        told = f"ask for {counted(tasks, 'task')} instead of {request.tasks}"
        yield told, replace(request, tasks=tasks)
    if request.constraint and fits(anywhere := replace(request, constraint="")):
        yield f"ask for any node, not for {request.constraint}", anywhere
    if request.exclusive and fits(shared := replace(request, exclusive=False)):
        yield "let it share its nodes, without --exclusive", shared
    if parse(request.constraint).groups:
        return  # their counts name the nodes
    if nodes := _most(lambda n: fits(replace(request, nodes=n)), request.nodes - 1):
        told = f"ask for {counted(nodes, 'node')} instead of {request.nodes}"
        yield told, replace(request, nodes=nodes)
    elif request.nodes and fits(any_number := replace(request, nodes=0)):
        yield f"let it use any number of nodes instead of {request.nodes}", any_number


def _fits(planner: Planner, entry: WaitingView, request: Request) -> bool:
    return planner.would_start(replace(entry, request=request, known=None))


def _fits_as(
    planner: Planner, entry: WaitingView, changed: Callable[[int], Request], count: int
) -> bool:
    return _fits(planner, entry, changed(count))


def _fits_with(planner: Planner, entry: WaitingView, kind: str, count: int) -> bool:
    return _fits(planner, entry, _with(entry.request, kind, count))


def _with(request: Request, kind: str, count: int) -> Request:
    match kind:
        case "cpus":
            return replace(request, cpus=count)
        case "memory":
            return replace(request, memory=count)
        case "gpus":
            return replace(request, gpus=count)
        case _:
            name = kind.removeprefix("generic:")
            return replace(request, generic={**request.generic, name: count})


def _with_licences(request: Request, name: str, count: int) -> Request:
    return replace(request, licences={**request.licences, name: count})


def _most(fits: Callable[[int], bool], limit: int) -> int:
    """Return the largest number from 1 to limit that fits; 0 if none. What is less fits too."""
    if limit < 1 or not fits(1):
        return 0
    return bisect_left(range(1, limit + 1), 1, key=lambda count: not fits(count))


def _sooner_over(planner: Planner, entry: WaitingView, wait: Wait, sure: Sure) -> Iterator[str]:
    """Yield the longest time limit with which it would start now."""
    ends = sorted(_ends(planner, entry, wait), reverse=True)
    for end in [*ends[:_ENDS], *ends[_ENDS:][-1:]]:
        seconds = min(float(int(end - planner.now)) if end < inf else inf, _LONG)
        if _LONG > seconds > 2 * _MINUTE:  # it will be a little less by the time it is typed
            seconds -= seconds % _MINUTE
        shorter = replace(entry, duration=seconds)
        if seconds >= 1 and planner.would_start(shorter) and sure(shorter):
            limit = f"of at most {format_duration(seconds)}" if seconds < _LONG else "of any length"
            does = "backfill" if wait.rule is Rule.BEHIND else "start"
            yield f"a time limit {limit} would let it {does}"
            return


def _ends(planner: Planner, entry: WaitingView, wait: Wait) -> set[float]:
    """Return by when it might have to end to start now: promises, windows, CPU-minutes left."""
    now, end, calendar = planner.now, planner.now + entry.duration, planner.picture.calendar
    if (book := planner.books.get(entry.partition)) is not None:
        others = book.copy()
        others.forget(entry.job)
        ends = {start for start, _ in others.within(planner.picture.nodes, end)}
    else:
        ends = {head.shadow for head in planner.late_heads(entry)}
    if calendar is not None:
        begins = calendar.until(calendar.key(entry.user, entry.project), now).values()
        ends |= {begin for begin in begins if begin < end}
    if wait.numbers.get("what") == "cpu_minutes":
        left = float(wait.numbers["limit"]) - float(wait.numbers["held"])
        ends.add(now + left * _MINUTE / planner.cpus(entry.request, None))
    return {found for found in ends if found > now}


def _limit_raised(trial: Trial, planner: Planner, entry: WaitingView, wait: Wait) -> Iterator[str]:
    """Yield the limit, and how much it would have to be."""
    rules, most = planner.picture.rules, float(wait.numbers["held"]) + float(wait.numbers["asked"])
    breach = planner.breach_of(entry)
    if most == inf:
        return
    enough = ceil(most)
    if breach is None:
        raised = replace(rules, max_cpus_per_user=enough)
        how = f"ostler config set max-cpus-per-user {enough}"
    else:
        limits = [_raised(row, breach, enough) for row in rules.limits]
        raised = replace(rules, limits=tuple(limits))
        how = f"{breach.what} of {breach.whose} to {enough}"
    if trial.starts(lambda engine: engine.apply(Delta(rules=raised))):
        yield f"have the limit raised: {how}"


def _raised(row: Limit, breach: Breach, enough: int) -> Limit:
    """Return a limit, raised if it is the one that would be passed."""
    holder, name, partition = breach.bucket
    if (row.holder, row.partition) != (holder, partition) or row.name not in {name, ""}:
        return row
    least = getattr(row, breach.what)
    return row if least is None else replace(row, **{breach.what: max(least, enough)})


def _others_end(trial: Trial, planner: Planner, entry: WaitingView, wait: Wait) -> Iterator[str]:
    """Yield one job of a few whose end is enough, or else the first to end that are together."""
    running = planner.picture.running
    picture = trial.engine.picture
    near = _near(planner, entry, wait)
    views = [view for number in running if (view := picture.running.get(number)) and near(view)]
    tried = _ENDS if len(picture.nodes) < MANY else _ENDS_OF_MANY
    views = sorted(views, key=lambda view: (view.ends_at, view.alloc))[:tried]
    single = [view for view in views if trial.starts(partial(_end, [view]))]
    if single:
        names = list(dict.fromkeys(element_name(v.job, v.element) for v in single))
        yield f"end job {joined(names[:_NAMED], 'or')}"
        return
    for count in range(2, min(len(views), _TOGETHER) + 1):
        if trial.starts(partial(_end, views[:count])):
            names = list(dict.fromkeys(element_name(v.job, v.element) for v in views[:count]))
            yield f"end jobs {joined(names, 'and')}"
            return


def _end(views: Sequence[RunningView], engine: Engine) -> None:
    engine.picture.end(views)


def _near(planner: Planner, entry: WaitingView, wait: Wait) -> Callable[[RunningView], bool]:
    """Return what says whether the end of an allocation may help."""
    if wait.rule is Rule.LIMIT:
        under = limited(planner, entry)
        return lambda view: under.runs(view.alloc, view.user)
    if wait.rule is Rule.LICENCES:
        return lambda view: str(wait.numbers["short"]) in view.licences
    rooms, request = planner.rooms(entry.partition), entry.request
    nodes = {room.node for room in rooms if allowed(room.node, room.features, request)}
    return lambda view: any(place.node in nodes for place in view.placements)


def _nodes_back(trial: Trial, planner: Planner, entry: WaitingView, wait: Wait) -> Iterator[str]:
    """Yield the unusable nodes of which each, or else all together, would do."""
    if wait.rule in {Rule.LIMIT, Rule.LICENCES}:
        return
    out = [
        view
        for view in planner.sizes.views(entry.partition)
        if not view.usable
        and not view.gone
        and allowed(view.name, view.facts.features, entry.request)
    ]
    out = out[: _ENDS if len(planner.picture.nodes) < MANY else _ENDS_OF_MANY]
    single = [view for view in out if trial.starts(partial(_use, [view]))]
    for view in single[:_NAMED]:
        yield _bring_back(view)
    if not single and len(out) > 1 and trial.starts(partial(_use, out)):
        yield joined([_bring_back(view) for view in out], "and")


def _use(views: Sequence[NodeView], engine: Engine) -> None:
    engine.apply(Delta(nodes=[replace(view, usable=True) for view in views]))


def _bring_back(view: NodeView) -> str:
    if view.why_not.startswith(("draining", "out")):
        return f"undrain node {view.name}: ostler nodes undrain {view.name}"
    return f"bring node {view.name} back" + (f" ({view.why_not})" if view.why_not else "")


def _priority(trial: Trial, entry: WaitingView, before: Sequence[WaitingView]) -> Iterator[str]:
    """Yield the priority with which it would be first."""
    highest = max((view.priority for view in before), default=_HIGHEST)
    if highest < _HIGHEST:
        first = replace(entry, priority=highest + 1)
        if trial.starts(lambda engine: engine.apply(Delta(waiting=[first]))):
            yield f"a priority above {highest}"

"""The long answer for one waiting job: the rule with its numbers, and what would change it.

The core passes what it alone knows as `WaitingView.blocked`, with these numbers: `hold` has
`held_by`; `dependency` has `jobs` (ids joined by commas); `not_before` and `retry` have `at`
(Unix seconds); `array_cap` has `cap` and `live`; `partition` has its name; `configuration` has
`partition`, the `active` one, the `configuration` that would do, `at` if it is known when that
begins, and `some` if there are nodes and they are too few. Absent ones are left out of the sentence.
"""

from collections.abc import Callable, Sequence
from heapq import nsmallest
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from ostler.model.errors import Missing
from ostler.model.states import Rule
from ostler.model.units import format_duration
from ostler.schedule.assumption import assumed, why_unknown
from ostler.schedule.blockers import blockers, kept_until
from ostler.schedule.booking import beside, lay_others
from ostler.schedule.classes import Class
from ostler.schedule.engine import Engine
from ostler.schedule.funnel import funnel
from ostler.schedule.heads import forget_head
from ostler.schedule.horizon import Expected, foresee
from ostler.schedule.limited import limited
from ostler.schedule.planner import Planner
from ostler.schedule.presses import presses
from ostler.schedule.priority import Key
from ostler.schedule.reasons import FORETOLD, behind_equals, reason, resume_reason, told_by_core
from ostler.schedule.remedy import remedies
from ostler.schedule.reservations import shut_to
from ostler.schedule.resumes import Resumption
from ostler.schedule.snapshot import Explanation, Snapshot, Wait, WaitingView, whole
from ostler.schedule.trial import Trial, starts_of
from ostler.schedule.words import jobs

_AHEAD = 1000  # names of jobs listed as ahead
_TRIED = 200  # places in the queue up to which more than its own request is tried
_PASSES_BY = frozenset({Rule.RESOURCES, Rule.BEHIND})
_HELD_UP = frozenset({Rule.LIMIT, Rule.LICENCES, Rule.RESERVED})
_WAITS_FOR_NODES = _PASSES_BY | {Rule.RESERVED}


class _Seen(Struct):
    """A job that waits, as a plan has left it."""

    engine: Engine  # after the plan
    planner: Planner
    view: WaitingView
    wait: Wait  # of the first of its class
    first: WaitingView | None  # the first of its class, if that is another job
    alike: int  # how many of its class come before it
    ahead: Sequence[WaitingView]  # the first of those that come before it
    place: int


def engine_of(snapshot: Snapshot) -> Engine:
    """Return an engine that has just been shown this machine."""
    engine = Engine()
    engine.apply(whole(snapshot))
    return engine


def explain(snapshot: Snapshot, now: float, job: int) -> Explanation:
    """Return what `explained` does, of a machine that nobody keeps an engine for."""
    return explained(engine_of(snapshot), now, job)


def explained(engine: Engine, now: float, job: int) -> Explanation:
    """Return why the job waits, when it should start, and what would let it start now.

    engine: is used up; whoever needs it passes a copy. Of an array: why its next element waits.
    Rule `new`: nothing keeps it; the next planning pass starts it. Raises `Missing` if nothing of
    the job waits. Cost: a pass over the first of each class; such a pass for each end that is
    foreseen, and for each remedy that is tried on a copy; and a look at what is in the queue.
    """
    if (blocked := engine.blocked.get(job)) is not None:
        return _explain_blocked(job, blocked, now)
    if job not in engine.queue.entries:
        return _explain_resume(engine, now, job)
    view, before = engine.queue.entries[job].view, engine.copy()
    engine.be_silent()
    started = starts_of(engine, now, job)
    planner = Planner(engine.picture, now, dict(engine.heads), engine.books, dict(engine.beside))
    if view.partition in engine.books:
        planner.beside[view.partition] = beside(planner, engine.queue, view.partition, job)
    else:
        lay_others(planner, engine.queue, view.partition)
    if job in engine.queue.entries:
        seen = _look(engine, planner, view)
        trial = Trial(before, now, job, len(started)) if seen.place <= _TRIED else None
        answer = _explain_waiting(seen)
        answer.numbers["waiting_elements"] = engine.queue.entries[job].left
        tried = remedies(planner, view, seen.wait, seen.ahead, trial)
        answer.to_start_now = "; or ".join(tried)
    else:
        text = "nothing keeps it: the next planning pass starts it"
        answer = Explanation(Rule.NEW, text, {"place": 1}, now, [], [], "")
    free = Planner(before.picture, now) if started else planner
    rooms = free.rooms(view.partition)
    shut = shut_to(free.picture.calendar, view, now, free.picture.nodes)
    nodes = free.picture.nodes.values()
    answer.filters = funnel(nodes, view, rooms, free.licences_left(), shut)
    if started:
        answer.starts_now = len(started)
        answer.expected_nodes = [place.node for place in started[0].placements]
    return answer


def _look(engine: Engine, planner: Planner, view: WaitingView) -> _Seen:
    """Return how the job stands in the queue, and why the first of its class waits."""
    queue = engine.queue
    entry = queue.entries[view.job]
    mine = queue.classes[entry.of]
    key = queue.first(mine) or entry.key
    first = queue.entries[key[-1]].view
    wait = planner.wait(first, mine.rule or Rule.RESOURCES)
    ahead: list[Key] = []
    contends = _contends(planner, first, wait)
    for other in queue.of(view.partition):
        if other is mine or contends(other):
            ahead += queue.before(entry.key, other)
    named = [queue.entries[key[-1]].view for key in nsmallest(_AHEAD, ahead)]
    alike = len(queue.before(entry.key, mine))
    other_first = first if first.job != view.job else None
    return _Seen(engine, planner, view, wait, other_first, alike, named, len(ahead) + 1)


def _contends(planner: Planner, first: WaitingView, wait: Wait) -> Callable[[Class], bool]:
    """Return what says whether a class waits for what this job waits for, if before it."""
    match wait.rule:
        case Rule.LIMIT:
            under = limited(planner, first)
            return lambda other: under.waits(other.view)
        case Rule.LICENCES:
            name = str(wait.numbers["short"])
            return lambda other: name in other.view.request.licences
        case Rule.RESERVED if own := wait.numbers.get("own"):
            return lambda other: other.view.request.reservation == own
        case Rule.RESERVED:
            return lambda other: other.rule in _WAITS_FOR_NODES
        case _:
            return lambda other: other.rule in _PASSES_BY


def _explain_waiting(seen: _Seen) -> Explanation:
    planner, view, wait = seen.planner, seen.view, seen.wait
    book = planner.books.get(view.partition)
    kept = book is not None and book.reserved is None and book.count(view.job) > 0
    promise = _promise(planner, view)
    forget_head(planner, view.job)  # remedies are not to be measured against itself
    expected, till, passed = _foretold(promise), planner.now, False
    if expected is None or not (kept or _is_certain(seen)):
        foreseen, till = _expected(seen)
        passed = bool(promise and foreseen and foreseen.at != promise.at)
        expected = foreseen or expected
    at = expected.at if expected else None
    wait = replace(wait, expected_start=at)
    numbers = {**wait.numbers, "place": seen.place}
    waits_for = blockers(planner, view, wait, expected)
    names = [str(other.job) for other in seen.ahead]
    if at is None:
        basis = why_unknown(planner, view, wait, waits_for, seen.ahead, till=till)
    else:
        basis = assumed(wait, waits_for, names, kept=kept, passed=passed)
    if seen.first is None:
        text = reason(view, wait, planner.now, waits_for, names)
    else:
        numbers |= {"first": seen.first.job, "alike": seen.alike}
        wait = replace(wait, rule=Rule.QUEUE)
        waits_for = [str(seen.first.job)]
        told = _why_first(planner, seen.first, seen.wait)
        text = behind_equals(view, seen.first, told, alike=seen.alike, at=at, now=planner.now)
    if seen.wait.rule is not Rule.RESERVED and (windows := kept_until(planner, view, expected)):
        text += f"; nodes for it are reserved until then ({', '.join(windows)})"
        waits_for = [*waits_for, *windows]
    if passed and promise and expected and promise.at < expected.at:
        text += "; some that are before it in the queue, and wait for something else, start first"
    text += _behind_it(seen, expected) if kept else ""
    text += _turns(planner, view, seen.wait)
    text += presses(seen.engine, planner, view, seen.wait.rule)
    if at is None and basis:
        text += f"; no expected start can be told: {basis}"
    return Explanation(
        rule=wait.rule,
        reason=text,
        numbers=numbers,
        expected_start=at,
        blockers=waits_for,
        ahead=names,
        to_start_now="",
        assumption=basis,
        expected_nodes=list(expected.tasks) if expected else [],
    )


def _behind_it(seen: _Seen, expected: Expected | None) -> str:
    """Tell who is behind it in the queue and was promised a start there before; empty: nobody."""
    entries, view = seen.engine.queue.entries, seen.view
    if expected is None or view.job not in entries:
        return ""
    early = seen.planner.books[view.partition].within(expected.tasks, expected.at)
    mine = entries[view.job].key
    found = dict.fromkeys(j for _, j in early if j in entries and entries[j].key > mine)
    if not found:
        return ""
    are, an = ("is", "an earlier start") if len(found) == 1 else ("are", "earlier starts")
    was = "was" if len(found) == 1 else "were"
    return (
        f"; {jobs([*map(str, found)])} {are} behind it in the queue and {was} promised {an} there"
    )


def _turns(planner: Planner, view: WaitingView, wait: Wait) -> str:
    """Tell that it may have a turn on CPUs of others before all that; empty: it has none."""
    seconds = planner.picture.rules.of(view.partition).time_slice
    if not seconds or wait.rule not in _PASSES_BY:
        return ""
    return f"; jobs take turns of {format_duration(seconds)} here, and its own may come before"


def _promise(planner: Planner, view: WaitingView) -> Expected | None:
    """Return the start that is promised to the next element of a job; inf: nobody can tell."""
    if (book := planner.books.get(view.partition)) is not None:
        promise = book.next_of(view.job)
        return None if promise is None else Expected(promise.start, dict(promise.seats))
    heads = planner.heads_of(view.partition)
    head = next((head for head in heads if head.job == view.job), None)
    if head is None:
        return None
    names = {planner.table.views[row].name: tasks for row, tasks in head.seats}
    return Expected(head.shadow, names)


def _is_certain(seen: _Seen) -> bool:
    """Say whether nobody may come before what EASY promises, and it is not promised too late.

    Who is before it at a limit, or waits for a licence or a window, is promised nothing until then.
    """
    others = seen.engine.queue.classes.values()
    return seen.wait.rule in _PASSES_BY and not any(o.rule in _HELD_UP for o in others if o.live)


def _foretold(promise: Expected | None) -> Expected | None:
    return None if promise is None or promise.at == inf else promise


def _why_first(planner: Planner, first: WaitingView, wait: Wait) -> str:
    """Return why the first of those waits that ask for the same."""
    expected = _foretold(_promise(planner, first))
    wait = replace(wait, expected_start=expected.at if expected else None)
    return reason(first, wait, planner.now, blockers(planner, first, wait, expected), [])


def _expected(seen: _Seen) -> tuple[Expected | None, float]:
    """Return the expected start, if it is in sight; and until when was looked."""
    if seen.wait.rule not in FORETOLD:
        return None, seen.planner.now
    job = seen.view.job
    horizon = foresee(seen.engine.copy(), seen.planner.now, {job})
    return horizon.found.get(job), horizon.till


def _explain_blocked(job: int, wait: Wait, now: float) -> Explanation:
    numbers = dict(wait.numbers)
    waits_for, remedy = [], ""
    match wait.rule:
        case Rule.HOLD:
            remedy = f"release it: ostler release {job}"
        case Rule.DEPENDENCY:
            waits_for = [name for name in str(numbers.get("jobs", "")).split(",") if name]
            remedy = "it cannot start before they have ended"
        case Rule.NOT_BEFORE:
            remedy = f"let it start earlier: ostler modify {job} --not-before now"
        case Rule.PARTITION:
            remedy = f"start its partition: ostler partitions start {numbers.get('partition', '')}"
        case Rule.SCHEDULER:
            where = numbers.get("partition", "")
            remedy = f"an administrator: ostler partitions set {where} scheduler=none"
        case Rule.CONFIGURATION:
            remedy = f"use it now: ostler configurations use {numbers.get('configuration', '')}"
        case Rule.ARRAY_CAP:
            remedy = f"let more of it run at once: ostler modify {job} --array %N"
        case _:
            pass
    text = told_by_core(wait, now, waits_for)
    return Explanation(wait.rule, text, numbers, wait.expected_start, waits_for, [], remedy)


def _explain_resume(engine: Engine, now: float, job: int) -> Explanation:
    planner = Planner(engine.picture, now)
    mine = [found for found in planner.resumes.all.values() if found.view.job == job]
    if not mine:
        raise Missing(f"nothing of job {job} waits", hint=f"see `ostler job {job}`")
    late = [found for found in mine if found.wait is not None]
    if not late:
        text = "its CPUs are free: the next planning pass lets it go on"
        return Explanation(Rule.NEW, text, {}, now, [], [], "")
    return _late_resume(planner, late[0], now)


def _late_resume(planner: Planner, late: Resumption, now: float) -> Explanation:
    wait = late.wait or Wait(Rule.RESOURCES)
    users = planner.resumes.users_of(late)
    remedy = f"end or suspend {jobs(users)}" if users else ""
    text = resume_reason(late, wait, now, users)
    return Explanation(wait.rule, text, dict(wait.numbers), wait.expected_start, users, [], remedy)

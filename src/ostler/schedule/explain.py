"""The long answer for one waiting job: the rule with its numbers, and what would change it.

The core passes what it alone knows as `WaitingView.blocked`, with these numbers: `hold` has
`held_by`; `dependency` has `jobs` (ids joined by commas); `not_before` and `retry` have `at`
(Unix seconds); `array_cap` has `cap` and `live`. Absent ones are left out of the sentence.
"""

from math import inf

from msgspec import Struct
from msgspec.structs import replace

from ostler.model.errors import Missing
from ostler.model.states import Rule
from ostler.schedule import licences
from ostler.schedule.assumption import assumed, why_unknown
from ostler.schedule.blockers import blockers
from ostler.schedule.forecast import Expected, forecast
from ostler.schedule.funnel import funnel
from ostler.schedule.outlook import DEPTH, STEPS, run
from ostler.schedule.planner import Planner
from ostler.schedule.reasons import FORETOLD, behind_equals, reason, resume_reason
from ostler.schedule.remedy import remedies
from ostler.schedule.resumes import Resumption
from ostler.schedule.snapshot import Explanation, Snapshot, Start, Wait, WaitingView
from ostler.schedule.table import Head
from ostler.schedule.words import jobs

FORECAST = 500  # places in the queue up to which an expected start is worked out
_AHEAD = 1000  # names of jobs listed as ahead
_PASSES_BY = frozenset({Rule.RESOURCES, Rule.BEHIND})


class _Ahead(Struct):
    """What comes before a job."""

    before: list[WaitingView] = []  # all of it that nothing but the plan keeps
    ahead: list[WaitingView] = []  # what of it waits for resources in the same partition
    alike: list[tuple[WaitingView, Wait]] = []  # what of that asks for the same


def explain(snapshot: Snapshot, now: float, job: int) -> Explanation:
    """Return why the job waits, when it should start, and what would let it start now.

    Of an array: why its next element waits. Rule `new`: nothing keeps it; the next planning pass
    starts it. Raises `Missing` if nothing of the job waits. Cost: about two plans, and for a job
    near the front of the queue one small plan for each remedy that is tried.
    """
    entry = next((view for view in snapshot.waiting if view.job == job), None)
    if entry is None:
        return _explain_resume(snapshot, now, job)
    if entry.blocked is not None:
        return _explain_blocked(entry, entry.blocked, now)
    planner = Planner.of(snapshot, now)
    found = _offer_those_before(planner, entry)
    unused = licences.free(snapshot.licences, snapshot.running)
    filters = funnel(snapshot, entry, planner.rooms(entry.partition), unused)
    left, wait = planner.offer(entry, entry.elements)
    started = [x for x in planner.lines if isinstance(x, Start) and x.job == job]
    if wait is None:
        text = "nothing keeps it: the next planning pass starts it"
        answer = Explanation(Rule.NEW, text, {"place": len(found.ahead) + 1}, now, [], [], "")
    else:
        answer = _explain_waiting(planner, entry, wait, found)
        answer.numbers["waiting_elements"] = left
        answer.to_start_now = "; or ".join(remedies(planner, entry, wait, found.before))
    answer.filters = filters
    if started:
        answer.starts_now = len(started)
        answer.expected_nodes = [place.node for place in started[0].placements]
    return answer


def _offer_those_before(planner: Planner, entry: WaitingView) -> _Ahead:
    found = _Ahead()
    ready = (view for view in planner.snapshot.waiting if view.blocked is None)
    for other in planner.scorer.in_order(ready):
        if other is entry:
            break
        found.before.append(other)
        _, wait = planner.offer(other, other.elements)
        if wait is None or other.partition != entry.partition:
            continue
        if wait.rule in _PASSES_BY:
            found.ahead.append(other)
        if _alike(planner.snapshot, other, entry):
            found.alike.append((other, wait))
    return found


def _alike(snapshot: Snapshot, one: WaitingView, other: WaitingView) -> bool:
    """Say whether what keeps the one keeps the other as well: then only the first is looked at."""
    if one.duration != other.duration or one.shape != other.shape:
        return False
    if snapshot.rules.limits and one.project != other.project:
        return False
    limited = snapshot.max_cpus_per_user or snapshot.rules.limits
    return not limited or one.user == other.user


def _explain_waiting(
    planner: Planner, entry: WaitingView, wait: Wait, found: _Ahead
) -> Explanation:
    head = planner.heads.get(entry.partition)
    ahead = found.ahead
    if head is not None and head.job == entry.job:
        del planner.heads[entry.partition]  # remedies are not to be measured against itself
        expected = _promised(planner, head)
    else:
        expected = _expected(planner, entry, wait, len(ahead))
    at = expected.at if expected else wait.expected_start
    wait = replace(wait, expected_start=at)
    numbers = {**wait.numbers, "place": len(ahead) + 1}
    waits_for = blockers(planner, entry, wait, expected)
    names = [str(other.job) for other in ahead]
    if at is None:
        basis = why_unknown(planner, entry, wait, waits_for, ahead, most=FORECAST, ends=STEPS)
    else:
        basis = assumed(wait.rule, waits_for, names)
    if found.alike:
        first, why = found.alike[0]
        numbers |= {"first": first.job, "alike": len(found.alike)}
        wait = replace(wait, rule=Rule.QUEUE)
        waits_for = [str(first.job)]
        told = _why_first(planner, first, why)
        text = behind_equals(entry, first, told, alike=len(found.alike), at=at, now=planner.now)
    else:
        text = reason(entry, wait, planner.now, waits_for, names)
    if at is None and basis:
        text += f"; no expected start can be told: {basis}"
    return Explanation(
        rule=wait.rule,
        reason=text,
        numbers=numbers,
        expected_start=at,
        blockers=waits_for,
        ahead=names[:_AHEAD],
        to_start_now="",
        assumption=basis,
        expected_nodes=list(expected.tasks) if expected else [],
    )


def _promised(planner: Planner, head: Head) -> Expected | None:
    """Return what is promised to the first that waits for resources."""
    if head.shadow == inf:
        return None
    names = {planner.table.views[row].name: tasks for row, tasks in head.seats}
    return Expected(head.shadow, names)


def _why_first(planner: Planner, first: WaitingView, wait: Wait) -> str:
    """Return why the first of those waits that ask for the same."""
    head = planner.heads.get(first.partition)
    expected = _promised(planner, head) if head is not None and head.job == first.job else None
    return reason(first, wait, planner.now, blockers(planner, first, wait, expected), [])


def _expected(planner: Planner, entry: WaitingView, wait: Wait, place: int) -> Expected | None:
    if wait.rule not in FORETOLD or place > FORECAST:
        return None
    fresh = Planner.of(planner.snapshot, planner.now)
    _, queue = run(fresh, planner.snapshot.waiting, max(DEPTH, place + 1))
    return forecast(fresh, queue, {entry.job}, STEPS).get(entry.job)


def _explain_blocked(entry: WaitingView, wait: Wait, now: float) -> Explanation:
    numbers = dict(wait.numbers)
    waits_for, remedy = [], ""
    match wait.rule:
        case Rule.HOLD:
            remedy = f"release it: ostler release {entry.job}"
        case Rule.DEPENDENCY:
            waits_for = [name for name in str(numbers.get("jobs", "")).split(",") if name]
            remedy = "it cannot start before they have ended"
        case Rule.NOT_BEFORE:
            remedy = f"let it start earlier: ostler modify {entry.job} --not-before now"
        case Rule.ARRAY_CAP:
            remedy = f"let more of it run at once: ostler modify {entry.job} --array %N"
        case _:
            pass
    text = reason(entry, wait, now, waits_for, [])
    return Explanation(wait.rule, text, numbers, wait.expected_start, waits_for, [], remedy)


def _explain_resume(snapshot: Snapshot, now: float, job: int) -> Explanation:
    planner = Planner.of(snapshot, now)
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

"""The long answer for one waiting job: the rule with its numbers, and what would change it.

The core passes what it alone knows as `WaitingView.blocked`, with these numbers: `hold` has
`held_by`; `dependency` has `jobs` (ids joined by commas); `not_before` and `retry` have `at`
(Unix seconds); `array_cap` has `cap` and `live`. Absent ones are left out of the sentence.
"""

from math import inf

from msgspec.structs import replace

from ostler.model.errors import Missing
from ostler.model.ids import element_name
from ostler.model.states import Rule
from ostler.schedule.backfill import DEPTH, STEPS, run
from ostler.schedule.blockers import blockers
from ostler.schedule.forecast import Expected, forecast
from ostler.schedule.order import queue_order
from ostler.schedule.planner import Planner
from ostler.schedule.reasons import reason, resume_reason
from ostler.schedule.remedy import remedies
from ostler.schedule.resumes import Resumption
from ostler.schedule.snapshot import Explanation, Snapshot, Wait, WaitingView
from ostler.schedule.words import jobs, listed

_FORECAST = 500  # places in the queue up to which an expected start is worked out
_AHEAD = 1000  # names of jobs listed as ahead
_PASSES_BY = frozenset({Rule.RESOURCES, Rule.BEHIND})


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
    planner = Planner(snapshot, now)
    before: list[WaitingView] = []
    ahead: list[WaitingView] = []
    for other in queue_order(view for view in snapshot.waiting if view.blocked is None):
        if other is entry:
            break
        before.append(other)
        _, wait = planner.offer(other, other.elements)
        if wait is not None and wait.rule in _PASSES_BY and other.partition == entry.partition:
            ahead.append(other)
    left, wait = planner.offer(entry, entry.elements)
    if wait is None:
        text = "nothing keeps it: the next planning pass starts it"
        return Explanation(Rule.NEW, text, {"place": len(ahead) + 1}, now, [], [], "")
    answer = _explain_waiting(planner, entry, wait, ahead)
    answer.numbers["waiting_elements"] = left
    answer.to_start_now = "; or ".join(remedies(planner, entry, wait, before))
    return answer


def _explain_waiting(
    planner: Planner, entry: WaitingView, wait: Wait, ahead: list[WaitingView]
) -> Explanation:
    head = planner.heads.get(entry.partition)
    if head is not None and head.job == entry.job:
        del planner.heads[entry.partition]  # remedies are not to be measured against itself
        expected = None if head.shadow == inf else Expected(head.shadow, head.places)
    else:
        expected = _expected(planner, entry, wait, len(ahead))
    at = expected.at if expected else wait.expected_start
    wait = replace(wait, expected_start=at)
    numbers = {**wait.numbers, "place": len(ahead) + 1}
    waits_for = blockers(planner, entry, wait, expected)
    text = reason(entry, wait, planner.now, waits_for, [str(o.job) for o in ahead])
    if at is None and (why := _why_unknown(planner, entry, wait, waits_for, ahead)):
        text += f"; no expected start can be told: {why}"
    return Explanation(
        rule=wait.rule,
        reason=text,
        numbers=numbers,
        expected_start=at,
        blockers=waits_for,
        ahead=[str(other.job) for other in ahead[:_AHEAD]],
        to_start_now="",
    )


def _why_unknown(
    planner: Planner,
    entry: WaitingView,
    wait: Wait,
    waits_for: list[str],
    ahead: list[WaitingView],
) -> str:
    """Return what keeps everybody from telling when it starts; empty if it is no single thing."""
    if wait.rule is Rule.NODES:
        nodes = f"{'node' if len(waits_for) == 1 else 'nodes'} {listed(waits_for)}"
        return f"nobody knows when {nodes} will be usable again"
    frozen = {
        element_name(view.job, view.element) for view in planner.snapshot.running if view.suspended
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
    if len(ahead) > _FORECAST:
        return f"it is worked out for the first {_FORECAST} places of the queue only"
    return ""


def _expected(planner: Planner, entry: WaitingView, wait: Wait, place: int) -> Expected | None:
    if wait.rule not in _PASSES_BY | {Rule.LIMIT, Rule.LICENCES} or place > _FORECAST:
        return None
    fresh = Planner(planner.snapshot, planner.now)
    _, queue = run(fresh, max(DEPTH, place + 1))
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
    planner = Planner(snapshot, now)
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

"""Replays what a manager wrote down: the same plans byte for byte, or what another policy had done."""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from ostler.model.errors import Missing, UsageError
from ostler.model.states import Rule
from ostler.schedule.decisions import (
    HEADER,
    Asked,
    Cut,
    Decided,
    Record,
    Told,
    plain,
    plan_of,
    records,
)
from ostler.schedule.engine import Engine
from ostler.schedule.policy import Policy
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import Delta, Plan, Start

SHOWN = 10  # differences that are told one by one


class Difference(NamedTuple):
    """A decision that came out otherwise. The plans are those recorded and replayed."""

    decision: int  # from 1, in the order of the file
    now: float  # Unix seconds
    recorded: Plan
    replayed: Plan


class Replay(NamedTuple):
    """A file of decisions of the scheduler that is built in, replayed by the same rules."""

    decisions: int
    starts: int
    first: Difference | None  # the first plan that is not the same, byte for byte
    late: list[float]  # seconds from the start promised first to the real one, sorted
    others: dict[str, str]  # partition -> who else planned it, of which the file has no plans
    cut: Cut | None  # where the file ends within a record


class Otherwise(NamedTuple):
    """What another policy would have planned at each decision, everything before it being as it was."""

    policy: str
    earlier: tuple[int, ...]  # jobs that it would have started before they were
    later: tuple[int, ...]  # jobs of which it would not have started what was started
    differences: list[Difference]  # the first ones
    differing: int  # decisions, in all


def read(path: str) -> Iterator[Record | Cut]:
    """Yield the records of a file from where everything is told; raise `Missing`, `UsageError`."""
    try:
        with open(path, "rb") as file:
            if file.read(len(HEADER)) != HEADER:
                raise UsageError(
                    f"{path!r} holds no decisions of this version",
                    expected="STATE/decisions of a machine whose record-decisions is set",
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                view = memoryview(data)
                try:
                    yield from _whole(view, path)
                finally:
                    view.release()
    except FileNotFoundError:
        raise Missing(f"there is no file {path!r}", hint="see record-decisions") from None
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}") from error


def _whole(data: memoryview, path: str) -> Iterator[Record | Cut]:
    begun = False
    try:
        for record in records(data):
            begun = begun or (isinstance(record, Told) and record.delta.reset)
            if begun or isinstance(record, Cut):
                yield record
    except ValueError as error:
        raise UsageError(f"{path!r} is damaged: {error}", hint="keep what is before it") from error


def replay(path: str) -> Replay:
    """Feed the deltas to an engine and hold its plans against those recorded. Raises `UsageError`."""
    engine = Engine()
    decisions = starts = number = asked_of = 0
    plan, now = Plan([], {}), 0.0
    promised: dict[int, float] = {}
    late: list[float] = []
    others: dict[str, str] = {}
    cut: Cut | None = None
    for record in read(path):
        match record:
            case Told(delta):
                engine.apply(delta)
                others |= _planned_by_others(delta)
                number = delta.number
            case Asked(now):
                plan = engine.plan(now)
                asked_of = number
            case Cut():
                cut = record
            case Decided(data):
                decisions += 1
                recorded = plan_of(data)
                starts += sum(isinstance(line, Start) for line in recorded.lines)
                begun = dict.fromkeys(one.job for one in recorded.lines if isinstance(one, Start))
                late += [now - promised.pop(job) for job in begun if job in promised]
                promised = recorded.promised | promised  # the first one counts
                if data != plain(plan) or recorded.number != asked_of:
                    first = Difference(decisions, now, recorded, plan)
                    return Replay(decisions, starts, first, sorted(late), others, None)
    return Replay(decisions, starts, None, sorted(late), others, cut)


def _planned_by_others(delta: Delta) -> dict[str, str]:
    """Return the partitions in which jobs wait for another scheduler, each with its name."""
    return {
        view.partition: str(view.blocked.numbers.get("scheduler", ""))
        for view in delta.waiting
        if view.blocked is not None and view.blocked.rule is Rule.SCHEDULER
    }


def otherwise(path: str, policy: Policy) -> Otherwise:
    """Return what a policy, in all partitions, would have planned otherwise. Raises `UsageError`.

    At each decision everything before it is as it was: what the policy would have started counts
    for that decision alone.
    """
    engine = Engine()
    seen, ahead, later = 0, dict[int, None](), dict[int, None]()
    found: list[Difference] = []
    count, now, plan = 0, 0.0, Plan([], {})
    for record in read(path):
        match record:
            case Told(delta):
                if delta.rules is not None:
                    delta = replace(delta, rules=_under(delta.rules, policy))
                engine.apply(delta)
            case Asked(now):
                plan = engine.copy().plan(now)
            case Decided(data):
                seen += 1
                recorded = plan_of(data)
                theirs, mine = _started(recorded), _started(plan)
                ahead |= dict.fromkeys(job for job in mine if mine[job] > theirs.get(job, 0))
                later |= dict.fromkeys(job for job in theirs if theirs[job] > mine.get(job, 0))
                if theirs != mine:
                    count += 1
                    if len(found) < SHOWN:
                        found.append(Difference(seen, now, recorded, plan))
    return Otherwise(policy.name, tuple(ahead), tuple(later), found, count)


def _under(rules: Rules, policy: Policy) -> Rules:
    """Return the rules with this policy everywhere."""
    default = replace(rules.default, policy=policy.name)
    partitions = {
        name: replace(each, policy=policy.name) for name, each in rules.partitions.items()
    }
    return replace(rules, default=default, partitions=partitions)


def _started(plan: Plan) -> dict[int, int]:
    """Return how many elements of each job a plan starts."""
    found: dict[int, int] = {}
    for line in plan.lines:
        if isinstance(line, Start):
            found[line.job] = found.get(line.job, 0) + 1
    return found

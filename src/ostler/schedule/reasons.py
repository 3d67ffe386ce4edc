"""One sentence for each rule, with its numbers. `it` is the job."""

from collections.abc import Sequence

from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.model.units import format_duration
from ostler.schedule.resumes import Resumption
from ostler.schedule.snapshot import Wait, WaitingView
from ostler.schedule.why import Numbers, kinds
from ostler.schedule.words import amount_in, amount_of, counted, jobs, joined, listed, task_of

_SHOWN = 0.05  # seconds that are not shown as none
FORETOLD = frozenset({Rule.RESOURCES, Rule.BEHIND, Rule.LIMIT, Rule.LICENCES, Rule.RESERVED})


def reason(
    entry: WaitingView, wait: Wait, now: float, blockers: Sequence[str], ahead: Sequence[str]
) -> str:
    """Return why it waits. blockers and ahead: names, as in `Explanation`."""
    numbers = wait.numbers
    match wait.rule:
        case Rule.RESOURCES:
            text = _where(entry.request) + _resources(entry.request, numbers)
            text += _held_by(blockers, known=wait.expected_start is not None)
            text += f"; {counted(len(ahead), 'job')} ahead of it: {listed(ahead)}" if ahead else ""
        case Rule.BEHIND if "ahead" not in numbers:
            text = "what was ahead of it has just started, and it is looked at next"
        case Rule.BEHIND:
            job = f"job {numbers['ahead']}, which is ahead of it"
            text = f"it would fit now, but would delay {job}"
            if (policy := numbers.get("policy")) is not None:
                text = f"it would fit now, but under policy {policy} nobody starts before {job}"
            shadow = numbers.get("shadow")
            if isinstance(shadow, float):
                text += f" and should start {_soon(shadow, now)}"
        case Rule.LIMIT:
            text = _limit(entry, numbers)
        case Rule.LICENCES:
            text = _licences(numbers) + _held_by(blockers, known=wait.expected_start is not None)
        case Rule.NODES:
            text = _nodes(numbers)
        case Rule.RESERVED:
            text = _reserved(numbers, now)
        case Rule.NODE_LEFT:
            text = _node_left(entry.request, numbers)
        case _:
            text = told_by_core(wait, now, blockers)
    if wait.expected_start is not None and wait.rule in FORETOLD:
        text += f"; it should start {_soon(wait.expected_start, now)}"
    return text


def behind_equals(
    entry: WaitingView, first: WaitingView, told: str, *, alike: int, at: float | None, now: float
) -> str:
    """Return why one waits that jobs are ahead of which ask for the same.

    told: why the first of them waits. alike: how many they are. at: when this one should start.
    """
    if alike == 1:
        text = f"job {first.job} asks for the same and is ahead of it: {told}"
    else:
        text = f"{alike} jobs that ask for the same are ahead of it; the first, job {first.job}: {told}"
    return text if at is None else f"{text}; job {entry.job} should start {_soon(at, now)}"


def resume_reason(late: Resumption, wait: Wait, now: float, users: Sequence[str]) -> str:
    """Return why a suspended allocation does not go on."""
    if wait.rule is Rule.LIMIT:
        held, limit = wait.numbers["held"], wait.numbers["limit"]
        text = f"{late.user} holds {held} CPUs, its own {late.cpus} are more than the {limit}"
        return f"{text} that one user may hold"
    free = wait.numbers["free_cpus"]
    text = f"it is to go on, on the very CPUs it had: {free} of {late.cpus} are free"
    text += f"; it waits for {jobs(users)} to end" if users else ""
    if wait.expected_start is not None:
        text += f"; it should go on {_soon(wait.expected_start, now)}"
    return text


def _where(request: Request) -> str:
    return f"on nodes with {request.constraint}, " if request.constraint else ""


def _held_by(blockers: Sequence[str], *, known: bool) -> str:
    """Tell those that must end, or, where no end is known, those of which some must."""
    if not blockers:
        return ""
    if known:
        return f"; it waits for {jobs(blockers)} to end"
    return f"; {jobs(blockers)} {'holds' if len(blockers) == 1 else 'hold'} what it needs"


def _resources(request: Request, numbers: Numbers) -> str:
    kind = str(numbers["short"])
    if kind == "idle":
        nodes, idle = counted(int(numbers["asked_idle"]), "whole node"), int(numbers["free_idle"])
        there = f"of {counted(int(numbers['usable']), 'node')} that could serve"
        return f"it needs {nodes}, and {there} {idle or 'none'} {'is' if idle <= 1 else 'are'} idle"
    key = kind.partition(":")[0]
    asked, free = int(numbers[f"asked_{key}"]), int(numbers[f"free_{key}"])
    most = int(numbers.get(f"most_{key}", 0))
    if request.nodes > 1 and numbers["free_nodes"] != numbers["asked_nodes"]:
        have = f"{numbers['free_nodes']} {'has' if numbers['free_nodes'] == 1 else 'have'}"
        need = f"it needs {request.nodes} nodes with room for a task of {task_of(request)}"
        return f"{need}, and {have} it now"
    if request.tasks > 1:
        text = f"its {request.tasks} tasks need {amount_of(kind, asked)}, and"
        if free >= asked:
            lie = f"the {amount_in(kind, free)} that are free lie where not all tasks fit"
            return f"{text} {lie}{_also(request, numbers)}"
        return f"{text} {amount_in(kind, free)} {_are(kind, free)} free{_also(request, numbers)}"
    if most >= asked:
        return f"it needs {task_of(request)} on one node, and no node has these free together"
    where = f"{numbers['most_on']} has the most free: " if "most_on" in numbers else "free: "
    text = f"it needs {amount_of(kind, asked)} on one node, and {where}{amount_in(kind, most)}"
    return text + _also(request, numbers)


def _also(request: Request, numbers: Numbers) -> str:
    """Tell what else would not fit by itself."""
    also = str(numbers.get("also", "")).split(",")
    lacks = [amount_of(kind, n * request.tasks) for kind, _, n in kinds(request) if kind in also]
    return f"; it lacks {joined(lacks, 'and')}, too" if lacks else ""


_LIMITED = {"running": "allocation", "cpus": "CPU", "cpu_minutes": "CPU-minute"}


def _limit(entry: WaitingView, numbers: Numbers) -> str:
    held, asked, limit = numbers["held"], numbers["asked"], numbers["limit"]
    if "whose" not in numbers:
        return f"{entry.user} holds {held} CPUs and it asks for {asked}; one user may hold {limit}"
    what, many = _LIMITED[str(numbers["what"])], "" if _round(held) == "1" else "s"
    return (
        f"{numbers['whose']} holds {_round(held)} {what}{many} and it asks for {_round(asked)}; "
        f"{limit} may be held"
    )


def _reserved(numbers: Numbers, now: float) -> str:
    opens = numbers.get("opens")
    if own := numbers.get("own"):
        if isinstance(opens, float):
            return f"its reservation {own} opens in {_until(opens, now)}"
        return f"its reservation {own} does not open to it any more"
    text = (
        f"nodes that would do are reserved ({numbers['reservations']}), or will be before it ends"
    )
    return text + (
        f"; they are open to it in {_until(opens, now)}" if isinstance(opens, float) else ""
    )


def _licences(numbers: Numbers) -> str:
    asked, left = int(numbers["asked_licences"]), int(numbers["free_licences"])
    have = f"{left or 'none'} {'is' if left <= 1 else 'are'} free"
    return f"it needs {asked} of licence {numbers['short']}, and {have}"


def _are(kind: str, count: int) -> str:
    return "is" if count == 1 or kind == "memory" else "are"


def _nodes(numbers: Numbers) -> str:
    asked, configured, usable = (int(numbers[k]) for k in ("asked", "configured", "usable"))
    text = f"it needs {counted(asked, 'node')}, and of {configured} that could serve {usable}"
    out = f": {numbers['unusable']}" if numbers.get("unusable") else ""
    return f"{text} {'is' if usable == 1 else 'are'} usable{out}"


def _node_left(request: Request, numbers: Numbers) -> str:
    kind = str(numbers["short"])
    key = kind.partition(":")[0]
    left = f"; {numbers['left']}, which was large enough, left" if numbers.get("left") else ""
    if request.tasks > 1:
        asked, most = int(numbers[f"asked_{key}"]), int(numbers[f"configured_{key}"])
        need = f"its {request.tasks} tasks need {amount_of(kind, asked)}"
        return f"{need}, and the nodes that are left have {amount_in(kind, most)}{left}"
    most = int(numbers.get(f"most_{key}", 0))
    where = f" on {numbers['most_on']}" if "most_on" in numbers else ""
    need = f"it needs {task_of(request)} on one node"
    return f"{need}, and the nodes that are left have at most {amount_of(kind, most)}{where}{left}"


def told_by_core(wait: Wait, now: float, blockers: Sequence[str]) -> str:
    """Return why something waits by a rule that the core alone knows of."""
    numbers = wait.numbers
    match wait.rule:
        case Rule.HOLD:
            by = numbers.get("held_by")
            return f"it is held by {by}" if by else "it is held"
        case Rule.DEPENDENCY if "each" in numbers:
            count = counted(int(numbers["each"]), "element")
            return f"{count} of it wait one by one for those of {jobs(blockers)} to succeed"
        case Rule.DEPENDENCY:
            return f"it waits for {jobs(blockers) if blockers else 'another job'} to end"
        case Rule.NOT_BEFORE:
            return f"it was submitted to start no sooner than {_at(numbers, now)}"
        case Rule.RETRY:
            return f"its last start failed; the next try is {_at(numbers, now)}"
        case Rule.PARTITION:
            return _stopped(numbers)
        case Rule.SCHEDULER:
            return _planned_by(numbers)
        case Rule.CONFIGURATION:
            return _elsewhere(numbers, now)
        case Rule.ARRAY_CAP:
            live, cap = numbers.get("live", "its"), numbers.get("cap", "as many as allowed")
            return f"{live} of its elements run, and at most {cap} may run at once"
        case _:
            return "no planning pass has looked at it yet"


def _stopped(numbers: Numbers) -> str:
    by = f" by {numbers['by']}" if numbers.get("by") else ""
    why = f": {numbers['why']}" if numbers.get("why") else ""
    return f"partition {numbers.get('partition', 'of it')} is stopped{by}{why}"


def _planned_by(numbers: Numbers) -> str:
    text = f"scheduler {numbers['scheduler']} plans partition {numbers['partition']}"
    if numbers.get("unasked"):
        return f"{text}, and nobody asks it what it would do then"
    why = numbers.get("why")
    return f"{text} and says: {why}" if why else f"{text}: it has not started it"


def _elsewhere(numbers: Numbers, now: float) -> str:
    partition, active, other = (numbers[key] for key in ("partition", "active", "configuration"))
    has = "nodes that would do" if numbers.get("some") else "nodes"
    text = f"partition {partition} has no {has} in configuration {active}; {other} brings them"
    at = numbers.get("at")
    return f"{text} in {_until(at, now)}" if isinstance(at, int | float) else text


def _at(numbers: Numbers, now: float) -> str:
    at = numbers.get("at")
    return f"in {_until(at, now)}" if isinstance(at, int | float) else "later"


def _round(count: float | str) -> str:
    return f"{round(float(count), 1):.10g}"


def _soon(at: float, now: float) -> str:
    """Return when something should be; what it waits for may be late already."""
    return f"in {_until(at, now)}" if at - now >= _SHOWN else "at any moment"


def _until(at: float, now: float) -> str:
    return format_duration(max(at - now, 0.0))

"""What somebody asks of a machine's queue, and the answer: plain values, for whoever knows the queue.

A question is asked of an engine, in whichever process has one; nothing of what it supposes remains.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from ostler.model.errors import Refused
from ostler.model.suppose import MoreNodes
from ostler.schedule.can_ever import can_ever
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explained
from ostler.schedule.horizon import foresee
from ostler.schedule.promised import NOTHING, Promised, engine_that_keeps
from ostler.schedule.snapshot import Delta, Explanation, Snapshot, Start, WaitingView
from ostler.schedule.whatif import supposed_nodes


class Question(Struct, frozen=True, omit_defaults=True, tag="one"):
    """Why does this job wait, and when will it start? As it is, or as it is supposed to be."""

    job: int
    supposed: WaitingView | None = None  # how it would wait; None: as it does
    new: bool = False  # nobody has submitted it: it is in no queue
    more: tuple[MoreNodes, ...] = ()
    without: tuple[str, ...] = ()


class Answered(Struct, frozen=True, omit_defaults=True, tag="one"):
    """The answer. before: as it is, beside what is supposed; None: nothing is, or it is a new job."""

    after: Explanation
    before: Explanation | None = None
    nodes: list[str] = []  # what was supposed of nodes, in words


class Several(Struct, frozen=True, tag="several"):
    """What would become of these new jobs? They would be submitted together."""

    views: tuple[WaitingView, ...]


class Outcome(Struct, frozen=True, array_like=True):
    """What would become of one of them."""

    job: int
    rule: str  # by which it would wait; empty: it would start
    expected_start: float | None  # Unix seconds; None: nobody can tell
    starts_now: int  # elements


class Outcomes(Struct, frozen=True, tag="several"):
    """What would become of each, in their order."""

    found: list[Outcome]


Asked = Question | Several
Found = Answered | Outcomes


def reply(engine: Engine, now: float, asked: Asked) -> Found:
    """Return the answer to either; see `answer` for what it raises."""
    if isinstance(asked, Several):
        return outcomes(engine, now, asked.views)
    return answer(engine, now, asked)


def outcomes(engine: Engine, now: float, views: Sequence[WaitingView]) -> Outcomes:
    """Return what would become of jobs that are submitted together; the engine stays as it is."""
    trial = engine.copy()
    trial.apply(Delta(waiting=list(views)))
    plan = trial.plan(now)
    starts = Counter(line.job for line in plan.lines if isinstance(line, Start))
    open_ones = {v.job for v in views if v.blocked is None and not starts[v.job]}
    ahead = foresee(trial, now, open_ones).found if open_ones else {}
    found = []
    for view in views:
        wait = plan.waits.get(view.job)
        at = wait.expected_start if wait is not None else None
        if view.job in ahead:
            at = ahead[view.job].at
        if starts[view.job] or wait is None:
            found.append(Outcome(view.job, "", now, starts[view.job]))
        else:
            found.append(Outcome(view.job, str(wait.rule), at, 0))
    return Outcomes(found)


def answer(engine: Engine, now: float, question: Question) -> Answered:
    """Return the answer; the engine stays as it is. now: Unix seconds.

    Raises `Missing` if nothing of the job waits, or for nodes that do not exist, and `Refused` for
    what the nodes that are supposed could never hold.
    """
    job, view = question.job, question.supposed
    if view is None:
        return Answered(explained(engine.copy(), now, job))
    before, after = engine.copy(), engine.copy()
    nodes, told = supposed_nodes(
        engine.picture.nodes, view.partition, question.more, question.without
    )
    after.apply(Delta(nodes=nodes, waiting=[view]))
    if refusal := can_ever(view.request, view.partition, after.picture.nodes.values()):
        raise Refused(refusal)
    if question.new:
        before.apply(Delta(waiting=[view]))
    was = explained(before, now, job) if nodes or not question.new else None
    return Answered(explained(after, now, job), was, told)


def answer_from(
    snapshot: Snapshot, now: float, asked: Asked, promised: Promised = NOTHING
) -> Found:
    """Return the answer of a machine as it is shown, where that has been promised."""
    return reply(engine_that_keeps(promised, snapshot), now, asked)

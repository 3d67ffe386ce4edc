"""What somebody asks of a machine's queue, and the answer: plain values, for whoever knows the queue.

A question is asked of an engine, in whichever process has one; nothing of what it supposes remains.
"""

from msgspec import Struct

from ostler.model.errors import Refused
from ostler.model.suppose import MoreNodes
from ostler.schedule.can_ever import can_ever
from ostler.schedule.engine import Engine
from ostler.schedule.explain import engine_of, explained
from ostler.schedule.snapshot import Delta, Explanation, Snapshot, WaitingView
from ostler.schedule.whatif import supposed_nodes


class Question(Struct, frozen=True, omit_defaults=True):
    """Why does this job wait, and when will it start? As it is, or as it is supposed to be."""

    job: int
    supposed: WaitingView | None = None  # how it would wait; None: as it does
    new: bool = False  # nobody has submitted it: it is in no queue
    more: tuple[MoreNodes, ...] = ()
    without: tuple[str, ...] = ()


class Answered(Struct, frozen=True, omit_defaults=True):
    """The answer. before: as it is, beside what is supposed; None: nothing is, or it is a new job."""

    after: Explanation
    before: Explanation | None = None
    nodes: list[str] = []  # what was supposed of nodes, in words


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


def answer_from(snapshot: Snapshot, now: float, question: Question) -> Answered:
    """Return the answer of a machine that nobody keeps an engine for."""
    return answer(engine_of(snapshot), now, question)

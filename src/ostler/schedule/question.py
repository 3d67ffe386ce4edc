"""What somebody asks of a machine's queue, and the answer: plain values, for whoever knows the queue.

A question is asked of a snapshot, in whichever process has one; nothing of what it supposes remains.
"""

from msgspec import Struct
from msgspec.structs import replace

from ostler.model.errors import Refused
from ostler.model.suppose import MoreNodes
from ostler.schedule.can_ever import can_ever
from ostler.schedule.explain import explain
from ostler.schedule.snapshot import Explanation, Snapshot, WaitingView
from ostler.schedule.whatif import with_nodes


class Question(Struct, frozen=True, omit_defaults=True):
    """Why does this job wait, and when will it start? As it is, or as it is supposed to be."""

    job: int
    supposed: WaitingView | None = None  # how it would wait; None: as it does
    new: bool = False  # nobody has submitted it: it is in no queue
    more: tuple[MoreNodes, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def of_nodes(self) -> bool:
        """Say whether other nodes are supposed."""
        return bool(self.more or self.without)


class Answered(Struct, frozen=True, omit_defaults=True):
    """The answer. before: as it is, beside what is supposed; None: nothing is, or it is a new job."""

    after: Explanation
    before: Explanation | None = None
    nodes: list[str] = []  # what was supposed of nodes, in words


def answer(snapshot: Snapshot, now: float, question: Question) -> Answered:
    """Return the answer. now: Unix seconds.

    Raises `Missing` if nothing of the job waits, or for nodes that do not exist, and `Refused` for
    what the nodes that are supposed could never hold.
    """
    job, view = question.job, question.supposed
    if view is None and not question.of_nodes:
        return Answered(explain(snapshot, now, job))
    before = None
    if not question.new:
        before = explain(snapshot, now, job)
    elif question.of_nodes and view is not None:
        before = explain(_with(snapshot, view), now, job)
    machine, told = snapshot, list[str]()
    if view is not None:
        machine = _with(snapshot, view)
        if question.of_nodes:
            machine, told = with_nodes(machine, view.partition, question.more, question.without)
        if refusal := can_ever(view.request, view.partition, machine.nodes):
            raise Refused(refusal)
    return Answered(explain(machine, now, job), before, told)


def _with(snapshot: Snapshot, view: WaitingView) -> Snapshot:
    """Return the machine where this one waits, in place of the job of that number if there is one."""
    waiting = [other for other in snapshot.waiting if other.job != view.job]
    return replace(snapshot, waiting=[*waiting, view])

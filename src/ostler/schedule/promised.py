"""What an engine has promised so far: plans keep it, and no snapshot of the machine tells it."""

from typing import NamedTuple

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.head import Told
from ostler.schedule.pledges import Pledge
from ostler.schedule.promises import Promises
from ostler.schedule.snapshot import Snapshot, whole


class Promised(NamedTuple):
    """The promises of one engine, to be kept by another."""

    books: dict[str, Promises]  # by partition
    pledges: dict[int, Pledge]  # by job
    told: dict[int, Told]  # by job; what EASY has promised


def promised_by(engine: Engine) -> Promised:
    """Return what an engine has promised; it may go on meanwhile."""
    heads = {head.job: Told(Rule.RESOURCES, head.shadow) for head in engine.heads.values()}
    beside = engine.beside.items()
    others = {head.job: Told(rule, head.shadow) for (_, rule), head in beside}
    books = {partition: book.copy() for partition, book in engine.books.items()}
    return Promised(books, dict(engine.pledges), others | heads)


NOTHING = Promised({}, {}, {})


def engine_that_keeps(promised: Promised, snapshot: Snapshot) -> Engine:
    """Return an engine that was shown a machine, and keeps what another one has promised there."""
    engine = Engine()
    engine.apply(whole(snapshot))
    engine.books = {partition: book.copy() for partition, book in promised.books.items()}
    engine.pledges, engine.told = dict(promised.pledges), dict(promised.told)
    return engine

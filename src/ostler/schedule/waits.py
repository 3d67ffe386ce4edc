"""An entry to which starts are promised, and what it asks for."""

from msgspec import Struct

from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import Shape


class Waits(Struct):
    """What a promise is asked for."""

    job: int
    left: int  # elements that wait
    shape: Shape  # on the nodes that are open to it now
    duration: float  # seconds; inf without a limit
    asked: tuple[object, ...]  # what a promise holds for
    view: WaitingView

"""A client who waits for jobs to end."""

from typing import Any

from msgspec import Struct

from ostler.core.effects import Address
from ostler.model.ids import Ref


class Waiter(Struct):
    """One client's request to wait; answered once, when nothing of it is unfinished."""

    to: Address
    refs: tuple[Ref, ...]
    attach: bool
    left: set[int]  # jobs that are not over
    rows: dict[int, list[dict[str, Any]]] = {}  # job -> what to answer, taken as it ends

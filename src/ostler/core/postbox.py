"""What is remembered of those who post events and of those who read them."""

from collections import OrderedDict
from typing import Any

from ostler.model.record import Subscriber

REMEMBERED = 1_000  # requests to post; older ones are looked up in the database


class Postbox:
    """Subscribers, and events that were posted a short while ago."""

    __slots__ = ("posted", "subscribers")

    def __init__(self) -> None:
        self.subscribers: dict[tuple[int, str], Subscriber] = {}  # by uid and name
        # The answer to each request, by uid and request id, newest last.
        self.posted: OrderedDict[tuple[int, str], dict[str, Any]] = OrderedDict()

    def remember(self, uid: int, request_id: str, row: dict[str, Any]) -> None:
        """Note the answer to a request, should it come again."""
        self.posted[uid, request_id] = row
        if len(self.posted) > REMEMBERED:
            self.posted.popitem(last=False)

"""What is remembered of those who post events or change the site, and of those who read."""

from collections import OrderedDict
from typing import Any

from ostler.model.record import Subscriber

REMEMBERED = 1_000  # requests of a kind; older ones are looked up in the database


class Answers:
    """What was answered to requests a short while ago, by uid and request id."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], dict[str, Any]] = OrderedDict()  # newest last

    def find(self, uid: int, request_id: str) -> dict[str, Any] | None:
        """Return the answer if that request was answered; without an id none ever was."""
        return self._known.get((uid, request_id)) if request_id else None

    def remember(self, uid: int, request_id: str, answer: dict[str, Any]) -> None:
        """Note the answer to a request, should it come again."""
        self._known[uid, request_id] = answer
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


class Postbox:
    """Subscribers, and what was posted and changed a short while ago."""

    __slots__ = ("changed", "posted", "subscribers")

    def __init__(self) -> None:
        self.subscribers: dict[tuple[int, str], Subscriber] = {}  # by uid and name
        self.posted, self.changed = Answers(), Answers()

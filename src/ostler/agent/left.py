"""Descriptors that clients of `run` leave here until the share they belong to is handed out."""

import asyncio
from collections import Counter
from collections.abc import Callable

from ostler.wire.conn import Connection
from ostler.wire.descriptors import let_go

_STDIO = 3  # descriptors 0, 1 and 2
_MOST_OF_ONE_USER = 256  # sets that may wait
_TOKEN = 200  # characters


class Left:
    """What one client left, for as long as its connection lasts."""

    __slots__ = ("descriptors", "link", "uid")

    def __init__(self, link: Connection, descriptors: list[int]) -> None:
        self.link = link
        self.uid = link.peer.uid
        self.descriptors = descriptors


class LeftDescriptors:
    """All sets, by the token under which their client submitted."""

    def __init__(self) -> None:
        self._sets: dict[str, Left] = {}
        self._of_user: Counter[int] = Counter()
        self._waiters: dict[str, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()

    def leave(self, link: Connection, token: str, descriptors: list[int]) -> str:
        """Take a set; return one sentence if it is refused, and then the descriptors are closed."""
        refusal = self._refusal(link.peer.uid, token, descriptors)
        if refusal:
            let_go(descriptors)
            return refusal
        self._sets[token] = Left(link, descriptors)
        self._of_user[link.peer.uid] += 1
        waiter = self._waiters.pop(token, None)
        if waiter is not None:
            self._loop.call_soon(waiter)
        return ""

    def _refusal(self, uid: int, token: str, descriptors: list[int]) -> str:
        if len(descriptors) != _STDIO:
            return f"{len(descriptors)} descriptors came with the token, not {_STDIO}"
        if not token or len(token) > _TOKEN:
            return f"a token has 1 to {_TOKEN} characters"
        if token in self._sets:
            return "this token is in use"
        if self._of_user[uid] >= _MOST_OF_ONE_USER:
            return f"{_MOST_OF_ONE_USER} clients of this user wait already"
        return ""

    def take(self, token: str, uid: int) -> list[int] | None:
        """Return the set of this user's client, the caller's to close; None if there is none."""
        left = self._sets.get(token)
        if left is None or left.uid != uid:
            return None
        self._remove(token)
        return left.descriptors

    def when_left(self, token: str, call: Callable[[], None]) -> None:
        """Call when a set comes under this token; once."""
        self._waiters[token] = call

    def stop_waiting(self, token: str) -> None:
        """Call nobody any more."""
        self._waiters.pop(token, None)

    def gone(self, link: Connection) -> None:
        """Close what a client left that has gone."""
        for token in [token for token, left in self._sets.items() if left.link is link]:
            let_go(self._sets[token].descriptors)
            self._remove(token)

    def _remove(self, token: str) -> None:
        left = self._sets.pop(token)
        self._of_user[left.uid] -= 1
        if not self._of_user[left.uid]:
            del self._of_user[left.uid]

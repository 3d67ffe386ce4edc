"""In which order the manager's loop hears connections: people first, nodes a few at a time.

A thousand nodes may report in one moment, and a loop that takes all that is ready before it goes on
keeps whoever asks for a listing waiting at each of the few turns that an answer takes.
"""

import selectors
from collections.abc import Mapping
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT, epoll
from typing import Any

NODES = 16  # connections of nodes heard in one turn of the loop: some milliseconds
FRONT = 256  # others in one turn; the kernel goes on with the next, and its list is made each turn

Ready = list[tuple[selectors.SelectorKey, int]]


class Turnstile(selectors.BaseSelector):
    """A selector that lets those that were put behind through a few at a time, in turn.

    They are never shut out: each turn takes as many of them, whoever else is there.
    """

    def __init__(self, most: int = NODES) -> None:
        self._front, self._back = epoll(), epoll()
        self._front.register(self._back.fileno(), EPOLLIN)
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._behind: set[int] = set()
        self._most = most

    def put_behind(self, fd: int) -> None:
        """Let others go before this connection, until it is unregistered."""
        if fd in self._keys and fd not in self._behind:
            self._front.unregister(fd)
            self._behind.add(fd)
            self._back.register(fd, _mask(self._keys[fd].events))

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Add a file; raise KeyError if it is there."""
        fd = _number(fileobj)
        if fd in self._keys:
            raise KeyError(fileobj)
        self._front.register(fd, _mask(events))
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Remove a file, which may be closed already; raise KeyError."""
        key = self._keys.pop(_number(fileobj))
        with suppress(OSError):  # closing it has done that
            self._poll(key.fd).unregister(key.fd)
        self._behind.discard(key.fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change what is waited for, where it stands; raise KeyError."""
        old = self._keys[_number(fileobj)]
        if events != old.events:
            self._poll(old.fd).modify(old.fd, _mask(events))
        key = self._keys[old.fd] = old._replace(events=events, data=data)
        return key

    def _poll(self, fd: int) -> epoll:
        return self._back if fd in self._behind else self._front

    def select(self, timeout: float | None = None) -> Ready:
        """Return who is ready, those behind last; wait up to so many seconds, None: for ever."""
        seconds = -1.0 if timeout is None else max(timeout, 0.0)
        try:
            found = self._front.poll(seconds, FRONT)
        except InterruptedError:
            return []
        back = self._back.fileno()
        if any(fd == back for fd, _ in found):
            found = [one for one in found if one[0] != back] + self._back.poll(0, self._most)
        keys = self._keys
        return [(keys[fd], _events(mask) & keys[fd].events) for fd, mask in found if fd in keys]

    def close(self) -> None:
        """Let go of the kernel's tables; files stay open."""
        self._front.close()
        self._back.close()
        self._keys.clear()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return what a file was registered with; raise KeyError."""
        return self._keys[_number(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the keys by descriptor."""
        return self._keys


def _number(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


def _mask(events: int) -> int:
    read = EPOLLIN if events & selectors.EVENT_READ else 0
    return read | (EPOLLOUT if events & selectors.EVENT_WRITE else 0)


def _events(mask: int) -> int:
    """Return what a mask means: errors and hang-ups wake readers and writers."""
    read = selectors.EVENT_READ if mask & ~EPOLLOUT else 0
    return read | (selectors.EVENT_WRITE if mask & ~EPOLLIN else 0)

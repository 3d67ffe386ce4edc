"""Ends on a node that is a job of another resource manager, which may be of that job's own end.

Such a job is ended by a signal to all its processes at about the same time, so that an element may
be over before the agent hears of it. What failed is therefore told a moment later, and never by an
agent that was told to stop meanwhile: that element is lost with its node, and has not failed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from ostler.core.agent_words import Event, ShareEnded, ShareMade, ShareProgress, ShareStarted
from ostler.model.ids import AllocationId
from ostler.model.job import TaskExit
from ostler.model.states import Result

MOMENT = 1.0  # seconds for which an end is held back


class Farewell:
    """What is held back, by share, so that each is told of in the order in which it happened."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._held: dict[AllocationId, deque[tuple[float, Event]]] = {}  # with when it is due
        self._is_said = False

    def say(self) -> None:
        """Tell of no share any more: the node ends."""
        self._is_said = True
        self._held.clear()

    def holds(self, event: Event) -> bool:
        """Say whether an event is held back here; it is told later, if at all."""
        alloc = _share_of(event)
        if alloc is None:
            return False
        if self._is_said:
            return True
        is_doubtful = _may_be_of_the_nodes(event)
        queue = self._held.get(alloc)
        if queue is None and not is_doubtful:
            return False
        due = self._loop.time() + MOMENT if is_doubtful else 0.0
        if queue is None:
            self._held[alloc] = deque([(due, event)])
            self._loop.call_at(due, self._release, alloc)
        else:
            queue.append((due, event))
        return True

    def _release(self, alloc: AllocationId) -> None:
        queue = self._held.get(alloc)
        while queue and queue[0][0] <= self._loop.time():
            self._tell(queue.popleft()[1])
        if queue:
            self._loop.call_at(queue[0][0], self._release, alloc)
        else:
            self._held.pop(alloc, None)


def _share_of(event: Event) -> AllocationId | None:
    match event:
        case ShareMade(alloc) | ShareStarted(alloc):
            return alloc
        case ShareProgress(row) | ShareEnded(row):
            return row.alloc
    return None


def _may_be_of_the_nodes(event: Event) -> bool:
    match event:
        case ShareProgress(row):
            return any(_failed(end.cause, end.tasks) for end in row.ended)
        case ShareEnded(row):
            return _failed(row.cause, row.tasks)
    return False


def _failed(cause: str, tasks: Sequence[TaskExit]) -> bool:
    """Say whether something failed, or its starter died, that nobody had ordered to end."""
    return cause == Result.LOST or (not cause and any(task.code or task.signal for task in tasks))

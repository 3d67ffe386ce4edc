"""What a caller holds, and what can go wrong with it."""

import concurrent.futures
from collections.abc import Sequence
from concurrent.futures._base import CANCELLED
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from ostler.client.asks import JobInfo
from ostler.client.executor.parcels import Part, unpickled

T = TypeVar("T")


class WorkerDied(concurrent.futures.BrokenExecutor):
    """The worker that ran a function is gone, or no worker can be had any longer.

    job: the id of the worker's element, or of the job. info: how it ended, where that is known.
    """

    def __init__(self, message: str, job: str, info: JobInfo | None = None) -> None:
        super().__init__(message)
        self.job = job
        self.info = info


class RemoteTraceback(Exception):
    """The traceback of an exception in the worker, as text; it is the exception's `__cause__`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the traceback, set apart from what is printed around it."""
        return f'\n"""\n{self.text}"""'


class RemoteError(Exception):
    """An exception that cannot be sent; its last line stands for it."""


class Caller(Protocol):
    """Who runs the call of a future."""

    def end(self, future: "Future[Any]") -> bool: ...
    def cancelled(self) -> None: ...


class Future(concurrent.futures.Future[T]):
    """A future whose function can also be cancelled while it runs."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self._caller = caller

    def cancel(self, *, running: bool = False) -> bool:
        """Cancel the call if it has not begun; return whether it is cancelled.

        running: cancel it even then: its worker is ended and another started in its place, and
        `result()` raises `CancelledError`.
        """
        if not super().cancel():
            return running and self._caller.end(self)
        with self._condition:  # who waits is told now; no worker may come for a long time
            if self._state == CANCELLED:
                super().set_running_or_notify_cancel()
        self._caller.cancelled()
        return True

    def set_running_or_notify_cancel(self) -> bool:
        """Say whether it is to be called; it can then no longer be cancelled just like that."""
        with self._condition:
            return not self.cancelled() and super().set_running_or_notify_cancel()


class Item:
    """One call that is asked for."""

    __slots__ = ("future", "number", "parts", "tries")

    def __init__(self, number: int, future: Future[Any], parts: Sequence[Part]) -> None:
        self.number = number
        self.future = future
        self.parts = parts
        self.tries = 0  # workers that died of it, or with it

    def begins(self) -> bool:
        """Say whether it is to be called; if so it can no longer be cancelled just like that."""
        return not self.future.done() if self.tries else self.future.set_running_or_notify_cancel()

    def returned(self, parts: Sequence[Part]) -> None:
        """Give the result."""
        try:
            value = unpickled(parts)
        except Exception as error:  # noqa: BLE001 - whatever the user's classes raise
            self.failed(error)
            return
        with suppress(concurrent.futures.InvalidStateError):  # it was cancelled meanwhile
            self.future.set_result(value)

    def raised(self, parts: Sequence[Part]) -> None:
        """Give the exception."""
        self.failed(rebuilt(parts))

    def failed(self, error: BaseException) -> None:
        """Give an exception of this side."""
        with suppress(concurrent.futures.InvalidStateError):
            self.future.set_exception(error)


def rebuilt(parts: Sequence[Part]) -> BaseException:
    """Return the exception that a worker sent, with its traceback as the cause."""
    text = bytes(parts[0]).decode(errors="replace")
    error: object = None
    if len(parts) > 1:
        try:
            error = unpickled(parts[1:])
        except Exception:  # noqa: BLE001 - whatever the user's classes raise
            error = None
    if not isinstance(error, BaseException):
        error = RemoteError(text.strip().rpartition("\n")[2])
    error.__cause__ = RemoteTraceback(text)
    return error

"""The manager's socket in the state folder, and who answers there while it cannot start."""

import asyncio
import contextlib
import os
from collections.abc import Callable

from ostler.manager.session import failure
from ostler.model.errors import NotNow, OstlerError
from ostler.wire import messages
from ostler.wire.address import dial, listen
from ostler.wire.conn import Connection, Listener


class Door:
    """A listening socket; raises `NotNow` when it cannot be made."""

    def __init__(self, path: str, accept: Callable[[Connection], None], *, system: bool) -> None:
        self._path = path
        try:
            sock = listen(path, 0o666 if system else 0o600)
            self._inode = os.stat(path).st_ino
        except OSError as error:
            raise NotNow(
                f"the socket {path} cannot be made: {error.strerror}",
                hint="make its folder writable, with some room",
            ) from error
        self._listener = Listener(sock, accept)

    def close(self) -> None:
        """Stop listening; the file goes too, unless another manager has put its own there."""
        self._listener.close()
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)


class Excuse:
    """Answers every request with the reason why the manager cannot start."""

    def __init__(self, path: str, *, system: bool) -> None:
        self._path = path
        self._system = system
        self._door: Door | None = None
        self._error: OstlerError = NotNow("the manager is starting")
        self._work: set[asyncio.Task[None]] = set()

    def give(self, error: OstlerError) -> bool:
        """Answer with this from now on; return whether it is something new.

        Nobody is answered where another manager serves: then this one only waits for its end.
        """
        new = str(error) != str(self._error)
        self._error = error
        if self._door is None and not _answers(self._path):
            with contextlib.suppress(NotNow):
                self._door = Door(self._path, self._accept, system=self._system)
        return new

    def _accept(self, link: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(link))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _serve(self, link: Connection) -> None:
        try:
            async for payload in link:
                link.send(messages.encode(failure(_number(payload), self._error)))
        except OstlerError as error:  # a frame too long: nothing after it can be read
            link.send(messages.encode(failure(0, error)))
        finally:
            link.close("the manager cannot start yet")

    def close(self) -> None:
        """Make room for the manager itself."""
        if self._door is not None:
            self._door.close()
        for task in self._work:
            task.cancel()


def _answers(path: str) -> bool:
    try:
        dial(path, 0.0).close()
    except BlockingIOError:  # it is there and busy
        return True
    except OSError:
        return False
    return True


def _number(payload: bytes) -> int:
    try:
        return getattr(messages.decode_request(payload), "id", 0)
    except messages.NO_MESSAGE:
        return 0

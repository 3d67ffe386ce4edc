"""The loop of a process beside the manager: frames from stdin, frames to stdout, forks in between.

What may hang, crash, flood or grow is done by forks; this loop waits for none of them. It ends
when its stdin does.
"""

import logging
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from ostler.wire.frames import Splitter
from ostler.wire.logs import log_to_stderr

_READ = 1 << 16  # bytes at a time: what a pipe holds
NEVER: Final = float("inf")

log = logging.getLogger("ostler.beside")


def begin() -> tuple[int, int]:
    """Prepare this process; return the descriptors of its frames, in and out."""
    log_to_stderr()
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the manager ends by it, then we
    return sys.stdin.fileno(), sys.stdout.fileno()


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write all of it, however long that takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


class Fork:
    """A child of the loop, and what it has said so far. until: monotonic, then it is killed."""

    def __init__(self, until: float = NEVER) -> None:
        self.pid, self.until = 0, until
        self.heard = bytearray()
        self.killed = False

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Return its status as `os.waitpid` tells it, once it has closed its pipe."""
        return os.waitpid(self.pid, 0)[1]


Kind = TypeVar("Kind", bound=Fork)


class Beside(Generic[Kind]):
    """The loop. A subclass takes frames, and what forks have said when they end."""

    def __init__(self, given: int, out: int, most: int) -> None:
        """Begin. most: bytes of one frame."""
        self._in, self._out = given, out
        self._splitter = Splitter(most)
        self._selector = selectors.DefaultSelector()
        self._forks: dict[int, Kind] = {}  # by their pipes

    def take(self, payload: bytes) -> None:
        """Take a frame."""
        raise NotImplementedError

    def ended(self, fork: Kind, status: int) -> None:
        """Take note that a fork has ended; status: as `os.waitpid` tells it."""
        raise NotImplementedError

    def between(self) -> None:
        """Do what is due now, after all that came has been taken."""

    def due(self) -> float:
        """Return when `between` is to be called even if nothing comes, monotonic."""
        return NEVER

    def say(self, data: bytes | bytearray) -> None:
        """Give something to the manager that is framed already."""
        write_all(self._out, data)

    def serve(self) -> None:
        """Go on until nobody gives frames any more."""
        self._selector.register(self._in, selectors.EVENT_READ, self._read)
        while True:
            known = self._selector.get_map()
            for key, mask in self._selector.select(self._patience()):
                if known.get(key.fd) is not key:
                    continue  # closed by what came before it
                if key.data(key.fd, mask) is False:
                    return
            for fork in self._forks.values():
                if not fork.killed and time.monotonic() >= fork.until:
                    fork.kill()
            self.between()

    def _patience(self) -> float | None:
        times = [fork.until for fork in self._forks.values() if not fork.killed]
        until = min([self.due(), *times])
        return None if until == NEVER else max(0.0, until - time.monotonic())

    def _read(self, fd: int, _: int) -> bool:
        data = os.read(fd, _READ)
        for payload in self._splitter.feed(data):
            self.take(payload)
        return bool(data)

    def fork(self, work: Callable[[int], None], fork: Kind) -> None:
        """Do it in a process of its own, which is given a pipe to write to and ends with it.

        Its status is 0, or 1 after a defect, which is in the log.
        """
        ours, theirs = os.pipe()
        fork.pid = os.fork()
        if fork.pid == 0:
            status = 1
            try:
                os.close(ours)
                self._close_in_fork()
                work(theirs)
                status = 0
            except Exception:
                log.exception("a defect was met")
            finally:
                os._exit(status)
        os.close(theirs)
        self._forks[ours] = fork
        self._selector.register(ours, selectors.EVENT_READ, self._hear)

    def hear(self, fork: Kind, data: bytes) -> None:
        """Take what a fork says."""
        fork.heard += data

    def _close_in_fork(self) -> None:
        """Close, in a fork, what only the loop is to have.

        Its stdin and stdout stay taken: what is opened next would else get their numbers, and in
        a program that the fork starts these are something else.
        """
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in (self._in, self._out):
            os.dup2(null, fd)
        os.close(null)
        for fd in self._forks:
            os.close(fd)

    def _hear(self, pipe: int, _: int) -> None:
        fork = self._forks[pipe]
        if data := os.read(pipe, _READ):
            self.hear(fork, data)
            return
        self._selector.unregister(pipe)
        os.close(pipe)
        del self._forks[pipe]
        self.ended(fork, fork.reap())

"""A terminal for a command elsewhere: a pair whose other end it gets, and bytes between the two."""

import fcntl
import os
import select
import termios
from typing import Self

from ostler.client import raw_mode

_READ = 1 << 16
_MOST_KEPT = 1 << 16  # bytes typed that the command has not read


class Terminal:
    """While it is entered, the terminal on descriptor 0 is raw, and its keys go to the command."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.descriptors = (slave, slave, slave)
        self._ours = raw_mode.Terminal()
        self._typed = b""
        self._is_left = False  # nobody has the other end
        self._is_shut = False  # no more keys come
        os.set_blocking(self._master, False)
        self.resize()

    def __enter__(self) -> Self:
        self._ours.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.leave()
        os.close(self._master)

    def lend(self) -> None:
        """Let go of the command's end, which it has by now."""
        os.close(self.descriptors[0])

    def resize(self) -> None:
        """Give the command's end the size of ours; the kernel tells the command."""
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def register(self, waiting: select.poll) -> None:
        """Say what to wait for."""
        typed = select.POLLOUT if self._typed else 0
        if not self._is_left:
            waiting.register(self._master, select.POLLIN | typed)
        if len(self._typed) < _MOST_KEPT and not self._is_shut:
            waiting.register(0, select.POLLIN)

    def pass_on(self, ready: dict[int, int]) -> None:
        """Pass keys to the command and what it prints to us, as far as either is there."""
        if 0 in ready:
            self._typed += self._keys()
        if self._typed:
            try:
                self._typed = self._typed[os.write(self._master, self._typed) :]
            except BlockingIOError:
                pass  # it does not read now
            except OSError:
                self._typed = b""  # nobody has the other end
        told = ready.get(self._master, 0)
        if told & select.POLLIN:
            self._print()
        elif told & select.POLLHUP:
            self._is_left = True

    def _keys(self) -> bytes:
        try:
            data = os.read(0, _READ)
        except OSError:  # our own terminal has gone
            data = b""
        self._is_shut = not data
        return data

    def _print(self) -> bool:
        """Print what there is; return whether there may be more."""
        try:
            data = os.read(self._master, _READ)
        except OSError:  # nothing now, or nobody has the other end
            return False
        while data:
            data = data[os.write(1, data) :]
        return True

    def drain(self) -> None:
        """Print the last words of a command that has ended."""
        while self._print():
            pass

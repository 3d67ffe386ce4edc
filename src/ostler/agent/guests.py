"""Commands of `ostler exec` inside a share, as its starter runs them: children beside the tasks.

They are born in the share's control groups, on its CPUs, with its user and environment. The share
does not wait for them: they are killed with whatever else is left when its tasks have ended.
"""

import os
import signal
import sys

from ostler.agent.share import Share
from ostler.agent.spawn import NOT_EXECUTABLE, CannotRun, Command
from ostler.agent.telling import Message, Tell

_PARTING = (signal.SIGHUP, signal.SIGCONT)  # to those whose client has gone
MOST = 64  # at once in one share


# A session has its terminal only from a process of its own: that one then becomes the command.
_WITH_TERMINAL = """
import fcntl, os, sys, termios
try:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
except OSError:
    pass
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(f"ostler: {sys.argv[1]} cannot be run: {error.strerror}", file=sys.stderr)
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)
"""


class Guest:
    """What a client wants to be run. term: the kind of its terminal; empty: it has none."""

    __slots__ = ("_argv", "_term")

    def __init__(self, argv: list[bytes], term: bytes) -> None:
        self._argv = argv
        self._term = term

    def command(self) -> tuple[list[bytes], dict[bytes, bytes]]:
        """Return the words to start it with, and what it has in its environment beside the job's."""
        if not self._term:
            return self._argv, {}
        python = [os.fsencode(sys.executable), b"-SEI", b"-c", _WITH_TERMINAL.encode()]
        return [*python, *self._argv], {b"TERM": self._term}


class Guests:
    """The guests of one share, by their process."""

    def __init__(self, share: Share, tell: Tell) -> None:
        self._share = share
        self._tell = tell
        self._numbers: dict[int, int] = {}  # pid -> the agent's number for it

    def __bool__(self) -> bool:
        return bool(self._numbers)

    @property
    def is_full(self) -> bool:
        """Say whether no more are taken in."""
        return len(self._numbers) >= MOST

    def start(self, number: int, command: Command, own: list[bytes], stdio: list[int]) -> None:
        """Start one with these descriptors as its 0, 1, 2; tell at once if it cannot be."""
        try:
            pid = command.start(own, (stdio[0], stdio[1], stdio[2]))
        except CannotRun as error:
            self._over(number, code=error.code, why=error.why + error.more)
        except OSError as error:
            why = f"{self._share.node} could not start it: {error.strerror}"
            self._over(number, code=NOT_EXECUTABLE, why=why)
        else:
            self._numbers[pid] = number

    def refuse(self, number: int, why: str) -> None:
        """Tell that it is not started, for a reason of the share's."""
        self._tell(
            {"type": "guest", "alloc": self._share.alloc, "guest": number, "why": why, "ran": False}
        )

    def ended(self, pid: int, code: int, status: int) -> None:
        """Tell how one ended, if the process is one. code, status: as of `waitid`."""
        number = self._numbers.pop(pid, None)
        if number is not None:
            exited = code == os.CLD_EXITED
            self._over(number, code=status if exited else 0, signum=0 if exited else status)

    def _over(self, number: int, *, code: int = 0, signum: int = 0, why: str = "") -> None:
        told: Message = {"type": "guest", "alloc": self._share.alloc, "guest": number}
        self._tell({**told, "code": code, "signal": signum, "why": why})

    def signal(self, number: int, signum: int) -> None:
        """Send a signal to the process group of one."""
        for pid, known in self._numbers.items():
            if known == number:
                _send(pid, (signum,))

    def part(self, number: int | None = None) -> None:
        """Let one, or all, know that their client has gone."""
        for pid, known in self._numbers.items():
            if number in (None, known):
                _send(pid, _PARTING)


def _send(pid: int, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        try:
            os.killpg(pid, number)
        except OSError:
            return  # it has ended this moment, or is another user's now by its own setuid

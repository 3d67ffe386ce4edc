"""The terminal at descriptor 0, in raw mode for as long as a task elsewhere has its place."""

import fcntl
import posix
import struct
import termios

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from typing import Any


def window_of(fd: int) -> tuple[int, int] | None:
    """Return rows and columns of a terminal; None where there is none."""
    try:
        rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return None
    return rows, columns


class Terminal:
    """Our own terminal: raw between `enter` and `leave`, which may be called at any time."""

    def __init__(self) -> None:
        self._modes: list[Any] | None = None

    @property
    def is_raw(self) -> bool:
        """Say whether it is at present."""
        return self._modes is not None

    def enter(self) -> None:
        """Pass every key on as it is; nothing is done where 0 is no terminal."""
        if not posix.isatty(0):
            return
        modes = termios.tcgetattr(0)
        if self._modes is None:
            self._modes = [*modes[:6], list(modes[6])]
        modes[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP)
        modes[0] &= ~(termios.INLCR | termios.IGNCR | termios.IXON | termios.PARMRK)
        modes[1] &= ~termios.OPOST
        modes[2] = (modes[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        modes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN)
        modes[3] &= ~termios.ISIG
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSADRAIN, modes)

    def leave(self) -> None:
        """Make it again what it was."""
        if self._modes is not None:
            modes, self._modes = self._modes, None
            try:
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
            except (OSError, termios.error):
                return  # it is gone

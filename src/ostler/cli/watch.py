"""`ostler jobs --watch`: a table that is drawn anew in its place, with what every terminal knows."""

import _signal  # type: ignore[import-not-found] # the C half of `signal`, which loads enum
import posix
import select

from ostler.cli.output import cut, write_all
from ostler.client.link import Link
from ostler.model.errors import UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY_MS = 1000
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[H\x1b[2J"


def watch(link: Link, draw: "Callable[[], str]") -> int:
    """Show what `draw` returns each second, and when the terminal's size changes, until Ctrl-C."""
    if not posix.isatty(1):
        raise UsageError(
            "--watch needs a terminal", hint="for a program: `ostler events -f --json`"
        )
    plain = posix.environ.get(b"TERM", b"dumb") == b"dumb"
    out, into = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
    _signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGWINCH, lambda _number, _frame: None)
    # It is the only way out, also where our parent ignores it, as a shell does for what it puts
    # into the background.
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    first = not plain
    try:
        while True:
            text = draw()
            write_all(1, f"{text}\n\n".encode() if plain else _screen(text, first=first))
            first = _pause(link, out) and not plain
    except KeyboardInterrupt:
        return 0
    finally:
        write_all(1, b"\n")


def _screen(text: str, *, first: bool) -> bytes:
    """Return what draws the lines over the old ones: as many as the terminal has room for."""
    size = posix.get_terminal_size(1)
    lines = text.split("\n")
    most = max(size.lines - 1, 1)
    if len(lines) > most:
        lines[most - 1 :] = [cut(f"… {len(lines) - most + 1} more", size.columns)]
    drawn = "\n".join(f"{line}{_REST_OF_LINE}" for line in lines)
    before = _CLEAR if first else _HOME
    return f"{before}{drawn}{_REST_OF_SCREEN}".encode("utf-8", "surrogateescape")


def _pause(link: Link, wakeup: int) -> bool:
    """Wait until it is time to look again; say whether the terminal has another size."""
    waiting = select.poll()
    waiting.register(wakeup, select.POLLIN)
    waiting.register(link.fileno(), select.POLLIN)
    ready = {fd for fd, _ in waiting.poll(_EVERY_MS)}
    if link.fileno() in ready:
        link.pump(0)  # nothing was asked, so the manager has closed it: connect again
    return wakeup in ready and bool(posix.read(wakeup, 4096))

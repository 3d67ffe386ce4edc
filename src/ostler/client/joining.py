"""A client's end of a job whose streams relays hold: finds them, and gives them our terminal."""

import _signal  # type: ignore[import-not-found] # the C half of `signal`, which loads enum
import posix
import select
import time

from ostler.client.place import exists
from ostler.client.raw_mode import Terminal, window_of
from ostler.client.stream import Streams
from ostler.wire.streams import FOLDER

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_USUAL = (24, 80)  # rows and columns where we have no terminal ourselves
_PAUSE_FIRST, _PAUSE_MOST = 5, 200  # milliseconds between tries to reach a relay
_IDLE = 5.0  # seconds after the job's end in which nothing came, though somebody holds a pipe
_KEY = 0x1D  # Ctrl-]: pressed so often within so many seconds, it leaves a terminal
_KEY_TIMES, _KEY_SECONDS = 3, 1.0


def own_window() -> tuple[int, int]:
    """Return the size of our terminal, or the usual one where we have none."""
    return window_of(0) or window_of(1) or _USUAL


class Joining:
    """The relays of one job: that of its machine, or in a lab those of its nodes.

    scattered: the nodes must be told by `at` once the job has some.
    """

    def __init__(self, state: str) -> None:
        self.scattered = exists(f"{state}/agents")
        self.stopped = ""  # why this client is to go though the job goes on: left, hung up, taken
        self._state = state
        self._job = ""
        self._terminal = Terminal()
        self._pressed: list[float] = []  # when the key to leave was pressed last
        self._pause = _PAUSE_FIRST
        self.streams = Streams(window_of(0), self._on_input)

    def follow(self, job: str) -> None:
        """Say which job it is."""
        self._job = job.replace(".", "-")  # see `relay_name`
        if not self.scattered:
            self.streams.at({"": f"{self._state}/{FOLDER}/{self._job}"})

    def at(self, nodes: "Iterable[str]") -> None:
        """Join the relays of these nodes."""
        folder = f"{self._state}/agents"
        self.streams.at({node: f"{folder}/{node}.streams/{self._job}" for node in nodes})

    @property
    def is_there(self) -> bool:
        """Say whether the relay can be reached at once."""
        return self.streams.connect()

    # -- see `Waiting` ---------------------------------------------------------------------

    def register(self, poll: "select.poll") -> None:
        """Add what there is to wait for."""
        self.streams.connect()
        self.streams.register(poll)

    @property
    def pause(self) -> int | None:
        """Return the milliseconds until relays are to be looked for again; None: all are joined."""
        if self.streams.connect():
            self._pause = _PAUSE_FIRST
            return None
        self._pause = min(2 * self._pause, _PAUSE_MOST)
        return self._pause

    def tend(self, ready: "Mapping[int, int]") -> None:
        """Move what can be moved."""
        self.streams.tend(ready)
        if self.streams.is_taken:
            self.stopped = "taken"
        if self.streams.is_terminal and not self._terminal.is_raw:
            self._terminal.enter()

    def signalled(self, number: int) -> None:
        """Do what a signal means that is not for the tasks."""
        if number == _signal.SIGQUIT:
            self._leave()
        elif number == _signal.SIGHUP:
            self.stopped = "hung up"
        elif number == _signal.SIGCONT:
            if self._terminal.is_raw:
                self._terminal.enter()
            self._resized()
        else:
            self._resized()

    @property
    def is_lost(self) -> bool:
        """Say whether output was lost with a relay."""
        return self.streams.is_lost

    def drain(self, step: "Callable[[int | None], None]") -> None:
        """Write what is still to come after the job's end. step: polls so many milliseconds."""
        self.streams.connect()
        since = time.monotonic()
        while self.streams.is_joined:
            moved = self.streams.moved
            step(0)
            if self.streams.moved != moved or self.streams.is_busy:
                since = time.monotonic()
                if self.streams.moved == moved:
                    step(None)
            elif self.streams.is_over or time.monotonic() - since > _IDLE:
                return
            else:
                step(_PAUSE_MOST)

    # -- the terminal ----------------------------------------------------------------------

    def _on_input(self, data: bytes) -> bool:
        """Look for the keys that leave a terminal: Ctrl-] three times within a second."""
        if self._terminal.is_raw and _KEY in data:
            now = time.monotonic()
            self._pressed += [now] * data.count(_KEY)
            self._pressed = self._pressed[-_KEY_TIMES:]
            if len(self._pressed) == _KEY_TIMES and now - self._pressed[0] <= _KEY_SECONDS:
                self._leave()
                return False
        return True

    def _leave(self) -> None:
        """Go, and let the job go on."""
        self.stopped = "left"
        self.streams.keep()

    def _resized(self) -> None:
        window = window_of(0)
        if window is not None:
            self.streams.resize(window)

    def close(self) -> None:
        """Let go of the relays, and make the terminal what it was."""
        if self._terminal.is_raw and self.stopped and posix.isatty(2):
            posix.write(2, b"\r\n")  # what comes now would stand behind the task's prompt
        self._terminal.leave()
        self.streams.close()

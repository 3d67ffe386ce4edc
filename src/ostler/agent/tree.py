"""Signals to everything below a process."""

import os
import signal

from ostler.agent.proc import descendants

_ROUNDS = 100  # a process that forks while its tree is walked is met in a later round


def send(pids: list[int], signum: int) -> None:
    """Send a signal to each; those that ended or belong to others by now are passed over."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except OSError:
            continue


def kill_below(top: int) -> None:
    """SIGKILL what is below a process now; what was forked meanwhile needs another call."""
    send(descendants(top), signal.SIGKILL)


def stop_below(top: int, signum: int) -> None:
    """Send SIGSTOP or SIGCONT to everything below a process, until no unknown one appears."""
    met: set[int] = set()
    for _ in range(_ROUNDS):
        new = [pid for pid in descendants(top) if pid not in met]
        if not new:
            return
        send(new, signum)
        met.update(new)

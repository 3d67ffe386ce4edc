"""How long the kernel lets this process run at a time, which decides how soon it may run again.

Daemons that want the CPU seldom and briefly are made to wait for it by tasks that want all of it,
the more so as each task is a session, and so a scheduling group, of its own: beside an array of
short tasks an answer waited 30 ms. A process that asks for short slices is served first.
"""

import contextlib
import ctypes
import os
import struct

_SYSCALL = {"x86_64": 314, "aarch64": 274}  # sched_setattr, which the C library does not offer
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, two more
_SHORT = 100_000  # nanoseconds, the least that the kernel grants


def take_short_slices() -> None:
    """Be served soon and briefly; children inherit it. Before Linux 6.12 nothing changes."""
    _ask(_SHORT)


def take_usual_slices() -> None:
    """Be served as others are."""
    _ask(0)


def give_way() -> None:
    """Be served as others are, and never the sooner for having slept; children inherit it."""
    take_usual_slices()
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _ask(runtime: int) -> None:
    number = _SYSCALL.get(os.uname().machine)
    if number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, runtime, 0, 0)
    with contextlib.suppress(OSError):  # forbidden here: then it is as it was
        ctypes.CDLL(None).syscall(number, 0, wanted, 0)

"""Waiting for signals and children, by calls of the C library made ready once.

Python's own build new objects for every field that nobody reads, and an exception each time that
no child is left, which is here the rule: a fifth of what a starter does for a short task.
"""

import ctypes
import os
import signal
import struct
import time

from ostler.agent.linux import NEWS

_libc = ctypes.CDLL(None)
_SIGSET_BYTES = 128  # sizeof(sigset_t) and of siginfo_t, of glibc and musl
_RUSAGE_BYTES = 512  # more than sizeof(struct rusage)
_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT
_P_ALL = 0
_LONGEST = 86_400  # seconds of one wait

# siginfo_t: si_signo, si_errno, si_code, then, aligned as a pointer, si_pid, si_uid, si_status.
_CHILD = struct.Struct("@3i0P3i")
# struct rusage: user and system time in s and µs each, maxrss, then, six longs on, inblock, oublock.
_RUSAGE = struct.Struct(f"@5l{6 * struct.calcsize('l')}x2l")
_TIMESPEC = struct.Struct("@ll")

SIGNALS = frozenset({signal.SIGCHLD, NEWS})

_set = ctypes.create_string_buffer(
    sum(1 << (signum - 1) for signum in SIGNALS).to_bytes(_SIGSET_BYTES, "little"), _SIGSET_BYTES
)
_info = ctypes.create_string_buffer(_SIGSET_BYTES)
_timeout = ctypes.create_string_buffer(_TIMESPEC.size)
_usage = ctypes.create_string_buffer(_RUSAGE_BYTES)

_sigtimedwait = _libc.sigtimedwait
_sigtimedwait.argtypes = (ctypes.c_void_p,) * 3
_sigtimedwait_what = (ctypes.addressof(_set), None, ctypes.addressof(_timeout))
_waitid = _libc.waitid
_waitid.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)
_waitid_what = (_P_ALL, 0, ctypes.addressof(_info), _WAIT)
_wait4 = _libc.wait4
_wait4.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_wait4_usage = ctypes.addressof(_usage)

Usage = tuple[float, float, int, int, int]  # user s, system s, max RSS, read, written bytes


def next_signal(due: float) -> int:
    """Return which of `SIGNALS`, all blocked, is pending or gets so until then; 0: none.

    due: seconds of the monotonic clock, or inf.
    """
    left = due - time.monotonic()
    seconds = 0 if left <= 0 else int(left) if left < _LONGEST else _LONGEST
    rest = int((left - seconds) * 1e9) if 0 < left < _LONGEST else 0
    _TIMESPEC.pack_into(_timeout, 0, seconds, rest)
    signum: int = _sigtimedwait(*_sigtimedwait_what)
    return max(signum, 0)


def next_exit() -> tuple[int, int, int]:
    """Return pid, CLD_ code and status of a child that has ended, which it stays until `reap`.

    pid 0: none has ended. pid -1: there is no child, ended or not.
    """
    if _waitid(*_waitid_what) < 0:
        return -1, 0, 0
    _, _, code, pid, _, status = _CHILD.unpack_from(_info)
    return pid, code, status


def reap(pid: int) -> Usage:
    """Let the kernel forget a child that has ended; return what it counted for it."""
    _wait4(pid, None, 0, _wait4_usage)
    user, user_us, system, system_us, peak, read, written = _RUSAGE.unpack_from(_usage)
    return user + user_us / 1e6, system + system_us / 1e6, peak * 1024, read * 512, written * 512

"""Calls of the Linux kernel that Python does not offer, through ctypes."""

import ctypes
import fcntl
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int,) + (ctypes.c_ulong,) * 4
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)

_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_IN_ATTRIB, _IN_MOVED_TO, _IN_CREATE = 0x4, 0x80, 0x100

# Says that a descriptor has something. Of several signals the lowest number is served first, and
# where one short task follows the other SIGCHLD always waits: SIGIO would starve behind it.
NEWS = signal.SIGUSR1


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def become_subreaper() -> None:
    """Let orphans below this process become its children, not init's."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def forbid_tracing() -> None:
    """Let no other process of our user read or write this one's memory and descriptors.

    The kernel does so at a change of user, unless fs.suid_dumpable says otherwise.
    """
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def set_name(name: bytes) -> None:
    """Set what `ps -o comm` shows of this thread: 15 bytes at most."""
    buffer = ctypes.create_string_buffer(name[:15])
    _check(_libc.prctl(_PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0))


def signal_when_ready(fd: int) -> None:
    """Let `NEWS` come to this process whenever there is some of a descriptor; non-blocking too."""
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETSIG, NEWS)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)


def watch_folder(path: bytes) -> int:
    """Return a non-blocking descriptor, readable when an entry of the folder appears or changes."""
    fd = _check(_libc.inotify_init1(_CLOEXEC_NONBLOCK))
    try:
        _check(_libc.inotify_add_watch(fd, path, _IN_ATTRIB | _IN_MOVED_TO | _IN_CREATE))
    except OSError:
        os.close(fd)
        raise
    return fd

"""How many descriptors a daemon may open: many connections must not keep it from its files."""

import contextlib
import os
import resource
import threading
from collections.abc import Sequence

_MOST_STUCK = 512  # threads
MOST = 65_536  # wanted; what the host allows at most is taken where that is less

_first = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> None:
    """Let this process open as many as the host allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def first_limit() -> int:
    """Return the soft limit this process was born with, for those it starts."""
    return _first


def most_connections(share: int, most: int) -> int:
    """Return how many connections one user may have: one in `share` descriptors, up to `most`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else min(soft // share, most)


def let_go(fds: Sequence[int]) -> None:
    """Close descriptors that came from somebody else, without ever waiting for it.

    The last close of a socket that lingers, or any of a file whose server is away, can take for
    ever, and whoever made it so may have meant to stop us. Those are closed by threads.
    """
    slow = [fd for fd in fds if not _is_quick(fd)]
    _close(*(fd for fd in fds if fd not in slow))
    # What a flood of stuck ones leaves open is better than a daemon that stands still.
    if slow and threading.active_count() < _MOST_STUCK:
        threading.Thread(target=_close, args=slow, daemon=True).start()


def _is_quick(fd: int) -> bool:
    """Say whether it is a pipe or terminal; asking the file itself could wait as well."""
    try:
        name = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return True
    return name.startswith(("pipe:[", "/dev/pts/")) or name in ("/dev/null", "/dev/tty")


def _close(*fds: int) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)

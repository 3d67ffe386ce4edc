"""Other processes, as /proc shows them. A process is named by pid and start time together."""

import os

LAB_BOOT = "OSTLER_LAB_BOOT"  # set by the host of a lab's node, which boots on its own

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ENVIRONMENT = slice(47, 49)  # env_start and env_end among the fields of `_stat`


def _read(path: str) -> bytes:
    """Return a small file of /proc; empty when the process is gone or not ours to see."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)


def boot_id() -> str:
    """Return the name of this boot: the kernel's, and in a lab that of the node's host as well."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip() + os.environ.get(LAB_BOOT, "")


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third on (state, ppid, ...); [] if gone."""
    # The second field is the program's name in brackets and may hold anything.
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def start_time(pid: int) -> int:
    """Return when the process began, in clock ticks since boot; 0 if there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def is_alive(pid: int, started: int) -> bool:
    """Say whether this very process still runs; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and int(fields[19]) == started and fields[0] not in (b"Z", b"X")


def watch(pid: int, started: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None if it is not there."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    # Only after the descriptor is held can the number no longer pass to another process.
    if start_time(pid) != started:
        os.close(fd)
        return None
    return fd


def children(pid: int) -> list[int]:
    """Return the children of all threads of a process, zombies included."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def descendants(pid: int) -> list[int]:
    """Return everything below a process, parents first, zombies included, itself not."""
    found = children(pid)
    for one in found:  # grows while it is walked
        found += children(one)
    if not found and not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
        return _descendants_by_parent(pid)
    return found


def _descendants_by_parent(top: int) -> list[int]:
    """Do the same on kernels without CONFIG_PROC_CHILDREN."""
    below: dict[int, list[int]] = {}
    for pid in all_pids():
        fields = _stat(pid)
        if fields:
            below.setdefault(int(fields[1]), []).append(pid)
    found = list(below.get(top, ()))
    for one in found:
        found += below.get(one, ())
    return found


def all_pids() -> list[int]:
    """Return every process on this host that may be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parent(pid: int) -> int:
    """Return the parent of a process, or 0."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def group(pid: int) -> int:
    """Return the process group of a process, or 0."""
    fields = _stat(pid)
    return int(fields[2]) if fields else 0


def session(pid: int) -> int:
    """Return the session of a process, or 0."""
    fields = _stat(pid)
    return int(fields[3]) if fields else 0


def is_zombie(pid: int) -> bool:
    """Say whether the process has ended or is gone."""
    fields = _stat(pid)
    return not fields or fields[0] in (b"Z", b"X")


def is_stopped(pid: int) -> bool:
    """Say whether the process stands still by a signal."""
    return _stat(pid)[:1] == [b"T"]


def arguments(pid: int) -> list[bytes]:
    """Return the command line of a process; empty when it is gone or a zombie."""
    return _read(f"/proc/{pid}/cmdline").split(b"\0")[:-1]


def is_dying(pid: int) -> bool:
    """Say whether the process has ended, or a SIGKILL is on its way to it."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith((b"SigPnd:", b"ShdPnd:")) and int(line.split()[1], 16) & 1 << 8:
            return True
    return is_zombie(pid)


def switches(pid: int) -> int:
    """Return how often the first thread of a process was put on or off a CPU; -1 if it is gone."""
    lines = _read(f"/proc/{pid}/status").splitlines()
    counts = [int(line.split()[1]) for line in lines if b"ctxt_switches:" in line]
    return sum(counts) if counts else -1


def environment(pid: int) -> dict[bytes, bytes]:
    """Return the environment a process was started with; empty if it may not be seen."""
    pairs = (entry.partition(b"=") for entry in _read(f"/proc/{pid}/environ").split(b"\0"))
    return {key: value for key, _, value in pairs if key}


def has_no_environment(pid: int) -> bool:
    """Say whether a process that shows none is known to have none: as it began without, or is over.

    Others may not let it be seen, are in the middle of an exec, or are about to end.
    """
    fields = _stat(pid)
    if not fields or fields[0] in (b"Z", b"X"):
        return True
    start, end = fields[_ENVIRONMENT]  # addresses; zeros where they may not be seen, or are not set
    return start == end != b"0"


def resident(pid: int) -> int:
    """Return the bytes of memory a process has in use, shared ones included."""
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def proportional(pid: int) -> int:
    """Return the same with each shared page split among its users; dearer to ask."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0

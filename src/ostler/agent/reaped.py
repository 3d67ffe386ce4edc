"""What agent and supervisor write of processes that are not theirs and that they reap.

An orphan's exit status reaches only its reaper. It is recorded before `wait4` lets the kernel
forget it, so that the agent, or the next one, learns how a dead starter's tasks ended.
"""

import binascii
import contextlib
import os
import struct

# kind, leader, pid, start time, code, signal, usage, starter's pid, starter's start time
_RECORD = struct.Struct("<B?IQiiddQQQIQ")
_SIZE = _RECORD.size + 4  # with the CRC-32 before it
_STATUS, _USAGE = 1, 2
_BOUND = 4 << 20  # bytes of one file; the one before it is kept as well
_UNWRITTEN = 1 << 20  # bytes kept in memory while they cannot be written
_GROUP = "ostler"  # a starter's control group is called ostler-PID-START
_BLOCK = 512  # bytes that ru_inblock and ru_oublock count in


class Reaped:
    """How one process ended, and what it used."""

    __slots__ = ("code", "leader", "pid", "signal", "start_time", "starter", "usage")

    def __init__(self, pid: int, start_time: int, code: int, signal: int) -> None:
        self.pid = pid
        self.leader = False  # of a process group, as every task is
        # Pid and start time by the control group; where it is in none its session, and zero.
        self.starter = (0, 0)
        self.start_time = start_time  # clock ticks since boot
        self.code = code
        self.signal = signal  # 0: it exited by itself
        self.usage = (0.0, 0.0, 0, 0, 0)  # user s, system s, max RSS, bytes read, written


class ReapedLog:
    """The file that one reaper appends to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._unwritten = b""  # whole records for which there was no room
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._fd = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _write(self, kind: int, one: Reaped) -> None:
        body = _RECORD.pack(
            kind,
            one.leader,
            *(one.pid, one.start_time, one.code, one.signal),
            *one.usage,
            *one.starter,
        )
        self._unwritten += binascii.crc32(body).to_bytes(4, "little") + body
        self._unwritten = self._unwritten[-(_UNWRITTEN // _SIZE) * _SIZE :]
        self.flush()

    def flush(self) -> bool:
        """Write what is left from when there was no room; say whether nothing is."""
        try:
            # What is cut off is written again as a whole; readers pass over the piece.
            if self._unwritten and os.write(self._fd, self._unwritten) == len(self._unwritten):
                self._unwritten = b""
        except OSError:
            return False
        return not self._unwritten

    def records(self) -> dict[tuple[int, int], Reaped]:
        """Return what could not be written yet, by (pid, start time)."""
        found: dict[tuple[int, int], Reaped] = {}
        _scan(self._unwritten, found)
        return found

    def reap(self, pid: int, *, record: bool = True) -> Reaped | None:
        """Record how this zombie child ended, then reap it. None if it is no such child.

        With a full disk the record stays in memory, and is written when there is room.
        """
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        try:
            info = os.waitid(os.P_PID, pid, flags)
        except ChildProcessError:
            return None
        if info is None:
            return None
        exited = info.si_code == os.CLD_EXITED
        code, signum = (info.si_status, 0) if exited else (0, info.si_status)
        fields = _stat(pid)
        one = Reaped(pid, int(fields[19]) if fields else 0, code, signum)
        one.leader = bool(fields) and int(fields[2]) == pid
        if record:
            one.starter = _starter_of(pid) or (int(fields[3]) if fields else 0, 0)
            self._try(_STATUS, one)
        _, _, usage = os.wait4(pid, 0)
        one.usage = (
            usage.ru_utime,
            usage.ru_stime,
            usage.ru_maxrss * 1024,
            usage.ru_inblock * _BLOCK,
            usage.ru_oublock * _BLOCK,
        )
        if record:
            self._try(_USAGE, one)
        return one

    def _try(self, kind: int, one: Reaped) -> None:
        with contextlib.suppress(OSError):
            if kind == _STATUS and os.fstat(self._fd).st_size > _BOUND:
                os.replace(self.path, f"{self.path}.1")
                old, self._fd = self._fd, self._open()
                os.close(old)
        self._write(kind, one)

    def clear(self) -> None:
        """Forget everything: no share is left that could ask for it."""
        self._unwritten = b""
        os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third on, of a zombie too; [] if gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _starter_of(pid: int) -> tuple[int, int] | None:
    """Return the starter below which a process was born, by its control group; a zombie has one."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    for line in text.splitlines():
        for part in line.split("/"):
            word, _, rest = part.partition("-")
            first, _, second = rest.partition("-")
            if word == _GROUP and first.isdigit() and second.isdigit():
                return int(first), int(second)
    return None


def next_zombie() -> int:
    """Return the pid of a child that has ended and is not yet reaped; 0 if there is none."""
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return 0
    return 0 if info is None else info.si_pid


def read_reaped(paths: list[str]) -> dict[tuple[int, int], Reaped]:
    """Return all records of these files and their predecessors, by (pid, start time).

    What is damaged is passed over; files that are missing hold nothing.
    """
    found: dict[tuple[int, int], Reaped] = {}
    for path in paths:
        for name in (f"{path}.1", path):
            try:
                with open(name, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            _scan(data, found)
    return found


def _scan(data: bytes, found: dict[tuple[int, int], Reaped]) -> None:
    at = 0
    while at + _SIZE <= len(data):
        body = data[at + 4 : at + _SIZE]
        if binascii.crc32(body).to_bytes(4, "little") != data[at : at + 4]:
            at += 1  # a cut record; the next whole one is found byte by byte
            continue
        kind, leader, pid, start_time, code, signum, *usage, by, by_start = _RECORD.unpack(body)
        at += _SIZE
        one = found.setdefault((pid, start_time), Reaped(pid, start_time, code, signum))
        one.leader, one.starter = leader, (by, by_start)
        if kind == _USAGE:
            one.usage = (usage[0], usage[1], usage[2], usage[3], usage[4])


def still_there(pid: int, start_time: int) -> bool:
    """Say whether the process is still in the table, running or not yet reaped."""
    fields = _stat(pid)
    return bool(fields) and int(fields[19]) == start_time

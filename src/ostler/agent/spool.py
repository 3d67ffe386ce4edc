"""The file a starter keeps of what it does, so that its death costs no fact.

A record is written by one write(): CRC-32 of the rest, bytes of body, kind, version, body. It is
not synced: the file outlives every process of ours, and a power cut ends the tasks too.
The order is the proof: `INTENT` before a spawn, `PID` after it, `STATUS` when the task is seen to
have ended but is not yet reaped, `USAGE` after that. So a task without `INTENT` never ran.
"""

import binascii
import errno
import os
import struct

from ostler.agent.starter_protocol import VERSION
from ostler.wire.pack import pack, unpack

HEADER = 1  # map: name, pid, start_time, boot_id, uid, state, groups
ACCEPTED = 2  # map: the order without its large parts, and "at"
INTENT = 3
PID = 4
STATUS = 5
USAGE = 6
CAUSE = 7  # map: cause, why, grace, at
SUSPENDED = 8
RESUMED = 9
RETIMED = 10
ENDED = 11  # map: the report `ended`

_HEAD = struct.Struct("<IIBB")
_BODIES = {
    INTENT: struct.Struct("<Id"),  # rank, Unix seconds
    PID: struct.Struct("<IIQ"),  # rank, pid, start time in ticks
    STATUS: struct.Struct("<Iiid"),  # rank, code, signal, Unix seconds
    USAGE: struct.Struct("<iddQQQ"),  # rank or -1, user s, system s, max RSS, read, written bytes
    SUSPENDED: struct.Struct("<d"),  # Unix seconds
    RESUMED: struct.Struct("<dd"),  # Unix seconds, seconds suspended so far
    RETIMED: struct.Struct("<Q"),  # seconds
}
_MAPS = (HEADER, ACCEPTED, CAUSE, ENDED)


def encode(kind: int, *values: object) -> bytes:
    """Return one record."""
    body = pack(values[0]) if kind in _MAPS else _BODIES[kind].pack(*values)
    rest = struct.pack("<IBB", len(body), kind, VERSION) + body
    return binascii.crc32(rest).to_bytes(4, "little") + rest


class Spool:
    """A spool file being written; `header` is its first record."""

    def __init__(self, path: bytes, header: dict[str, object]) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._header = encode(HEADER, header)
        self._size = 0
        self.restart()

    def restart(self) -> None:
        """Forget everything but the header; raise OSError."""
        os.ftruncate(self._fd, 0)
        self._size = 0
        self._append(self._header)

    def add(self, kind: int, *values: object) -> None:
        """Append one record; raise OSError, and then nothing of it is left behind."""
        self._append(encode(kind, *values))

    def _append(self, record: bytes) -> None:
        written = os.write(self._fd, record)
        if written != len(record):
            # A piece of a record would hide the ones after it.
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def sync(self) -> None:
        """Bring it to the disk; used once, before the last process that knows it is gone."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class TaskState:
    """What a spool says of one task that is or was about to start."""

    __slots__ = ("code", "ended_at", "intended_at", "pid", "rank", "signal", "start_time")

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.intended_at = 0.0  # Unix seconds
        self.pid = 0
        self.start_time = 0  # clock ticks since boot
        self.code = 0
        self.signal = 0
        self.ended_at: float | None = None

    @property
    def phase(self) -> str:
        """Return intended (it may have been spawned), running (it was) or ended."""
        if self.ended_at is not None:
            return "ended"
        return "running" if self.pid else "intended"


class SpoolState:
    """Everything a spool says. `header` is empty when not even that is readable."""

    __slots__ = (
        "accepted", "cause", "cut", "damage", "ended", "header", "path", "suspended",
        "suspended_at", "tasks", "time_limit", "usage", "why",
    )  # fmt: skip

    def __init__(self, path: str) -> None:
        self.path = path
        self.header: dict[str, object] = {}
        self.accepted: dict[str, object] | None = None  # the order, without env, script and argv
        self.tasks: dict[int, TaskState] = {}  # by rank; a rank that is missing never started
        self.cause = ""
        self.why = ""
        self.suspended_at: float | None = None
        self.suspended = 0.0  # seconds, closed spans only
        self.time_limit = 0  # seconds
        self.usage = [0.0, 0.0, 0, 0, 0]  # cpu_user, cpu_system, max_rss, read, written
        self.ended: dict[str, object] | None = None
        self.cut = False  # the last record is not whole: its writer died in the write
        self.damage: list[str] = []  # one sentence for each stretch that cannot be read

    @property
    def alloc(self) -> int | None:
        """Return the allocation it tells of, or None."""
        return None if self.accepted is None else _int(self.accepted.get("alloc"))

    @property
    def pid(self) -> int:
        """Return the starter's pid."""
        return _int(self.header.get("pid"))

    @property
    def start_time(self) -> int:
        """Return the starter's start time."""
        return _int(self.header.get("start_time"))

    @property
    def boot_id(self) -> str:
        """Return the boot in which it was written."""
        return str(self.header.get("boot_id", ""))

    @property
    def folder(self) -> bytes:
        """Return the state folder of the starter's machine."""
        folder = self.header.get("state")
        return folder if isinstance(folder, bytes) else b""

    @property
    def groups(self) -> list[str]:
        """Return the paths of the starter's control groups."""
        groups = self.header.get("groups")
        return [str(path) for path in groups] if isinstance(groups, list) else []

    @property
    def started_at(self) -> float | None:
        """Return when the first task was about to start; None is proof that none did."""
        return min((task.intended_at for task in self.tasks.values()), default=None)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def read_spool(path: str) -> SpoolState:
    """Return what a spool says; contents of any kind are read as far as they make sense.

    Raises OSError if the file cannot be read.
    """
    state = SpoolState(path)
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        size = _whole(data, at)
        if not size:
            found = _resume(data, at + 1)
            if found == len(data) and _is_cut(data, at):
                state.cut = True
            else:
                state.damage.append(
                    f"{path}: bytes {at} to {found - 1} are no record of a starter "
                    "(the disk, or another program, wrote there); the rest was read"
                )
            at = found
            continue
        kind = data[at + 8]
        _apply(state, kind, data[at + _HEAD.size : at + size])
        at += size
    return state


def _whole(data: bytes, at: int) -> int:
    """Return the size of the record that begins here; 0 if none does."""
    if len(data) - at < _HEAD.size:
        return 0
    crc, size, kind, version = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + size
    known = kind in _MAPS or (kind in _BODIES and _BODIES[kind].size == size)
    if version != VERSION or not known or end > len(data):
        return 0
    return end - at if binascii.crc32(data[at + 4 : end]) == crc else 0


def _is_cut(data: bytes, at: int) -> bool:
    """Say whether the bytes from here on can be the beginning of one record."""
    if len(data) - at < _HEAD.size:
        return True
    _, size, kind, version = _HEAD.unpack_from(data, at)
    known = kind in _MAPS or kind in _BODIES
    return version == VERSION and known and at + _HEAD.size + int(size) > len(data)


def _resume(data: bytes, at: int) -> int:
    """Return where the next whole record begins, or the end."""
    while at < len(data) and not _whole(data, at):
        at += 1
    return at


def _apply(state: SpoolState, kind: int, body: bytes) -> None:
    if kind in _MAPS:
        try:
            value = unpack(body)
        except ValueError:
            value = None
        if isinstance(value, dict):
            _apply_map(state, kind, value)
        else:
            state.damage.append(f"{state.path}: a record of kind {kind} holds no map; left out")
        return
    values = _BODIES[kind].unpack(body)
    if kind in (INTENT, PID, STATUS):
        task = state.tasks.setdefault(values[0], TaskState(values[0]))
        if kind == INTENT:
            task.intended_at = values[1]
        elif kind == PID:
            task.pid, task.start_time = values[1:]
        else:
            task.code, task.signal, task.ended_at = values[1:]
    elif kind == USAGE:
        add_usage(state.usage, values[1:])
    elif kind == SUSPENDED:
        state.suspended_at = values[0]
    elif kind == RESUMED:
        state.suspended_at, state.suspended = None, values[1]
    elif kind == RETIMED:
        state.time_limit = values[0]


def _apply_map(state: SpoolState, kind: int, value: dict[str, object]) -> None:
    if kind == HEADER:
        state.header = value
    elif kind == ACCEPTED:
        state.accepted = value
        state.time_limit = _int(value.get("time_limit"))
    elif kind == CAUSE:
        state.cause, state.why = str(value.get("cause", "")), str(value.get("why", ""))
    elif kind == ENDED:
        state.ended = value


def add_usage(total: list[float], more: tuple[float, ...] | list[float]) -> None:
    """Add one process's usage to a sum of the same shape; of the memory the greater stays."""
    for index, value in enumerate(more):
        total[index] = max(total[index], value) if index == 2 else total[index] + value

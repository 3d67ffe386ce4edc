"""The file a starter keeps of what it does, so that its death costs no fact.

A record is written by one write(), some together with the next: CRC-32 of the rest, bytes of
body, kind, version, body. It is not synced: the file outlives every process of ours, and a power
cut ends the tasks too.
The order is the proof: `INTENT` before a spawn, `PID` after it, `STATUS` when the task is seen to
have ended but is not yet reaped. So a task without `INTENT` never ran. `USAGE` is of a process
that was reaped while others were left; where none was, the sum comes with the end.
A slot's elements follow one another: `OVER` (or `ENDS`, with a reason) says that nothing is left of
the one that ran, `HEARD` that such ends need not be told any more.

A slot's spool would grow with each element, so there are two files: NODE/spool/NAME and its twin
NODE/spool.b/NAME. When one is long the present state is written to the other, in one `HEADER`
record of the next generation, and the long one is emptied. Of the two the one counts that begins
with the whole header of the highest generation; so wherever a death cuts, nothing is lost.
"""

import binascii
import errno
import os
import struct
from collections.abc import Callable

from ostler.agent.output import complain
from ostler.agent.spool_state import Row, SpoolState, TaskState, add_usage
from ostler.agent.starter_protocol import TWIN, VERSION
from ostler.wire.pack import pack, unpack

__all__ = ["Row", "Spool", "SpoolState", "TaskState", "add_usage", "encode", "read_spool", "remove"]

HEADER = 1  # map: name, pid, start_time, boot_id, uid, state, groups; generation, carried
ACCEPTED = 2  # map: the order without its large parts, and "at"; of a slot "is_slot"
INTENT = 3
PID = 4
STATUS = 5
USAGE = 6
CAUSE = 7  # map: cause, why, grace, at; "element": True if only the one that runs is meant
SUSPENDED = 8
RESUMED = 9
RETIMED = 10
ENDED = 11  # map: the report `ended`
OVER = 12
ENDS = 13  # map: "rows" (`ElementEnd`), "last": the number of the last of them
HEARD = 14

_HEAD = struct.Struct("<IIBB")
_TAIL = struct.Struct("<IBB")  # the head without its CRC
_BODIES = {
    INTENT: struct.Struct("<IIId"),  # rank, element, attempt, Unix seconds
    PID: struct.Struct("<IIQ"),  # rank, pid, start time in ticks
    STATUS: struct.Struct("<Iiid"),  # rank, code, signal, Unix seconds
    USAGE: struct.Struct("<iddQQQ"),  # rank or -1, user s, system s, max RSS, read, written bytes
    SUSPENDED: struct.Struct("<d"),  # Unix seconds
    RESUMED: struct.Struct("<dd"),  # Unix seconds, seconds suspended so far
    RETIMED: struct.Struct("<Q"),  # seconds
    OVER: struct.Struct("<QdddQQQd"),  # number in the share, Unix s, usage as in USAGE, s suspended
    HEARD: struct.Struct("<Q"),  # number of the last end that is durable at the manager
}
_APPLY: dict[int, Callable[..., None]] = {
    HEADER: SpoolState.begin, ACCEPTED: SpoolState.accept, INTENT: SpoolState.intend,
    PID: SpoolState.spawn, STATUS: SpoolState.exit, USAGE: SpoolState.use, CAUSE: SpoolState.blame,
    SUSPENDED: SpoolState.suspend, RESUMED: SpoolState.resume, RETIMED: SpoolState.retime,
    ENDED: SpoolState.end, OVER: SpoolState.end_of_turn, ENDS: SpoolState.end_of_several,
    HEARD: SpoolState.hear,
}  # fmt: skip
_TAILS = {kind: _TAIL.pack(body.size, kind, VERSION) for kind, body in _BODIES.items()}
_MAPS = (HEADER, ACCEPTED, CAUSE, ENDED, ENDS)
LONG = 1 << 20  # bytes after which a slot's spool is begun anew, between two elements
_TRIES = 3  # to read two files that a living starter may be changing


def encode(kind: int, *values: object) -> bytes:
    """Return one record."""
    form = _BODIES.get(kind)
    if form is not None:
        rest = _TAILS[kind] + form.pack(*values)
    else:
        body = pack(values[0])
        rest = _TAIL.pack(len(body), kind, VERSION) + body
    return binascii.crc32(rest).to_bytes(4, "little") + rest


def twin_of(path: str) -> str:
    """Return the path of a spool's second file."""
    folder, name = os.path.split(path)
    return os.path.join(folder + TWIN, name)


def remove(path: str) -> None:
    """Remove a spool and its twin, as far as they are there; raise OSError."""
    for one in (twin_of(path), path):
        try:
            os.unlink(one)
        except FileNotFoundError:
            continue


class Spool:
    """A spool being written; `header` is its first record."""

    __slots__ = (
        "_complained",
        "_fd",
        "_generation",
        "_header",
        "_kept",
        "_limit",
        "_other",
        "_size",
    )

    def __init__(self, path: bytes, header: dict[str, object]) -> None:
        self._header = header
        self._generation = 0
        self._size = 0  # bytes of the file that is written to
        self._limit = LONG
        self._kept = b""  # records that go with the next write
        self._complained = False
        self._fd = _open(path)
        try:
            self._other = _open(os.fsencode(twin_of(os.fsdecode(path))))
            os.ftruncate(self._other, 0)
            self.restart()
        except OSError:
            os.close(self._fd)
            raise

    def restart(self) -> None:
        """Forget everything but the header; raise OSError."""
        self._kept = b""
        os.ftruncate(self._fd, 0)
        self._size = 0
        self._append(encode(HEADER, self._next_header()))

    def add(self, kind: int, *values: object) -> None:
        """Append one record behind those that were kept for it.

        Raises OSError; then nothing of it is left behind, and those that were kept still are.
        """
        records = encode(kind, *values)
        if self._kept:
            records = self._kept + records
        self._append(records)
        self._kept = b""

    def keep(self, kind: int, *values: object) -> None:
        """Keep a record of what has happened, to be written together with the next one."""
        self._kept += encode(kind, *values)

    def note(self, kind: int, *values: object) -> None:
        """Append a record of what has happened; a full disk must not stop the share.

        Then it is kept until there is room.
        """
        try:
            self.add(kind, *values)
        except OSError as error:
            self._complain(error)
            self.keep(kind, *values)

    def flush(self) -> None:
        """Write what was kept, if there is room."""
        if not self._kept:
            return
        try:
            self._append(self._kept)
        except OSError as error:
            self._complain(error)
        else:
            self._kept = b""

    def _complain(self, error: OSError) -> None:
        """Tell the log, once: it is likely to be on the same disk."""
        if not self._complained:
            self._complained = True
            why = os.strerror(error.errno or 0)
            complain(2, f"starter {os.getpid()}: spool not written: {why}")

    @property
    def is_long(self) -> bool:
        """Say whether it is time to begin anew."""
        return self._size > self._limit

    def renew(self, carried: dict[str, object]) -> None:
        """Begin anew in the other file with the present state; raise OSError, then all is as before.

        carried: accepted, time_limit, first_start, suspended_at, cause, why, rows, last: all that
        the share is from here on, with what was kept.
        """
        fresh = encode(HEADER, {**self._next_header(), "carried": carried})
        long, size = self._fd, self._size
        self._fd, self._other, self._size = self._other, long, 0
        try:
            os.ftruncate(self._fd, 0)
            self._append(fresh)
        except OSError:
            self._fd, self._other, self._size = long, self._fd, size
            raise
        self._kept = b""
        # What waits to be acknowledged may be long by itself: that must not happen every time.
        self._limit = max(LONG, 4 * self._size)
        os.ftruncate(long, 0)

    def _next_header(self) -> dict[str, object]:
        """Return the header of the next generation; the first is that of a new file."""
        self._generation += 1
        return {**self._header, "generation": self._generation}

    def _append(self, records: bytes) -> None:
        written = os.write(self._fd, records)
        if written != len(records):
            # A piece of a record would hide the ones after it.
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def sync(self) -> None:
        """Bring it to the disk; used once, before the last process that knows it is gone."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the files."""
        os.close(self._fd)
        os.close(self._other)


def _open(path: bytes) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def read_spool(path: str) -> SpoolState:
    """Return what a spool says; contents of any kind are read as far as they make sense.

    path: of the first file; the twin is looked for, and may be missing. Raises OSError if the
    first cannot be read.
    """
    state, data = SpoolState(path), b""
    for _ in range(_TRIES):
        state.path, data = path, _contents(path)
        try:
            twin = _contents(twin_of(path))
        except OSError:
            twin = b""
        first, second = _generation(data), _generation(twin)
        if second > first or (twin and not data):
            state.path, data = twin_of(path), twin
        if max(first, second) >= 0:
            break
    _read(state, data)
    return state


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _generation(data: bytes) -> int:
    """Return which state of the share a file begins with; -1 if it does not begin with one."""
    size = _whole(data, 0)
    header = _map(data[_HEAD.size : size]) if size and data[8] == HEADER else None
    if header is None:
        return -1
    generation = header.get("generation", 0)
    return generation if isinstance(generation, int) else 0


def _read(state: SpoolState, data: bytes) -> None:
    at = 0
    while at < len(data):
        size = _whole(data, at)
        if not size:
            found = _resume(data, at + 1)
            if found == len(data) and _is_cut(data, at):
                state.cut = True
            else:
                state.damage.append(
                    f"{state.path}: bytes {at} to {found - 1} are no record of a starter "
                    "(the disk, or another program, wrote there); the rest was read"
                )
            at = found
            continue
        kind = data[at + 8]
        _apply(state, kind, data[at + _HEAD.size : at + size])
        at += size


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
    if kind not in _MAPS:
        _APPLY[kind](state, *_BODIES[kind].unpack(body))
        return
    value = _map(body)
    if value is None:
        state.damage.append(f"{state.path}: a record of kind {kind} holds no map; left out")
    else:
        _APPLY[kind](state, value)


def _map(body: bytes) -> dict[str, object] | None:
    try:
        value = unpack(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

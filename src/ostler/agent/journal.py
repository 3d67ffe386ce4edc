"""The agent's own record of shares: what it accepted, to whom it gave them, how they ended.

A share is here before a starter hears of it, and its starter's name before the order is sent. So
after a restart: not here means it did not run; here without a starter means the same. One write()
a record, no sync: it has to outlive the agent, and a power cut ends the tasks as well.
"""

import binascii
import contextlib
import errno
import os

import msgspec
from msgspec import Struct

from ostler.model.ids import AllocationId
from ostler.model.orders import Ended, Launch, Progress

_BOUND = 8 << 20  # bytes, above which it is written anew with what is still held
_HEAD = 8  # bytes: CRC-32 of the rest, and the length of the body


class Boot(Struct, tag="boot"):
    """All records from here on were written in this boot of the host."""

    boot_id: str


class Accepted(Struct, tag="accepted"):
    """A share was taken in."""

    launch: Launch
    at: float  # Unix seconds


class Handed(Struct, tag="handed"):
    """The share is about to be given to this starter."""

    alloc: AllocationId
    name: str
    pid: int
    start_time: int
    above: tuple[int, int] = (0, 0)  # pid and start time of the supervisor above it, if any


class Ran(Struct, tag="ran"):
    """A program of the machine was started for the share; of an epilog also before it is."""

    alloc: AllocationId
    what: str  # prolog or epilog
    pid: int = 0  # 0: it is about to be started
    start_time: int = 0


class Finished(Struct, tag="finished"):
    """The share has ended."""

    row: Ended
    progress: Progress | None = None  # of a slot: what may not have come through before it


class Dropped(Struct, tag="dropped"):
    """The manager knows its end; it is of no concern here any more."""

    alloc: AllocationId


Record = Boot | Accepted | Handed | Ran | Finished | Dropped
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


class Entry:
    """What the journal says of one share."""

    __slots__ = ("accepted_at", "boot_id", "ended", "handed", "launch", "progress", "ran")

    def __init__(self, launch: Launch, accepted_at: float, boot_id: str) -> None:
        self.launch = launch
        self.accepted_at = accepted_at
        self.boot_id = boot_id
        self.handed: Handed | None = None  # None: no starter has ever heard of it
        self.ran: Ran | None = None  # the last program of the machine that began for it
        self.ended: Ended | None = None
        self.progress: Progress | None = None  # to be told before its end


class Journal:
    """The file, read and compacted when opened; `entries` is what is held. Raises OSError."""

    def __init__(self, path: str, boot_id: str) -> None:
        self.entries: dict[AllocationId, Entry] = {}
        self.damage: list[str] = []  # one sentence for each stretch that cannot be read
        self._path = path
        self._boot_id = boot_id
        self._fd = -1
        self._size = 0
        self._boot_due = False  # the next record needs this boot's before it
        self._compacted = 0  # bytes after the last compaction
        self._read()
        try:
            self._compact()
        except OSError:
            self._go_on()

    def _go_on(self) -> None:
        """Append to the file as it is, where there is no room for another; raise OSError."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._size = self._compacted = os.fstat(self._fd).st_size
        self._boot_due = True

    def accept(self, launch: Launch, at: float) -> None:
        """Record a share before anything is done about it."""
        self._append(Accepted(launch, at))
        self.entries[launch.alloc] = Entry(launch, at, self._boot_id)

    def hand(self, record: Handed) -> None:
        """Record to which starter it is about to be given."""
        self._append(record)
        if record.alloc in self.entries:
            self.entries[record.alloc].handed = record

    def run(self, record: Ran) -> None:
        """Record which program of the machine runs for a share now."""
        self._append(record)
        if record.alloc in self.entries:
            self.entries[record.alloc].ran = record

    def finish(self, row: Ended, progress: Progress | None = None) -> None:
        """Record how it ended, before anybody is told; `progress` is to be told before that."""
        if row.alloc in self.entries:
            record = Finished(row, progress)
            self._finished(record)
            self._append(record)

    def _finished(self, record: Finished) -> None:
        entry = self.entries.get(record.row.alloc)
        if entry is not None:
            entry.ended, entry.progress = record.row, record.progress

    def drop(self, alloc: AllocationId) -> None:
        """Forget a share."""
        if self.entries.pop(alloc, None) is not None:
            self._append(Dropped(alloc))
            if self._size > max(_BOUND, 4 * self._compacted):
                with contextlib.suppress(OSError):  # no room now: the next drop tries again
                    self._compact()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        self._fd = -1

    def _append(self, record: Record) -> None:
        before = _framed(Boot(self._boot_id)) if self._boot_due else b""
        try:
            self._size += _write(self._fd, before + _framed(record))
            self._boot_due = False
        except OSError:
            os.ftruncate(self._fd, self._size)  # a piece would hide what follows
            raise

    def _compact(self) -> None:
        """Write what is held to a new file and put it in the old one's place."""
        draft = f"{self._path}.new"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(draft, flags, 0o600)
        try:
            size = 0
            for record in self._records():
                size += _write(fd, _framed(record))
            os.fsync(fd)
            os.replace(draft, self._path)
        except OSError:
            os.close(fd)
            os.unlink(draft)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size, self._compacted = fd, size, size

    def _records(self) -> list[Record]:
        records: list[Record] = []
        boot_id = ""
        for entry in self.entries.values():
            if entry.boot_id != boot_id:
                boot_id = entry.boot_id
                records.append(Boot(boot_id))
            records.append(Accepted(entry.launch, entry.accepted_at))
            records += [record for record in (entry.handed, entry.ran) if record is not None]
            if entry.ended is not None:
                records.append(Finished(entry.ended, entry.progress))
        records.append(Boot(self._boot_id))
        return records

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        at, lost, boot_id = 0, -1, ""
        while at < len(data):
            record, end = _record_at(data, at)
            if record is None:
                lost = at if lost < 0 else lost
                at += 1
                continue
            if lost >= 0:
                self._damaged(lost, at)
                lost = -1
            boot_id = record.boot_id if isinstance(record, Boot) else boot_id
            self._apply(record, boot_id)
            at = end
        if lost >= 0:
            self._damaged(lost, len(data))

    def _damaged(self, first: int, end: int) -> None:
        self.damage.append(f"{self._path}: bytes {first} to {end - 1} are no record; left out")

    def _apply(self, record: Record, boot_id: str) -> None:
        match record:
            case Accepted(launch, at):
                self.entries[launch.alloc] = Entry(launch, at, boot_id)
            case Handed(alloc):
                if alloc in self.entries:
                    self.entries[alloc].handed = record
            case Ran(alloc):
                if alloc in self.entries:
                    self.entries[alloc].ran = record
            case Finished():
                self._finished(record)
            case Dropped(alloc):
                self.entries.pop(alloc, None)
            case Boot():
                pass


def _framed(record: Record) -> bytes:
    body = _encode(record)
    rest = len(body).to_bytes(4, "little") + body
    return binascii.crc32(rest).to_bytes(4, "little") + rest


def _write(fd: int, data: bytes) -> int:
    """Write all of it at once and return its size; raise OSError."""
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return len(data)


def _record_at(data: bytes, at: int) -> tuple[Record | None, int]:
    """Return the record that begins here and where it ends, or None."""
    if len(data) - at < _HEAD:
        return None, at
    crc = int.from_bytes(data[at : at + 4], "little")
    end = at + _HEAD + int.from_bytes(data[at + 4 : at + _HEAD], "little")
    if end > len(data) or binascii.crc32(data[at + 4 : end]) != crc:
        return None, at
    try:
        return _decode(data[at + _HEAD : end]), end
    except msgspec.MsgspecError:
        return None, at

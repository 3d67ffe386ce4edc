"""Reads workloads in the Standard Workload Format: what was submitted to a machine, job by job.

Source: Parallel Workloads Archive, "The Standard Workload Format", version 2.2. A line is a job of 18
numbers, or a comment that begins with `;`; the comments at the beginning describe the machine.
"""

import gzip
import io
import math
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_TRACE_JOBS, MAX_TRACE_LINE

FIELDS = 18
_USED = {
    1: "job number",
    2: "submit time",
    4: "run time",
    5: "allocated processors",
    8: "requested processors",
    9: "requested time",
}  # counted from 1, as the format does
_used = itemgetter(*(number - 1 for number in _USED))
_MOST = 1 << 40  # seconds: more than recorded history
_EXACT = 1 << 53  # up to here a number read with a fraction is exact
_LIMITS = {1: _EXACT, 2: _MOST}  # by field; a larger number of another one means "without limit"
_CHUNK = 1 << 18  # bytes
_MOST_KEYS = 1_000  # of a header; more is no header
_MOST_TEXT = 1_000  # characters of a value of it
_SHOWN = 40  # characters of a line or word that an error shows
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
# Words may follow, but nothing that may be a part of the number or an arithmetic of several.
_COUNT = re.compile(r"(-?\d{1,9})(?!\w|[-.,'/+]\d|\s*[*x]\s*\d)")
_GZIP = b"\x1f\x8b"
_PACKED = {
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"PK\x03\x04": "unzip",
    b"\x1f\x9d": "uncompress",
}  # how other archives begin, and what opens them
_UTF8_MARK = b"\xef\xbb\xbf"
_FORMAT = "a trace in the Standard Workload Format, plain text or gzip"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# Why a job is left out; in this order, the first that holds is counted.
RUN_TIME, REQUESTED_TIME, SIZE, TOO_LARGE, SUBMIT = (
    "run_time",
    "requested_time",
    "size",
    "too_large",
    "submit_time",
)
REASONS = {
    RUN_TIME: "without a run time",
    REQUESTED_TIME: "without a requested time",
    SIZE: "without processors",
    TOO_LARGE: "larger than the machine",
    SUBMIT: "submitted before the beginning",
}

_HINTS = {
    REQUESTED_TIME: "policies plan by it; where a log tells none, fill in field 9, as from field 4",
    TOO_LARGE: "--procs N sets the size of the machine",
}  # if that took all jobs


def _column() -> "array[int]":
    return array("q")


@dataclass(frozen=True, slots=True)
class Trace:
    """The jobs of a workload that a machine of `procs` processors could run, in arrival order.

    Arrival order is by submit time, ties as in the file. All columns have the same length; times
    are whole seconds, fractions are cut off. runs are capped at the requested time, where a job is
    ended. dropped: how many were left out, by reason, without reasons that took none.
    """

    name: str
    procs: int
    header: dict[str, str] = field(default_factory=dict)
    numbers: "array[int]" = field(default_factory=_column)  # field 1
    submits: "array[int]" = field(default_factory=_column)
    runs: "array[int]" = field(default_factory=_column)
    estimates: "array[int]" = field(default_factory=_column)  # requested times
    sizes: "array[int]" = field(default_factory=_column)
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def offered_load(self) -> float:
        """Return the work that arrives, as a share of what the machine can do meanwhile.

        Meanwhile is the time between first and last submission; `nan` if there is none.
        """
        span = self.submits[-1] - self.submits[0]
        work = sum(map(int.__mul__, self.runs, self.sizes))
        return work / (self.procs * span) if span else math.nan

    def described(self) -> str:
        """Return in words how many jobs on which machine, and how much work they bring."""
        told = f"{_counted(len(self), 'job')} on {_counted(self.procs, 'processor')}"
        computer = "".join(c for c in self.header.get("Computer", "") if c.isprintable())
        if computer:
            told += f" of {computer[:_SHOWN]}"
        load = self.offered_load()
        return told if math.isnan(load) else f"{told}, offered load {load:.3f}"


def scaled(trace: Trace, load: float) -> Trace:
    """Return the trace with the times between submissions divided by `load`, which is positive.

    The first submission stays where it is, each other one moves to the nearest whole second of its
    new place, so that rounding does not add up; jobs keep their order, sizes and times.
    """
    first = trace.submits[0]
    moved = array("q", [first + round((at - first) / load) for at in trace.submits])
    return replace(trace, submits=moved)


def read(name: str, procs: int | None = None) -> Trace:
    """Read a trace, plain or gzip; `-` is standard input.

    procs: processors of the machine, instead of those that the header tells. Raises `UsageError`
    with file and line.
    """
    reader = _Reader(name, procs)
    try:
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as file:
            reader.read(_unpacked(file, name))
    except OSError as error:
        told = error.strerror or str(error)
        raise UsageError(f"trace {name!r} cannot be read: {told}") from None
    except ValueError as error:  # as a NUL in the name
        raise UsageError(f"trace {name!r} cannot be read: {error}") from None
    return reader.trace()


def _called(name: str) -> str:
    return "standard input" if name == "-" else name


def _unpacked(file: io.BufferedReader, name: str) -> io.BufferedIOBase:
    """Return the text of the trace as a stream; what the file holds decides, not its name."""
    start = file.peek(8)[:8]
    for magic, opener in _PACKED.items():
        if start.startswith(magic):
            raise UsageError(
                f"{_called(name)}: it is packed in a way that is not read here",
                expected=_FORMAT,
                hint=f"unpack it first, with {opener}",
            )
    return gzip.GzipFile(fileobj=file) if start.startswith(_GZIP) else file


class _Reader:
    """Takes in one file, line by line."""

    def __init__(self, name: str, procs: int | None) -> None:
        self._name = name
        self._procs = procs or 0  # 0 until the header has told it
        self._header: dict[str, str] = {}
        self._dropped = dict.fromkeys(REASONS, 0)
        self._columns = [_column() for _ in range(5)]
        self._line = 0  # the last one that was taken in
        self._begun = False  # a job was seen: the header is over

    def read(self, stream: io.BufferedIOBase) -> None:
        """Take in all of it; raise `UsageError`."""
        for lines, plain in self._lines(stream):
            self._take(lines, plain=plain)

    def trace(self) -> Trace:
        """Return what was read; raise `UsageError` if that is nothing."""
        dropped = {reason: count for reason, count in self._dropped.items() if count}
        columns = self._columns
        if not columns[0]:
            if not dropped:
                raise self._wrong(
                    "there are no jobs in it", expected="a line of 18 numbers for each"
                )
            raise self._wrong(
                f"none of its jobs can be run on {_counted(self._procs, 'processor')}",
                expected=told_dropped(dropped),
                hint=_HINTS.get(max(dropped, key=dropped.__getitem__), ""),
            )
        submits = columns[1]
        order = sorted(range(len(submits)), key=submits.__getitem__)
        if order != list(range(len(order))):
            columns = [array("q", [column[i] for i in order]) for column in columns]
        numbers, submits, runs, estimates, sizes = columns
        return Trace(
            self._name,
            self._procs,
            self._header,
            numbers,
            submits,
            runs,
            estimates,
            sizes,
            dropped=dropped,
        )

    def _wrong(
        self, what: str, line: int | None = None, *, expected: str = "", hint: str = ""
    ) -> UsageError:
        name = _called(self._name)
        place = name if line is None else f"{name}:{line}"
        return UsageError(f"{place}: {what}", expected=expected, hint=hint)

    def _lines(self, stream: io.BufferedIOBase) -> Iterator[tuple[list[bytes], bool]]:
        """Yield lines by the thousand, and whether int() reads their numbers as the format does."""
        rest = self._beginning(self._chunk(stream))
        while chunk := self._chunk(stream):
            lines = (rest + chunk).split(b"\n")
            plain = b"_" not in rest and b"_" not in chunk  # int() takes 1_000
            rest = lines.pop()
            yield lines, plain
            self._check_length(rest, self._line + 1)
        if rest:
            yield rest.split(b"\n"), b"_" not in rest

    def _chunk(self, stream: io.BufferedIOBase) -> bytes:
        hint = "copy or fetch it again"
        try:
            return stream.read(_CHUNK)
        except EOFError:
            raise self._wrong("it is cut off: its gzip data have no end", hint=hint) from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise self._wrong(f"it is damaged: {error}", expected="gzip", hint=hint) from None

    def _beginning(self, chunk: bytes) -> bytes:
        """Return the first chunk without a byte order mark; raise `UsageError` if it is no text."""
        if chunk.startswith(_UTF16_MARKS) or b"\0" in chunk:
            what = "text in UTF-16" if chunk.startswith(_UTF16_MARKS) else "no text"
            raise self._wrong(f"it is {what}", expected=_FORMAT)
        return chunk.removeprefix(_UTF8_MARK)

    def _check_length(self, line: bytes, at: int) -> None:
        if len(line) > MAX_TRACE_LINE:
            raise self._wrong(
                "the line is too long", at, expected=f"{MAX_TRACE_LINE} bytes at most"
            )

    def _take(self, lines: list[bytes], *, plain: bool) -> None:
        """Take in lines, each a job, a comment or empty. The hot loop of reading."""
        numbers, submits, runs, estimates, sizes = (column.append for column in self._columns)
        for at, line in enumerate(lines, self._line + 1):
            fields = line.split()
            try:
                job: Iterable[int] = (
                    map(int, _used(fields)) if plain and len(fields) >= FIELDS else ()
                )
                number, submit, run, allocated, requested, estimate = job
            except ValueError:
                found = self._carefully(line, fields, at)
                if found is None:
                    continue
                number, submit, run, allocated, requested, estimate = found
            if not self._begun:
                self._begin(at)
            size = requested if requested > 0 else allocated
            if run <= 0 or estimate <= 0 or not 0 < size <= self._procs or submit < 0:
                self._drop(run, estimate, size)
                continue
            if submit > _MOST or not -_EXACT <= number <= _EXACT:
                self._carefully(line, fields, at)  # says which one
            estimate = min(estimate, _MOST)
            numbers(number)
            submits(submit)
            runs(min(estimate, run))
            estimates(estimate)
            sizes(size)
        self._line += len(lines)
        if len(self._columns[0]) > MAX_TRACE_JOBS:
            raise self._wrong("it has too many jobs", expected=f"{MAX_TRACE_JOBS} at most")

    def _carefully(self, line: bytes, fields: list[bytes], at: int) -> list[int] | None:
        """Return the six numbers of a line that is not plain; None if it is a comment or empty.

        Raises `UsageError` that says what is wrong with it.
        """
        if not fields:
            return None
        self._check_length(line, at)
        if fields[0].startswith(b";"):
            if not self._begun:
                self._comment(line, at)
            return None
        if len(fields) < FIELDS:
            raise self._wrong(
                f"{_shown(line)} has {len(fields)} fields",
                at,
                expected=f"{FIELDS} numbers, or a comment that begins with ;",
            )
        return [self._value(fields[n - 1], n, at) for n in _USED]

    def _value(self, word: bytes, number: int, at: int) -> int:
        """Return a field as a whole number, fractions cut off."""
        if not _NUMBER.fullmatch(word):
            raise self._wrong(
                f"field {number} ({_USED[number]}) is {_shown(word)}", at, expected="a number"
            )
        value = float(word)
        limit = _LIMITS.get(number, math.inf)
        if abs(value) > limit:
            raise self._wrong(
                f"field {number} ({_USED[number]}) is {_shown(word)}",
                at,
                expected=f"{limit} at most",
            )
        return math.floor(min(max(value, -_EXACT), _EXACT))

    def _comment(self, line: bytes, at: int) -> None:
        """Keep `; Key: value` of the header; of a key that comes again, the first one."""
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("latin-1")  # as older logs write names
        key, colon, value = text.strip().lstrip(";").partition(":")
        key = key.strip()
        if not (colon and key.isalnum()) or key in self._header or len(self._header) > _MOST_KEYS:
            return
        self._header[key] = value.strip()[:_MOST_TEXT]
        if key == "MaxProcs" and not self._procs:
            found = _COUNT.match(self._header[key])
            if found is None:
                raise self._wrong(
                    f"MaxProcs is {_shown(value.strip().encode())}",
                    at,
                    expected="a number of processors",
                    hint="--procs N takes its place",
                )
            self._procs = max(int(found[1]), 0)  # -1: unknown

    def _begin(self, at: int) -> None:
        """The first job: now the size of the machine must be known."""
        self._begun = True
        if not self._procs:
            nodes = self._header.get("MaxNodes")
            raise self._wrong(
                "its header does not tell MaxProcs, the processors of the machine",
                at,
                expected="a line `; MaxProcs: N` before the first job",
                hint="give it with --procs N"
                + (f"; MaxNodes is {nodes[:_SHOWN]}" if nodes else ""),
            )

    def _drop(self, run: int, estimate: int, size: int) -> None:
        if run <= 0:
            reason = RUN_TIME
        elif estimate <= 0:
            reason = REQUESTED_TIME
        elif size <= 0:
            reason = SIZE
        else:
            reason = TOO_LARGE if size > self._procs else SUBMIT
        self._dropped[reason] += 1


def told_dropped(dropped: dict[str, int]) -> str:
    """Return the jobs that were left out in words.

    >>> told_dropped({"run_time": 2, "too_large": 1})
    '2 without a run time, 1 larger than the machine'
    """
    return ", ".join(f"{count} {REASONS[reason]}" for reason, count in dropped.items())


def _shown(text: bytes) -> str:
    """Return what stands in a file as an error quotes it."""
    told = text.strip().decode("utf-8", "replace")
    return repr(told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""Files that tasks read from and write to, opened as their user in their working directory."""

import errno
import os
import select

from ostler.agent.share import Share
from ostler.model.limits import STDIN
from ostler.model.patterns import NULL, expand, output_path

_SHOWN = 1_000  # bytes

Three = tuple[int, int, int]  # what becomes a task's 0, 1 and 2


class Rejected(Exception):
    """The job asks for what cannot be; the text is one sentence for its owner."""


def shown(data: bytes) -> str:
    """Return bytes as a person would read them, whatever they are; long ones are cut."""
    text = data[:_SHOWN].decode("utf-8", "backslashreplace")
    return text if len(data) <= _SHOWN else f"{text}…"


def why_not(error: OSError) -> str:
    """Return the kernel's reason with a small first letter, to stand inside a sentence."""
    text = os.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]


class Nulls:
    """/dev/null, opened once for everything that a starter runs: to read from and to write to."""

    __slots__ = ("reading", "writing")

    def __init__(self) -> None:
        self.reading = os.open(NULL, os.O_RDONLY | os.O_CLOEXEC)
        self.writing = os.open(NULL, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def clients_own(share: Share, nulls: Nulls, stdio: list[int]) -> list[Three]:
    """Return what tasks have where the client left its own descriptors: just one reads its input.

    Two that read one pipe or terminal would each get a part of it that nobody can foresee.
    """
    if len(stdio) != 3:
        return []
    into, out, err = stdio
    read_by_first = share.stdin == STDIN[0]
    return [
        (into if read_by_first and rank == 0 else nulls.reading, out, err) for rank in share.ranks
    ]


class Files:
    """The open files of a share. Tasks that name the same file share one descriptor.

    threes: what the tasks have as 0, 1 and 2 instead of files, by rank; empty: files.
    """

    __slots__ = ("_fixed", "_nulls", "_open", "_paths", "_share")

    def __init__(self, share: Share, nulls: Nulls, threes: list[Three]) -> None:
        self._share = share
        self._nulls = nulls
        self._open: dict[tuple[bytes, bool], int] = {}
        self._paths: dict[int, list[list[bytes]]] = {}  # by rank: in, out and err, cut at %a
        # By rank: what is the same for all elements, as a waiting client's own and /dev/null.
        self._fixed = dict(zip(share.ranks, threes, strict=False))

    def three(self, rank: int) -> Three:
        """Return descriptors for 0, 1 and 2 of the element's task; raise `Rejected`."""
        if rank in self._fixed:
            return self._fixed[rank]
        paths = self._paths.get(rank)
        if paths is None:
            paths = self._paths[rank] = self._expanded(rank)
            if all(pieces == [NULL] for pieces in paths):
                nulls = self._nulls
                self._fixed[rank] = nulls.reading, nulls.writing, nulls.writing
                return self._fixed[rank]
        number = b"%d" % self._share.element
        entry, out, err = [number.join(pieces) for pieces in paths]
        return self._reading(entry), self._writing(out), self._writing(err)

    def _expanded(self, rank: int) -> list[list[bytes]]:
        """Return the paths with a gap where the element's number goes: the rest stays the same."""
        share, words = self._share, {**self._share.words(rank), "a": "\0"}
        out = output_path(share.output, share.cwd, words, array=share.is_array)
        err = output_path(share.error, share.cwd, words, array=False) if share.error else out
        entry = expand(share.input, words) if share.input else NULL
        return [path.split(b"\0") for path in (entry, out, err)]

    def _reading(self, path: bytes) -> int:
        if path == NULL:
            return self._nulls.reading
        if (path, False) not in self._open:
            try:
                # Non-blocking, because opening a FIFO would wait for its writer.
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            except OSError as error:
                raise Rejected(
                    f"its input {shown(path)!r} cannot be read: {why_not(error)}; "
                    "make the file, or choose another one"
                ) from None
            os.set_blocking(fd, True)
            self._open[path, False] = fd
        return self._open[path, False]

    def _writing(self, path: bytes) -> int:
        if path == NULL:
            return self._nulls.writing
        if (path, True) not in self._open:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY
            # Only the first start empties the file, and only one node of those that may share it.
            if self._share.attempt <= 1 and self._share.first_rank == 0:
                flags |= os.O_TRUNC
            try:
                fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise Rejected(_no_output(path, error)) from None
            os.set_blocking(fd, True)
            self._open[path, True] = fd
        return self._open[path, True]

    def close(self) -> None:
        """Close all; the tasks have their own."""
        if self._open:
            for fd in self._open.values():
                os.close(fd)
            self._open.clear()


def _no_output(path: bytes, error: OSError) -> str:
    folder = os.path.dirname(path) or b"/"
    told = f"its output {shown(path)!r} cannot be written: "
    if error.errno == errno.ENOENT and not os.path.isdir(folder):
        return f"{told}there is no folder {shown(folder)!r}; make it, or choose another --output"
    if error.errno == errno.ENXIO:
        return f"{told}nobody reads this FIFO; open its other end first"
    return f"{told}{why_not(error)}; choose another --output"


def complain(fd: int, sentence: str) -> None:
    """Write a sentence to a task's stderr, unless that would wait for a reader."""
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    if poller.poll(0):
        try:
            os.write(fd, f"ostler: {sentence}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # nobody reads it any more; the job's reason says the same

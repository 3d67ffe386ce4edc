"""`ostler logs`: what a job has written, from its files; -f goes on until it ends."""

import os
from typing import Any

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, rows_of, say, write_all
from ostler.client.link import Link
from ostler.client.place import encode
from ostler.model.errors import Missing

_CHUNK = 1 << 20
_LOOK = 0.1  # seconds between looks at files that grow on whatever file system


class File:
    """One output file, read as far as it goes."""

    def __init__(self, ident: str, path: bytes) -> None:
        self.ident = ident
        self.path = path
        self.at = 0

    def more(self) -> bytes:
        """Return what came since; empty if nothing, or if the file is not there (yet)."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            if os.fstat(fd).st_size < self.at:
                self.at = 0  # it was begun anew: the job was requeued
            data = os.pread(fd, _CHUNK, self.at)
        finally:
            os.close(fd)
        self.at += len(data)
        return data


def main(given: Given) -> int:
    """Print the files of a job, one after the other, or as they grow."""
    link = link_to(given)
    ref = given.words[0]
    found = files(link, ref, "error_path" if given.flag("errors") else "output_path")
    if given.flag("json"):
        say(json_text({"files": [{"id": f.ident, "path": f.path} for f in found]}))
        return 0
    if not found:
        raise Missing(f"job {ref} writes to no file", hint="it was a `run`, or goes to /dev/null")
    headed = len(found) > 1 and not given.flag("quiet")
    printer = Printer(headed=headed)
    if given.flag("follow"):
        _follow(link, ref, found, printer)
    else:
        printer.copy(found)
        if not printer.printed and not any(os.path.exists(f.path) for f in found):
            complain(_nothing(link, ref, os.fsdecode(found[0].path)))
    link.close()
    return 0


def _nothing(link: Link, ref: str, path: str) -> str:
    """Return why there is nothing to read: not yet, or never, with the reason."""
    job = link.call("read", what="explain", ref=ref)
    if job.get("result"):
        return f"there is no {path}: job {ref} has ended as {job['result']}: {job.get('reason')}"
    return f"nothing is there yet: {path}"


def files(link: Link, ref: str, key: str) -> list[File]:
    """Return the files of a job's elements that have run or may."""
    document = link.call("read", what="job", ref=ref)
    rows: list[dict[str, Any]] = rows_of(document, "jobs")
    elements = [element for row in rows for element in rows_of(row, "element_rows")]
    found: dict[bytes, File] = {}
    for element in elements:
        path = element.get(key)
        if path:
            raw = path if isinstance(path, bytes) else encode(str(path))
            found.setdefault(raw, File(str(element.get("id")), raw))
    return list(found.values())


class Printer:
    """Copies files to standard output, with a heading where the file changes."""

    def __init__(self, *, headed: bool) -> None:
        self.printed = False
        self._headed = headed
        self._last: File | None = None

    def copy(self, found: list[File]) -> None:
        """Print all that is new."""
        for file in found:
            while data := file.more():
                if self._headed and self._last is not file:
                    gap = "\n" if self.printed else ""
                    say(f"{gap}==> {file.ident}: {os.fsdecode(file.path)} <==")
                self._last = file
                self.printed = True
                write_all(1, data)


def _follow(link: Link, ref: str, found: list[File], printer: Printer) -> None:
    """Print what comes until the job has ended and all of it is printed."""
    request = link.send("wait", refs=[ref])
    while not link.answered(request):
        printer.copy(found)
        link.pump(_LOOK)
    link.result(request)
    printer.copy(found)

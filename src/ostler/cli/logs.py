"""`ostler logs`: what a job has written, from its files; -f goes on until it ends."""

import os
import time
from collections.abc import Iterator
from typing import Any

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, rows_of, write_all
from ostler.cli.tail import Files, Printer
from ostler.client.link import Link
from ostler.client.outputs import LOOK
from ostler.client.place import encode
from ostler.model.errors import Missing, NotNow, Refused
from ostler.model.ids import Ref, parse_ref
from ostler.model.ranges import RangeSet, parse_ranges

PAGE = 1_000  # elements looked at together: what one answer tells at most
_ASK = 1.0  # seconds between questions which elements of an array have ended
_AGAIN = 1.0  # seconds until the end is asked for again, after the manager could not answer

Row = dict[str, Any]


def main(given: Given) -> int:
    """Print the files of a job, one after the other, or as they grow."""
    link = link_to(given)
    elements = Elements(
        link, given.words[0], "error_path" if given.flag("errors") else "output_path"
    )
    if given.flag("json"):
        _print_json(elements)
        return 0
    elements.need_files()
    many = elements.many
    label = given.flag("label") or (many and given.flag("follow") and not given.flag("quiet"))
    headed = many and not label and not given.flag("quiet")
    printer = Printer(headed=headed, labelled=label)
    if given.flag("follow"):
        _follow(elements, printer)
    else:
        _print(elements, printer)
    link.close()
    return 0


class Elements:
    """The elements of a job that were named, read a page at a time."""

    def __init__(self, link: Link, ref: str, key: str) -> None:
        self.link = link
        self.ref = ref
        self._key = key
        job = rows_of(link.call("read", what="job", ref=ref, options={"brief": True}), "jobs")[0]
        parsed = parse_ref(str(job["id"]))  # it may have been named as another calls it
        self.job = parsed.job
        self._user = "" if "command" in job else str(job.get("user"))  # if it is somebody else's
        self._there = job.get("rm") if job.get("kind") == "foreign" else None
        self.is_array = job.get("array") is not None
        spans = list(parsed.elements) if parsed.elements else [(0, 0)]
        if self.is_array and not parsed.elements:
            spans = parse_ranges(str(job["array"]))
        self.spans = spans
        self.first = self.files(self.page(RangeSet(spans).take(1))[0])
        self.many = len(RangeSet(spans)) > 1 or len(self.first) > 1

    def page(self, numbers: list[tuple[int, int]]) -> list[Row]:
        """Return the present rows of some elements, PAGE at most."""
        named = str(Ref(self.job, tuple(numbers) if self.is_array else None))
        document = self.link.call("read", what="job", ref=named)
        return [
            element for row in rows_of(document, "jobs") for element in rows_of(row, "element_rows")
        ]

    def pages(self) -> Iterator[list[Row]]:
        """Return all rows, page after page."""
        left = RangeSet(self.spans)
        while left:
            yield self.page(left.take(PAGE))

    def need_files(self) -> None:
        """Raise `Missing` or `Refused` unless there are files to read."""
        if self.first:
            return
        if self._user:
            raise Refused(
                f"job {self.ref} belongs to {self._user}: what it writes is not yours to read"
            )
        if self._there:
            raise Missing(
                f"nobody has told where job {self.ref} writes",
                hint=f"it was submitted to {self._there} itself, which was told that alone",
            )
        raise Missing(
            f"job {self.ref} writes to no file", hint="it was a `run`, or goes to /dev/null"
        )

    def files(self, row: Row) -> list[tuple[str, bytes]]:
        """Return the files of an element, each with whose it is; of several tasks by rank."""
        name = str(row.get("id"))
        ranks = row.get(f"{self._key}s")
        if isinstance(ranks, list):
            return [(f"{name} task {rank}", _raw(path)) for rank, path in enumerate(ranks)]
        return [(name, _raw(row[self._key]))] if row.get(self._key) else []


def _raw(path: object) -> bytes:
    return path if isinstance(path, bytes) else encode(str(path))


def _print(elements: Elements, printer: Printer) -> None:
    """Print what there is, element after element."""
    files = Files()
    missing = b""
    for page in elements.pages():
        for row in page:
            for ident, path in elements.files(row):
                printer.finish(files.get(ident, path))
                files.close(path)
                missing = missing or (b"" if os.path.exists(path) else path)
    if not printer.printed and not printer.complained:
        complain(_nothing(elements, os.fsdecode(missing)))


def _nothing(elements: Elements, path: str) -> str:
    """Return why there is nothing to read: not yet, or never, with the reason.

    path: of a file that is not there; empty if all are, without a byte in them.
    """
    job = elements.link.call("read", what="explain", ref=elements.ref)
    ended = job.get("result")
    how = f"has ended as {ended}" if ended else f"is {job.get('state')}"
    nothing = f"there is no {path}" if ended and path else "nothing was written"
    if not ended:
        nothing = f"nothing is there yet: {path}" if path else "nothing was written yet"
    return f"{nothing}: job {elements.ref} {how}: {job.get('reason')}"


def _print_json(elements: Elements) -> None:
    """Print the document, page after page: an array may have a million files."""
    mark = '{"files": ['
    files = Files()  # elements may share one: it is told once
    for page in elements.pages():
        for row in page:
            for _, path in elements.files(row):
                if files.new(path):
                    write_all(1, f"{mark}{json_text({'id': row.get('id'), 'path': path})}".encode())
                    mark = ", "
    write_all(1, b'{"files": []}\n' if mark[0] == "{" else b"]}\n")


def _follow(elements: Elements, printer: Printer) -> None:
    """Print what comes until the job has ended and all of it is printed."""
    window = Window(elements, printer)
    link = elements.link
    request = link.send("wait", refs=[elements.ref])
    told = False
    while True:
        full = window.look()
        if link.answered(request):
            try:
                link.result(request)
            except NotNow as error:  # its disk is full, say; the job itself goes on
                if not told:
                    complain(f"{error}; still waiting")
                told = True
                time.sleep(_AGAIN)
                request = link.send("wait", refs=[elements.ref])
                continue
            break
        if not full:
            link.pump(LOOK)
    while window.left:
        window.ask()
        window.finish()


class Window:
    """The files of the first elements that have not ended: as many as one answer tells.

    Elements start in about the order of their numbers, so that those that run are among them.
    """

    def __init__(self, elements: Elements, printer: Printer) -> None:
        self._elements = elements
        self._printer = printer
        self._files = Files()
        self._todo = RangeSet(elements.spans)  # not looked at yet
        self._live = RangeSet()  # in the window
        self._ended: set[bytes] = set()  # files of the window in which nothing more is written
        self._asked = 0.0

    @property
    def left(self) -> bool:
        """Say whether there are elements whose files are not printed to the end."""
        return bool(self._live or self._todo or self._files.open)

    def look(self) -> bool:
        """Print what is new; say whether there is reason to look again at once."""
        full = False
        if time.monotonic() - self._asked >= _ASK:
            full = self.ask()
            self._asked = 0.0 if full else time.monotonic()
        for file in list(self._files.open.values()):
            if file.path in self._ended:
                self._printer.finish(file)
                self._files.close(file.path)
            else:
                self._printer.copy(file)
        self._ended.clear()
        return full

    def ask(self) -> bool:
        """Learn how the elements of the window stand; say whether most of them have ended."""
        numbers = list(self._live.spans)
        numbers += self._todo.take(PAGE - len(self._live))
        if not numbers:
            return False
        writing: set[bytes] = set()
        live = []
        for row in self._elements.page(numbers):
            paths = []
            for ident, path in self._elements.files(row):
                self._files.get(ident, path)
                paths.append(path)
            if row.get("state") == "done":
                self._ended.update(paths)
            else:
                live.append(int(row.get("element") or 0))
                writing.update(paths)
        self._ended -= writing
        self._live = RangeSet([(number, number) for number in live])
        return bool(self._todo) and len(live) < PAGE // 2

    def finish(self) -> None:
        """Print the window's files to their ends: the job has ended."""
        for file in list(self._files.open.values()):
            self._printer.finish(file)
            self._files.close(file.path)
        self._live = RangeSet()

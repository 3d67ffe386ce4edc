"""`ostler wait`: until jobs have ended."""

import posix
import time

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, json_text, rows_of, say
from ostler.client.link import Link
from ostler.model.errors import NotNow

_AGAIN = 1.0  # seconds
_AT_ONCE = 0.2  # seconds in which an answer comes to what has ended already


def main(given: Given) -> int:
    """Wait, say how each ended, and return 0 if all succeeded, else 1."""
    link = link_to(given)
    watched = posix.isatty(2) and not given.flag("quiet") and not given.flag("json")
    document = ended(link, given.words, watched=watched)
    link.close()
    rows = rows_of(document, "jobs")
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        for row in rows:
            say(
                f"{row['id']}: {row.get('result')}: {row.get('reason') or 'it has ended'}{_more(row)}"
            )
    return 0 if all(row.get("result") == "success" for row in rows) else 1


def _more(row: Row) -> str:
    """Return where to look for why elements of an array did not succeed."""
    if not row.get("array") or row.get("result") in ("success", "cancelled", "dependency"):
        return ""
    return f"; `ostler explain {row['id']}` says why"


def ended(link: Link, refs: list[str], *, watched: bool = False) -> object:
    """Return the answer when all have ended, however often the manager could not answer.

    watched: keep a line on the terminal that says how far an array is.
    """
    told = False
    while True:
        number = link.send("wait", refs=refs)
        try:
            if watched:
                _watch(link, number, refs)
            while not link.answered(number):
                link.pump(None)
            return link.result(number)
        except NotNow as error:  # its disk is full, say; the jobs themselves go on
            if not told:
                complain(f"{error}; still waiting")
            told = True
            time.sleep(_AGAIN)


def _watch(link: Link, number: int, refs: list[str]) -> None:
    """Keep the line until the request is answered."""
    link.pump(_AT_ONCE)
    if link.answered(number):
        return
    from ostler.cli.progress import EVERY, Progress

    progress = Progress(link, refs)
    try:
        while not link.answered(number):
            progress.look()
            if not link.answered(number):
                link.pump(EVERY)
    finally:
        progress.clear()

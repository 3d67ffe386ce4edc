"""`ostler wait`: until jobs have ended."""

import time

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, rows_of, say
from ostler.client.link import Link
from ostler.model.errors import NotNow

_AGAIN = 1.0  # seconds


def main(given: Given) -> int:
    """Wait, say how each ended, and return 0 if all succeeded, else 1."""
    link = link_to(given)
    document = ended(link, given.words)
    link.close()
    rows = rows_of(document, "jobs")
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        for row in rows:
            say(f"{row['id']}: {row.get('result')}: {row.get('reason') or 'it has ended'}")
    return 0 if all(row.get("result") == "success" for row in rows) else 1


def ended(link: Link, refs: list[str]) -> object:
    """Return the answer when all have ended, however often the manager could not answer."""
    told = False
    while True:
        number = link.send("wait", refs=refs)
        while not link.answered(number):
            link.pump(None)
        try:
            return link.result(number)
        except NotNow as error:  # its disk is full, say; the jobs themselves go on
            if not told:
                complain(f"{error}; still waiting")
            told = True
            time.sleep(_AGAIN)

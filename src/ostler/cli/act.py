"""`ostler cancel`, `hold`, `release`, `suspend`, `resume`, `requeue`: one request for all jobs."""

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, rows_of, say
from ostler.client.link import error_from


def main(given: Given) -> int:
    """Do it to each job; the exit status is that of the first one that was refused."""
    link = link_to(given)
    extra: dict[str, object] = {"failed": True} if given.flag("failed") else {}
    if (reason := given.text("reason")) is not None:
        extra["reason"] = reason
    verb = given.command.name
    document = link.call("act", verb=verb, refs=given.words, **extra)
    link.close()
    status = 0
    for row in rows_of(document, "jobs"):
        if not row.get("ok"):
            error = error_from(row)
            status = status or error.exit_status
            if not given.flag("json"):
                complain(f"{row['id']}: {error}")
        elif not given.flag("json") and not given.flag("quiet"):
            say(f"{row['id']}: {row.get('message') or verb}")
    if given.flag("json"):
        say(json_text(document))
    return status

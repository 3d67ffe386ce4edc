"""What every command that lists rows prints: JSON, the columns that --format names, or a table."""

from ostler.cli.columns import COLUMNS
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, chosen, json_text, rows_of, say, table

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable


def show(
    given: Given,
    document: object,
    noun: str,
    columns: list[Column],
    shown: "Callable[[Row], Row]" = dict,
    *,
    nothing: str = "",
) -> int:
    """Print the rows that a document holds under a noun; raise `UsageError` for strange columns.

    shown: a row as the table has it. nothing: what to say without any; `no NOUN` unless told.
    """
    rows, quiet = rows_of(document, noun), given.flag("quiet")
    if given.flag("json"):
        say(json_text(document))
    elif (keys := given.text("format")) is not None:
        say(chosen(rows, keys, COLUMNS[noun].split(), heading=not quiet))
    elif rows:
        say(table([shown(row) for row in rows], columns, heading=not quiet))
    elif not quiet:
        say(nothing or f"no {noun}")
    return 0

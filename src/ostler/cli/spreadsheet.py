"""CSV for spreadsheets and scripts: one heading, then what --json would have said."""

import csv
import io
from collections.abc import Iterable, Sequence

from ostler.cli.output import json_text


def csv_text(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return lines as RFC 4180 has them, without the last line's end.

    Numbers are whole or have a point; nothing is an empty field; lists and maps are as in JSON.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(heading)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return out.getvalue().removesuffix("\r\n")


def _plain(value: object) -> object:
    if isinstance(value, dict | list | tuple):
        return json_text(value)
    if isinstance(value, bool):
        return int(value)
    return value

"""`ostler query`: one SQL statement over the tables, which are an interface."""

from ostler.cli.ask import call
from ostler.cli.options import Given
from ostler.cli.output import json_text, say, table
from ostler.cli.spreadsheet import csv_text
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_QUERY


def main(given: Given) -> int:
    """Run the statement and print its rows."""
    sql = given.words[0]
    if len(sql) > MAX_QUERY:
        raise UsageError(f"the statement has {len(sql)} characters", expected=f"most: {MAX_QUERY}")
    document = call(given, "query", sql=sql, archive=given.text("archive") or "")
    if given.flag("json"):
        say(json_text(document))
        return 0
    if given.flag("csv"):
        say(csv_text(document["columns"], document["rows"]))
        return 0
    names = [str(name) for name in document["columns"]]
    rows = [{f"{i}": value for i, value in enumerate(row)} for row in document["rows"]]
    quiet = given.flag("quiet")
    if rows or not quiet:
        columns = [(f"{i}", name) for i, name in enumerate(names)]
        say(table(rows, columns, heading=not quiet))
    return 0

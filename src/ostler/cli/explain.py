"""`ostler explain`: why it waits, when it should start, and what would let it start now."""

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import Row, cell, json_text, say

_LISTED = 10  # names shown of what is ahead or blocks


def main(given: Given) -> int:
    """Explain one job."""
    link = link_to(given)
    document = link.call("read", what="explain", ref=given.words[0])
    link.close()
    say(json_text(document) if given.flag("json") else explain_text(document))
    return 0


def explain_text(row: Row) -> str:
    """Return the explanation for a person."""
    rule = f" ({row['rule']})" if row.get("rule") else ""
    result = row.get("result")
    how = f"has ended as {result}" if result else f"is {row.get('state')}{rule}"
    lines = [f"job {row.get('id')} {how}: {row.get('reason') or 'nothing holds it up'}"]
    if row.get("last") and row.get("rule") != "hold":  # a hold has told it
        lines.append(f"  before that       {row['last']}")
    if row.get("expected_start") is not None:
        lines.append(f"  expected start    {cell('expected_start', row['expected_start'])}")
    for key, words in (("blockers", "waits for"), ("ahead", "ahead of it")):
        names = row.get(key)
        if isinstance(names, list) and names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            lines.append(f"  {words:<16}  {', '.join(map(str, names[:_LISTED]))}{more}")
    if row.get("to_start_now"):
        lines.append(f"  to start now      {row['to_start_now']}")
    numbers = row.get("numbers")
    if isinstance(numbers, dict) and numbers:
        lines.append(f"  numbers           {cell('', numbers)}")
    elements = row.get("elements")
    if isinstance(elements, dict) and elements.get("total", 1) != 1:
        lines.append(f"  elements          {cell('', elements)}")
    return "\n".join(lines)

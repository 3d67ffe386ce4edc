"""`ostler explain`: why it waits, when it should start, what would let it start now; and what if."""

import time

from ostler.cli.ask import call
from ostler.cli.options import Given
from ostler.cli.output import Row, cell, json_text, moment, rows_of, say
from ostler.model.errors import UsageError
from ostler.model.units import format_duration

_LISTED = 10  # names shown of what is ahead or blocks
_INDENT = 18  # columns before what is told


def main(given: Given) -> int:
    """Explain one job, or what would be if."""
    what_if = bool(given.many("suppose") or given.many("suppose_nodes"))
    if not (given.words or given.many("suppose")):
        raise UsageError(
            "no job is named",
            expected="an id, or --if and what a new job asks for",
            hint="as in ostler explain 12, or ostler explain --if time=2h,cpus=4",
        )
    ref = given.words[0] if given.words else ""
    options: dict[str, object] = {}
    if what_if:
        from ostler.cli.suppose import supposed

        options["suppose"] = supposed(given.many("suppose"), given.many("suppose_nodes"))
    document = call(given, "read", what="explain", ref=ref, options=options)
    if given.flag("json"):
        say(json_text(document))
    else:
        say(_what_if_text(document) if what_if else explain_text(document))
    return 0


def explain_text(row: Row) -> str:
    """Return the explanation for a person."""
    rule = f" ({row['rule']})" if row.get("rule") else ""
    result = row.get("result")
    how = f"has ended as {result}" if result else f"is {row.get('state')}{rule}"
    lines = [f"job {row.get('id')} {how}: {row.get('reason') or 'nothing holds it up'}"]
    if row.get("last") and row.get("rule") != "hold":  # a hold has told it
        lines.append(_line("before that", str(row["last"])))
    return "\n".join([*lines, *_details(row)])


def _details(row: Row) -> list[str]:
    """Return what stands below the sentence."""
    lines = []
    if row.get("expected_start") is not None:
        lines.append(_line("expected start", _when(row)))
    for key, words in (("blockers", "waits for"), ("ahead", "ahead of it")):
        names = row.get(key)
        if isinstance(names, list) and names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            lines.append(_line(words, f"{', '.join(map(str, names[:_LISTED]))}{more}"))
    if isinstance(row.get("place"), int):
        lines.append(_line("place in queue", f"{row['place']}, {_priority(row)}"))
    lines += _funnel(row)
    if row.get("to_start_now"):
        lines.append(_line("to start now", str(row["to_start_now"])))
    numbers = row.get("numbers")
    if isinstance(numbers, dict) and numbers:
        lines.append(_line("numbers", cell("", numbers)))
    lines += [
        _line(str(one.get("result")), f"{one.get('id')}: {one.get('reason')}")
        for one in rows_of(row, "failures")
    ]
    elements = row.get("elements")
    if isinstance(elements, dict) and elements.get("total", 1) != 1:
        lines.append(_line("elements", cell("", elements)))
    return lines


def _line(words: str, told: str) -> str:
    return f"  {words:<{_INDENT - 2}}{told}"


def _when(row: Row) -> str:
    basis = f", {row['assumption']}" if row.get("assumption") else ""
    return f"{moment(float(str(row['expected_start'])))}{_where(row)}{basis}"


def _priority(row: Row) -> str:
    """Return the parts of its priority that are not nothing, the user's own number first."""
    parts = row.get("priority_parts")
    known = parts if isinstance(parts, dict) else {}
    told = [f"{name} {cell('', value)}" for name, value in known.items() if value]
    if len(told) < 2:
        return told[0] if told else "priority 0"
    return f"score {cell('', sum(known.values()))} = {' + '.join(told)}"


def _funnel(row: Row) -> list[str]:
    """Return how many nodes pass each filter; what one kind alone says is not said twice."""
    filters = row.get("filters")
    found = [f for f in filters if isinstance(f, dict)] if isinstance(filters, list) else []
    if not found:
        return []
    fixed = {"partition", "usable", "nodelist", "exclude", "constraint", "reservation", "together"}
    if sum(1 for f in found if f["filter"] not in fixed) < 2:
        found = [f for f in found if f["filter"] != "together"]
    size = max(len(str(f["nodes"])) for f in found)
    told = [f"{f['nodes']:>{size}} {f['asks']}" for f in found]
    return [_line("" if at else "nodes", each) for at, each in enumerate(told)]


def _what_if_text(document: Row) -> str:
    """Return what would be, beside what is."""
    before, after = document.get("before"), document.get("after")
    nodes = document.get("supposed_nodes")
    named = f"job {document['id']}" if document.get("id") else "such a job"
    lines = [f"{named}: {document['answer']}"]
    if isinstance(nodes, list):
        lines += [_line("supposed", str(told)) for told in nodes]
    if isinstance(before, dict):
        lines.append(_line("as it is", _in_short(before)))
    if isinstance(after, dict) and not after.get("starts_now"):
        basis = f", {after['assumption']}" if after.get("assumption") else ""
        lines.append(_line("then", _in_short(after) + basis))
        lines.append(_line("why not now", str(after.get("reason", ""))))
        shown = ("blockers", "ahead", "place", "priority_parts", "filters", "to_start_now")
        lines += _details({key: after.get(key) for key in shown})
    return "\n".join(lines)


def _in_short(row: Row) -> str:
    """Return when and where it starts, and by which rule it waits until then."""
    rule = f" ({row['rule']})" if row.get("rule") not in ("", "new", None) else ""
    if row.get("starts_now"):
        return "it starts now"
    if row.get("expected_start") is None:
        return f"nobody can tell when it starts{rule}"
    at = float(str(row["expected_start"]))
    left = at - time.time()
    when = f"in {format_duration(left)}" if left >= 0.05 else "at any moment"
    return f"at {moment(at)}{_where(row)}, {when}{rule}"


def _where(row: Row) -> str:
    on = row.get("expected_nodes")
    if not isinstance(on, list) or not on:
        return ""
    if len(on) == 1:
        return f" on {cell('', on)}"
    from ostler.model.nodeset import in_short

    return f" on {in_short(map(str, on))}"

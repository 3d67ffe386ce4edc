"""`ostler jobs --tree`: each job below what it waits for, drawn as text."""

from ostler.cli.output import Row, cell, cut, width

Edge = dict[str, str]

_STEP = 3  # columns that a level goes in
_SHARE = 3  # of the terminal, the part that levels may take: one in so many columns


def edges(rows: list[Row]) -> list[Edge]:
    """Return who waits, or waited, for whom: from, to and kind, by ids."""
    found: list[Edge] = []
    for row in rows:
        for word in str(row.get("after") or "").split(","):
            before, _, kind = word.partition(":")
            if before:
                edge = {"from": before, "to": str(row["id"]), "kind": kind or "ok"}
                found.append(edge)
    return found


def drawn(rows: list[Row], room: int | None = None) -> str:
    """Return the graph of dependencies, a line for each job; rows as the table shows them.

    A job with several predecessors stands once, below the one that has most before it; its line
    names the others, and those that are not among the rows. room: columns; 0: no end.
    """
    room = width() if room is None else room
    by_id = {str(row["id"]): row for row in rows}
    before: dict[str, dict[str, str]] = {number: {} for number in by_id}  # what it waits for: kind
    for edge in edges(rows):
        before[edge["to"]][edge["from"]] = edge["kind"]
    parents = _parents(before)
    below: dict[str, list[str]] = {}
    for number in by_id:
        below.setdefault(parents[number], []).append(number)
    most = room // _SHARE // _STEP if room else len(by_id)
    lines = []
    size = max((len(number) for number in by_id), default=0)
    stack = [(number, "", "") for number in reversed(below.get("", []))]
    while stack:
        number, lead, further = stack.pop()
        others = {n: kind for n, kind in before[number].items() if n != parents[number]}
        kind = before[number].get(parents[number], "ok")
        text = f"{lead}{number:<{size if not lead else 0}}  {_told(by_id[number], kind, others)}"
        lines.append(cut(text, room) if room else text)
        children = below.get(number, [])
        deep = len(further) // _STEP >= most  # from here on levels look alike
        for at, child in enumerate(reversed(children)):
            branch, trunk = ("└─ ", "   ") if at == 0 else ("├─ ", "│  ")
            if deep:
                stack.append((child, further[:-_STEP] + "·· ", further))
            else:
                stack.append((child, further + branch, further + trunk))
    return "\n".join(lines)


def _parents(before: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return below which of its predecessors each job stands, the deepest; empty: below none."""
    depth: dict[str, int] = {}
    parents: dict[str, str] = {}
    stack = list(reversed(before))
    while stack:
        number = stack[-1]
        if number in depth:
            stack.pop()
            continue
        known = [other for other in before[number] if other in before]
        if unknown := [other for other in known if other not in depth]:
            stack += unknown
            continue
        parents[number] = max(known, key=lambda other: (depth[other], int(other)), default="")
        depth[number] = depth[parents[number]] + 1 if parents[number] else 0
        stack.pop()
    return parents


def _told(row: Row, kind: str, others: dict[str, str]) -> str:
    """Return what the line of a job says of it."""
    parts = [cell("name", row.get("name")), cell("state", row.get("state"))]
    if row.get("elements") != "-":
        parts.append(cell("elements", row.get("elements")))
    if kind != "ok":
        parts.append(f"({kind})")
    if others:
        named = [number + ("" if k == "ok" else f":{k}") for number, k in others.items()]
        parts.append(f"after {', '.join(named)}")
    if row.get("rule") != "dependency" and row.get("why"):
        parts.append(cell("why", row.get("why")))
    return "  ".join(parts)

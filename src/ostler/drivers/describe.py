"""What is particular to a driver, from its `About`: for people, for JSON, and as a chapter."""

from collections.abc import Mapping
from typing import Any

from ostler.model.foreign import About

VERBS = "list_nodes, list_jobs, start, cancel"


def as_dict(about: About) -> dict[str, Any]:
    """Return it as plain values."""
    told = {name: getattr(about, name) for name in about.__struct_fields__}
    options = sorted(map(str, about.options))
    return told | {"options": options, "limits": list(about.limits)}


def as_text(about: About) -> str:
    """Return it as lines for a terminal."""
    lines = [f"{about.name}: {about.title}", f"verbs: {VERBS}", f"options: {_options(about)}"]
    lines += [f"oldest version: {about.oldest}"] if about.oldest else []
    blocks: dict[str, Mapping[str, str]] = {
        "settings": about.settings,
        "states of jobs": about.job_states,
        "states of nodes": about.node_states,
    }
    for title, rows in blocks.items():
        width = max(map(len, rows), default=0)
        lines += [f"{title}:"] if rows else []
        lines += [f"  {word:{width}}  {text}" for word, text in rows.items()]
    lines += ["known limits:"] if about.limits else []
    return "\n".join(lines + [f"  {limit}" for limit in about.limits])


def as_chapter(about: About, place: str) -> str:
    """Return it as a chapter of the reference. place: MODULE:CLASS."""
    parts = [
        f"## {about.name}\n\n{about.title}. Its class is `{place}`.",
        _table(("verbs", "options"), [(VERBS, _options(about))]),
    ]
    if about.oldest:
        parts.append(f"Oldest version that it works with: {about.oldest}.")
    tables: dict[tuple[str, str], Mapping[str, str]] = {
        ("setting", "means"): about.settings,
        ("its state of a job", "ours, or how it ended"): about.job_states,
        ("its state of a node", "ours"): about.node_states,
    }
    for head, rows in tables.items():
        if rows:
            parts.append(_table(head, [(f"`{word}`", text) for word, text in rows.items()]))
    if about.limits:
        parts.append("Known limits:\n\n" + "\n".join(f"- {limit}" for limit in about.limits))
    return "\n\n".join(parts)


def _options(about: About) -> str:
    return ", ".join(sorted(map(str, about.options))) or "none"


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines = [f"| {one} | {other} |" for one, other in (head, *cells)]
    return "\n".join([lines[0], "|---|---|", *lines[1:]])

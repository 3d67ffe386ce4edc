"""Named SQL kept in files: `-- name: x`, comment lines, one statement; one file for each noun."""

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load_queries(folder: Path) -> dict[str, str]:
    """Return name -> statement of all `.sql` files of a folder; raise ValueError on a repeat."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        for name, sql in parse_queries(path.read_text(encoding="utf-8")).items():
            if name in found:
                msg = f"{path} defines {name} again"
                raise ValueError(msg)
            found[name] = sql
    return found


def parse_queries(text: str) -> dict[str, str]:
    r"""Return name -> statement; raise ValueError for text before a name or a repeated name.

    >>> parse_queries("-- name: one\n-- Just one.\nSELECT 1;\n")
    {'one': 'SELECT 1'}
    """
    head, *parts = _NAME.split(text)
    names = parts[::2]
    if _strip(head) or len(set(names)) < len(names):
        msg = "each statement needs a name of its own: -- name: x"
        raise ValueError(msg)
    return {name: _strip(body) for name, body in zip(names, parts[1::2], strict=True)}


def _strip(body: str) -> str:
    lines = [line for line in body.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip().removesuffix(";")

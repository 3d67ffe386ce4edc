"""The reference of drivers, from what each says of itself.

python scripts/drivers.py prints docs/reference/drivers.md; `make docs` writes it.
"""

import importlib
import tomllib
from pathlib import Path

from ostler.drivers.contract import GROUP
from ostler.drivers.describe import as_chapter

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
HEAD = """\
# Drivers

Made by `make docs` from what each driver says of itself; do not edit.

A driver speaks to another resource manager: `ostler rm add NAME DRIVER [KEY=VALUE…]` takes one in, `ostler rm check` holds it to [the contract](../tutorials/new-resource-manager.md).
Each has the four verbs; what else is asked of it, it declares as an option.
The first, `native`, is Ostler's own agents as the suite sees them; their manager needs no driver.
A word for a state that is in no table here counts as unknown, and is told as it is.

DRIVER is a name from here, MODULE:CLASS, or FILE.py:CLASS with an absolute path.
Each runs in processes of its own, to which two settings are told instead of the driver:

| setting | means |
|---|---|
| `run-as` | The user as whom it runs; that of the manager. |
| `memory` | Address space that each of its processes may take, as in 512M; 1G. |
"""


def page() -> str:
    """Return the page: a chapter for each driver that the package offers."""
    native = "ostler.testing.conformance.native:NativeDriver"
    points = {"native": native} | tomllib.loads(PROJECT.read_text())["project"]["entry-points"][
        GROUP
    ]
    chapters = []
    for place in points.values():
        module, _, name = place.partition(":")
        kind = getattr(importlib.import_module(module), name)
        chapters.append(as_chapter(kind.about, place))
    return "\n".join([HEAD, *(f"{chapter}\n" for chapter in chapters)])


if __name__ == "__main__":
    print(page(), end="")

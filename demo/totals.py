"""The dependent job of the demo: add up what the elements wrote. totals.py FOLDER."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from analyse import Report


class Totals(TypedDict):
    """What is known of all modules together."""

    modules: int
    lines: int
    functions: int
    classes: int
    most_imported: list[tuple[str, int]]
    longest_function: str
    longest_lines: int


def add_up(reports: Iterable[Report]) -> Totals:
    """Return the totals, the same for any order of the reports."""
    found = sorted(reports, key=lambda report: report["module"])
    imports = Counter(name for report in found for name in report["imports"])
    longest = max(found, key=lambda report: report["longest_lines"])
    return {
        "modules": len(found),
        "lines": sum(report["lines"] for report in found),
        "functions": sum(report["functions"] for report in found),
        "classes": sum(report["classes"] for report in found),
        "most_imported": sorted(imports.items(), key=lambda pair: (-pair[1], pair[0]))[:5],
        "longest_function": f"{longest['module']}.{longest['longest_function']}",
        "longest_lines": longest["longest_lines"],
    }


def read_reports(folder: Path) -> list[Report]:
    """Return every report of a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]


if __name__ == "__main__":
    print(json.dumps(add_up(read_reports(Path(sys.argv[1]))), indent=2))

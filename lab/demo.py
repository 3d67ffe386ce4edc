"""The work of `make demo` in the lab: a real analysis, with the manager killed half-way."""

import json
import os
import signal
import sys
from pathlib import Path

from lab.kit import Check, Ground, equal

DEMO = Path(__file__).resolve().parents[1] / "demo"
MODULES = 200


def demo(at: Ground) -> str:
    """The totals of an array and its dependent job equal a serial run's."""
    sys.path.append(str(DEMO))
    from analyse import analyse, module_name
    from run import modules
    from totals import add_up

    files = modules()[:MODULES]
    folder = at.folder()
    reports = folder / "reports"
    reports.mkdir()
    (folder / "list").write_text("".join(f"{path}\n" for path in files))
    first = at.lab.submit(
        *("--each", str(folder / "list"), "-o", "/dev/null", "--"),
        *(sys.executable, str(DEMO / "analyse.py"), str(reports)),
    )
    total = at.lab.submit(
        *("--after", first, "-o", str(folder / "totals"), "--"),
        *(sys.executable, str(DEMO / "totals.py"), str(reports)),
    )
    third = len(files) // 3
    at.within(60, "a third is done", lambda: len(list(reports.glob("*.json"))) >= third)
    os.kill(at.lab.json("status")["processes"]["manager"], signal.SIGKILL)
    at.lab.ostler("wait", first, total)
    serial = add_up(analyse(path, module_name(path)) for path in files)
    found = json.loads((folder / "totals").read_text())
    equal("the totals", found, json.loads(json.dumps(serial)))
    ran = sorted((reports / "ran").read_text().splitlines())
    equal("each ran once", ran, sorted(map(str, files)))
    nodes = at.sql(f"select count(distinct node) from elements where job = {first}")[0][0]
    return f"{len(files)} modules on {nodes} nodes"


CHECKS = [Check("the demo's work", "issue 3", demo)]

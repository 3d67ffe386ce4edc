"""What everyday commands load, counted: each module costs every user of every command."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ostler.wire import messages
from tests.unit.scripted import ROAD, Answer, Request, by_column, manager
from tests.unit.test_cli_run import agent

FORBIDDEN = {
    *("argparse", "asyncio", "click", "collections", "cryptography", "dataclasses", "datetime"),
    *("enum", "functools", "hashlib", "importlib", "inspect", "json", "logging", "msgspec"),
    *("numpy", "os", "pathlib", "psutil", "re", "rich", "site", "socket", "subprocess"),
    *("threading", "typing", "uuid"),
}
MOST = 20  # modules beyond those of a bare interpreter
MORE = {"run": 27, "submit": 26, "job": 21, "explain": 21, "completion": 23}
RARE = {"ostler.cli.table", "ostler.cli.table_more_options", "ostler.cli.table_site", "select"}
USERS = ("run", "completion")  # who waits for several things at once, or names all commands
ROW: dict[str, Any] = {"id": "12", "state": "done", "result": "success", "exit_status": 0}
COMMAND_LINES = {
    "run": "-n 2 -c 1 -m 1G -t 5m true",
    "submit": "-n 2 -m 1G -t 5m --array 0-9%2 --after 3 --env A=1 -- true",
    "jobs": "",
    "job": "12",
    "wait": "12",
    "cancel": "12",
    "hold": "12",
    "release": "12",
    "suspend": "12",
    "resume": "12",
    "requeue": "12",
    "explain": "12",
    "completion": "bash wait 1",
}
PRINT_MODULES = """
import posix, sys
old = set(sys.modules)
sys.path.append(sys.argv[1])
from ostler.cli.main import main
status = main(sys.argv[2:])
posix.write(2, "\\n".join(set(sys.modules) - old).encode())
sys.exit(status)
"""


def answer(request: Request) -> Answer:
    if isinstance(request, messages.Submit):
        return {"job": "12"}
    if isinstance(request, messages.Act):
        return {"jobs": [{"id": "12", "ok": True, "message": "done"}]}
    if isinstance(request, messages.Read) and request.what == "explain":
        return {"id": "12", "state": "pending", "reason": "it waits", "rule": "behind"}
    found = {"jobs": [ROW]}
    return by_column(request, found) if isinstance(request, messages.Read) else found


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_an_everyday_command_loads_few_modules(tmp_path: Path, name: str) -> None:
    words = [name, "--state", str(tmp_path), *COMMAND_LINES[name].split()]
    with agent(tmp_path), manager(tmp_path, answer):
        done = subprocess.run(
            [sys.executable, "-SEI", "-c", PRINT_MODULES, str(ROAD.parents[2]), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    loaded = set(done.stderr.split())
    assert "ostler.cli.table_jobs" in loaded
    assert loaded & FORBIDDEN == set()
    assert name in USERS or not loaded & RARE
    assert len(loaded) <= MORE.get(name, MOST), sorted(loaded)


def test_a_table_of_nodes_is_made_with_few_modules(tmp_path: Path) -> None:
    nodes = {"nodes": [{"name": "n1", "status": "running"}]}
    with manager(tmp_path, lambda _request: nodes):
        done = subprocess.run(
            [
                *(sys.executable, "-SEI", "-c", PRINT_MODULES, str(ROAD.parents[2])),
                *("nodes", "--state", str(tmp_path)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    loaded = set(done.stderr.split())
    assert "n1" in done.stdout
    assert loaded & (FORBIDDEN | {"select"}) == set()


def test_the_count_can_fail(tmp_path: Path) -> None:
    code = "import sys; old = set(sys.modules); import json; print(*set(sys.modules) - old)"
    done = subprocess.run(
        [sys.executable, "-SEI", "-c", code], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & FORBIDDEN

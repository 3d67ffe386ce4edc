"""What completion offers, in every place of a command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostler.cli.complete import complete
from ostler.cli.table import COMMANDS
from ostler.cli.table_options import GENERAL
from ostler.wire import messages
from tests.unit.scripted import SILENCE, Answer, Manager, Request, manager, ostler
from tests.unit.test_cli_commands import ROW

JOBS: list[dict[str, Any]] = [
    ROW | {"id": "12", "name": "fit", "state": "running"},
    ROW | {"id": "13", "name": "sum", "state": "done", "result": "failed"},
    ROW | {"id": "140", "name": "big", "state": "held"},
]
ELEMENTS = [
    {"id": "140_0", "state": "done", "result": "success"},
    {"id": "140_1", "state": "running", "result": None},
]
NODES = [
    {"name": "n1", "partition": "main", "status": "running"},
    {"name": "n2", "partition": "gpu", "status": "running"},
]
SETTINGS = [{"key": "grace-period", "help": "seconds"}, {"key": "max-cpus", "help": "CPUs"}]


def answer(request: Request) -> Answer:
    assert isinstance(request, messages.Read)
    options = request.options
    ended = options.since is not None or options.all
    jobs = [j for j in JOBS if ended or j["state"] != "done"]
    if options.states:
        jobs = [j for j in JOBS if j["state"] in options.states]
    documents: dict[str, Any] = {
        "jobs": {"jobs": jobs},
        "job": {"jobs": [JOBS[2] | {"element_rows": ELEMENTS}]},
        "nodes": {"nodes": NODES},
        "partitions": {"partitions": [{"name": "main", "nodes": "n1"}, {"name": "gpu"}]},
        "configurations": {"configurations": [{"name": "day"}, {"name": "night"}]},
        "settings": {"settings": SETTINGS},
    }
    return documents[request.what]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    with manager(tmp_path_factory.mktemp("machine"), answer) as made:
        yield made


def offered(state: Path, line: str) -> list[str]:
    """Return what could stand at the end of a line after `ostler`."""
    found = complete(["--state", str(state), *line.split(" ")])
    return [value for value, _ in found.found] if found.kind == "words" else [f"<{found.kind}>"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("canc", ["cancel"]),
        ("--st", ["--state"]),
        ("--state ", ["<folders>"]),
        ("lab k", ["kill"]),
        ("nodes d", ["drain"]),
        ("config ", ["apply", "show", "set", "unset", "effective"]),
        ("nonsense ", []),
        ("jobs --wa", ["--watch"]),
        ("jobs --state ", ["held", "pending", "starting", "running", "suspended", "finishing", "done", "success", "failed", "cancelled", "timeout", "memory", "lost", "rejected", "dependency"]),
        ("jobs --state held,su", ["held,suspended", "held,success"]),
        ("jobs --state=ru", ["--state=running"]),
        ("jobs --format=id,na", ["--format=id,name"]),
        ("rm list --format driv", ["driver"]),
        ("jobs --user ", ["<users>"]),
        ("wait ", ["140", "12"]),
        ("wait 12 1", ["140", "12"]),
        ("cancel 140_", ["140_1"]),
        ("logs 140_", ["140_0", "140_1"]),
        ("logs ", ["140", "13", "12"]),
        ("logs -f 12 ", []),
        ("release ", ["140"]),
        ("suspend ", ["12"]),
        ("requeue --failed 13", ["13"]),
        ("acct --job 1", ["140", "13", "12"]),
        ("submit --after ", ["140", "13", "12"]),
        ("submit --after 12:a", ["12:any"]),
        ("submit --after 12:ok,13", ["12:ok,13"]),
        ("submit -p ", ["main", "gpu"]),
        ("partitions stop ", ["main", "gpu"]),
        ("configurations use n", ["night"]),
        ("events wait node/st", ["node/status"]),
        ("submit -c 4 --pa", ["--partition"]),
        ("submit -w n1,", ["n1,n2"]),
        ("submit -o ", ["<files>"]),
        ("submit --output=", ["<files>"]),
        ("submit -D ", ["<folders>"]),
        ("submit ", ["<files>"]),
        ("submit -- ", ["<commands>"]),
        ("submit -- make ", ["<files>"]),
        ("submit -- make --wa", ["<files>"]),
        ("run -c 2 ", ["<commands>"]),
        ("run make -", ["<files>"]),
        ("node ", ["n1", "n2"]),
        ("nodes drain n1 n", ["n1", "n2"]),
        ("config set m", ["max-cpus"]),
        ("config set max-cpus ", []),
        ("completion ", ["bash", "zsh", "fish"]),
        ("query ", []),
        ("sim ", ["<files>"]),
        ("sim a.swf ", ["<files>"]),
        ("sim --policy easy,c", ["easy,conservative"]),
        ("sim --rule ", ["event", "batch"]),
        ("sim --format pol", ["policy"]),
        ("run --distribution c", ["cyclic"]),
    ],
)  # fmt: skip
def test_each_place_has_its_words(machine: Manager, line: str, expected: list[str]) -> None:
    assert offered(machine.state, line) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_offered(machine: Manager, name: str) -> None:
    found = offered(machine.state, f"{name} -")
    flags = [flag for option in COMMANDS[name].options for flag in option.flags]
    assert set(found) == {*flags, "--help", "-h"}


def test_every_command_is_offered(machine: Manager) -> None:
    assert set(offered(machine.state, "")) == {name.split()[0] for name in COMMANDS}
    assert set(offered(machine.state, "-")) >= {f"--{name}" for name in GENERAL}


@pytest.mark.parametrize("line", ["wait ", "node ", "config set ", "submit -p "])
def test_nothing_is_said_where_no_machine_is_up(tmp_path: Path, line: str) -> None:
    assert offered(tmp_path, line) == []
    done = ostler(None, "completion", "bash", "--state", str(tmp_path), *line.split(" "))
    assert (done.status, done.out, done.err) == (0, "words\n", "")


def test_a_machine_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    with manager(tmp_path, lambda _: SILENCE):
        assert offered(tmp_path, "wait ") == []


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "12:ok"), ("zsh", "12\\:ok"), ("fish", "12:ok")]
)
def test_each_shell_is_told_in_its_own_way(machine: Manager, shell: str, line: str) -> None:
    words = ("completion", shell, "--state", str(machine.state))
    assert ostler(None, *words, "submit", "--after", "12:o").out == f"words\n{line}\n"
    told = {"bash": "cancel", "zsh": "cancel:", "fish": "cancel\t"}[shell]
    assert ostler(None, *words, "canc").out.startswith(f"words\n{told}")


def test_a_shell_that_is_not_known_is_refused() -> None:
    done = ostler(None, "completion", "csh")
    assert done.status == 2
    assert "expected: bash, zsh, fish" in done.err or "bash, zsh, fish" in done.err

"""`ostler rm new` begins a driver, and `ostler rm check` says what is wrong with one."""

import re
from pathlib import Path
from typing import Any

import pytest

from ostler.drivers.slurm import Slurm
from ostler.model.errors import UsageError
from ostler.testing.conformance.named import bench_of
from ostler.wire.messages import Administer
from tests.unit.scripted import Answer, Done, Request, manager, ostler

FOUR = """
from ostler.model.foreign import About, ForeignNode, Jobs, Nodes, NodeState, Option

class Faulty:
    about = About(
        name="faulty",
        title="Faulty",
        options=frozenset({Option.SUBMIT}),
        settings={"host": "Where it is."},
    )

    def __init__(self, settings):
        if "host" not in settings:
            raise ValueError("faulty needs host=NAME")

    def list_nodes(self):
        print("a driver may print")
        return Nodes((ForeignNode("n1", NodeState.UP, 4),) * 2)

    def list_jobs(self):
        return Jobs(())

    def start(self, order):
        import os
        os._exit(7)

    def cancel(self, job, token): ...
"""


def check(folder: Path, *words: str) -> Done:
    (folder / "faulty.py").write_text(FOUR)
    return ostler(folder / "state", "rm", "check", "faulty", *words, cwd=folder)


def test_a_fault_is_told_with_what_came_and_what_was_expected(tmp_path: Path) -> None:
    done = check(tmp_path, "host=here", "--case", "lists-nodes")
    assert done.status == 1
    assert done.out.splitlines() == [
        "failed   lists-nodes: it lists n1 twice; expected each node once",
        "faulty: 0 passed, 1 failed, 0 skipped",
    ]


def test_a_driver_that_ends_its_process_fails_its_case_alone(tmp_path: Path) -> None:
    cases = ("--case", "lists-jobs", "--case", "requeues", "--case", "keeps-the-order-of-nodes")
    done = check(tmp_path, "host=here", "--json", *cases)
    document = done.document
    told = [(case["verdict"], case["text"]) for case in document.pop("cases")]
    assert told == [
        ("failed", "its process ended with status 7; expected an answer, or Trouble"),
        ("skipped", "the driver does not declare requeue"),
        ("passed", ""),
    ]
    assert document == {"driver": "faulty", "passed": 1, "failed": 1, "skipped": 1}


def test_settings_that_it_does_not_take_are_refused_with_those_that_it_has(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.status == 2
    assert "faulty needs host=NAME (host: Where it is.)" in done.err


def test_an_unknown_case_is_refused(tmp_path: Path) -> None:
    done = check(tmp_path, "host=here", "--case", "nothing")
    assert (done.status, "there is no case 'nothing'" in done.err) == (2, True)


def test_what_is_particular_to_a_driver_is_told_without_a_machine(tmp_path: Path) -> None:
    """R-MAU-14: verbs, states, the oldest version and the known limits, as its chapter has them."""
    done = ostler(tmp_path / "state", "rm", "show", "slurm")
    assert done.status == 0
    about = Slurm.about
    for text in ("verbs: list_nodes, list_jobs, start, cancel", f"oldest version: {about.oldest}"):
        assert f"{text}\n" in done.out
    for words in (about.job_states, about.node_states):
        assert words
        for word, ours in words.items():
            assert re.search(rf"^  {re.escape(word)} +{re.escape(ours)}$", done.out, re.MULTILINE)
    assert about.limits
    assert [limit for limit in about.limits if f"\n  {limit}\n" not in done.out] == []
    done = ostler(tmp_path / "state", "rm", "show", "wiki")
    lines = done.out.splitlines()
    assert "verbs: list_nodes, list_jobs, start, cancel" in lines
    assert "options: many_nodes, resume, suspend" in lines
    assert "oldest version: WIKI interface specification 1.1" in lines
    assert "  Vacated    vacated" in lines
    assert "  It tells no reason for waiting." in lines


def test_a_name_that_is_no_driver_either_is_missing_as_before(tmp_path: Path) -> None:
    assert ostler(tmp_path / "state", "rm", "show", "nothing").status == 5


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["rm", "add", "a", "local", "folder=here"], "local needs folder=/an/absolute/path"),
        (["rm", "set", "a", "folder=/"], ""),
        (["rm", "set", "a", "config=/x"], "config=/x: there is no such file or folder"),
        (["rm", "set", "a", "interval=5s"], ""),
        (["config", "apply", "site.toml"], "local needs folder=/an/absolute/path"),
    ],
)
def test_what_a_driver_cannot_begin_with_is_told_as_it_is_set(
    tmp_path: Path, words: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be mended later, so it is set."""
    monkeypatch.chdir(tmp_path)
    Path("site.toml").write_text("[rms.a]\ndriver = 'local'\nsettings = { folder = 'here' }\n")
    key, value = words[-1].split("=") if "=" in words[-1] else ("folder", "here")
    old: dict[str, Any] = {"driver": "slurm" if key == "config" else "local", "settings": {}}
    new = old if key == "interval" else old | {"settings": {key: value}}
    row = {"verb": "set", "kind": "rm", "name": "a", "before": old, "after": new, "text": "set a"}

    def answer(request: Request) -> Answer:
        if isinstance(request, Administer):
            return {"changes": [row]}
        return {
            "partitions": [{"name": "main", "is_default": True}],
            "configurations": [{"name": "default", "active": True, "nodes": {"main": "*"}}],
            "serial": 1,
        }

    with manager(tmp_path, answer):
        done = ostler(tmp_path, *words)
    assert done.status == 0, done.err
    assert (f"a cannot be asked as it stands: {complaint}" in done.err) is bool(complaint), done.err


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        ("no_such_module:X", "cannot be loaded: ModuleNotFoundError"),
        ("..x:Y", "cannot be loaded: TypeError"),
        ("os.path:join", "is no driver"),
    ],
)
def test_what_cannot_be_loaded_as_a_driver_is_no_defect_of_ostler(driver: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        bench_of(driver, {})

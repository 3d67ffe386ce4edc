"""What a real machine prints with --json has the keys that the reference promises."""

import json
from typing import Any

import pytest

from ostler.cli.reference import DOCUMENTS
from tests.e2e.machine_kit import Host

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def jobs(host: Host) -> dict[str, str]:
    """One job that has ended, one that is held, one array."""
    ended = host.submit("--", "true")
    held = host.submit("--hold", "--", "true")
    array = host.submit("--array", "0-1", "--", "true")
    host.ostler("wait", ended, array)
    return {"ENDED": ended, "HELD": held, "ARRAY": array}


COMMANDS = {
    "submit": "submit --json -- true",
    "jobs": "jobs --json",
    "jobs, ended ones too": "jobs --all --json",
    "job": "job ARRAY --json",
    "wait": "wait ENDED --json",
    "run": "run --json true",
    "modify": "modify HELD -t 5m --json",
    "cancel": "cancel ENDED --json",
    "explain": "explain HELD --json",
    "explain, ended": "explain ENDED --json",
    "explain --if": "explain HELD --if time=5m --if-nodes +1 --json",
    "explain --if, a new job": "explain --if cpus=1 --json",
    "logs": "logs ENDED --json",
    "up": "up --json",
    "status": "status --json",
    "nodes": "nodes --json",
    "nodes drain": "nodes drain nosuch --json",
    "config effective": "config --json",
    "config set": "config set grace-period 30 --json",
    "events": "events --json",
    "events post": "events post user/a b --json",
    "handlers create": "handlers create doc event=user/document command=/bin/true --json",
    "handlers": "handlers --json",
    "history": "history ENDED --json",
    "acct": "acct --json",
    "access": "access --json",
    "usage": "usage --json",
    "query": "query --json",
    "doctor": "doctor --json",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_document_has_its_keys(host: Host, jobs: dict[str, str], name: str) -> None:
    words = [jobs.get(word, word) for word in COMMANDS[name].split()]
    if name == "query":
        words.append("select id from jobs")
    if name == "nodes drain":
        node = host.json("nodes")["nodes"][0]["name"]
        words[2] = node
    if name == "handlers":
        host.ostler("handlers", "create", "listed", "event=user/listed", "command=/bin/true")
    if name == "access":
        host.ostler("access", "set", "main", "--user", "somebody", "--max-cpus", "8")
    document: Any = json.loads(host.ostler(*words).stdout)
    if name == "nodes drain":
        host.ostler("nodes", "undrain", words[2])
    noun, keys = DOCUMENTS[name.partition(",")[0]]
    rows = document[noun] if noun else [document]
    assert rows
    for row in rows:
        assert set(keys.split()) <= set(row)

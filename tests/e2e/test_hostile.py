"""Garbage, floods and stalls on the sockets: daemons go on, and others are served."""

import random
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostler.model.limits import MAX_FRAME
from ostler.wire.address import dial
from ostler.wire.frames import frame
from tests.e2e.machine_kit import Host, machine

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS | st.binary(max_size=20) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
TYPES = st.sampled_from(
    [
        "submit",
        "submit_all",
        "act",
        "modify",
        "wait",
        "read",
        "query",
        "follow",
        "node_word",
        "administer",
        "use_configuration",
        "partition_word",
        "agent_hello",
        "heartbeat",
        "report",
        "leave",
        "starter",
        "forked",
        "",
    ]
)
FIELDS = st.sampled_from(
    [
        "id",
        "spec",
        "jobs",
        "links",
        "refs",
        "verb",
        "what",
        "ref",
        "options",
        "changes",
        "sql",
        "key",
        "value",
        "request_id",
        "blobs",
        "nodes",
        "seq",
        "rows",
        "node",
        "facts",
        "token",
        "alloc",
        "phase",
    ]
)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with machine(tmp_path_factory.mktemp("hostile"), "--cpus", "2") as found:
        yield found


def _still_serves(host: Host, before: dict[str, int]) -> None:
    assert host.pids() == before
    assert host.ostler("run", "echo", "served").stdout == "served\n"


def _is_answered(host: Host, message: dict[str, Any]) -> None:
    """Ask for it, and see that it is accepted, or refused with a sentence."""
    with dial(str(host.state / "sock"), 10.0) as sock:
        sock.sendall(frame(msgspec.msgpack.encode(message)))
        head = sock.recv(4, socket.MSG_WAITALL)
        body = sock.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    answer = msgspec.msgpack.decode(body)
    assert answer["type"] in ("ok", "error")
    assert answer.get("code") != "error", answer
    assert answer["type"] == "ok" or answer["message"]


def _poke(host: Host, name: str, data: bytes) -> None:
    """Send bytes and read whatever comes until the other side is done with us."""
    with dial(str(host.state / name), 5.0) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            return


@pytest.mark.parametrize("name", ["sock", "agent.sock"])
def test_random_bytes_end_only_their_own_connection(hosts: Host, name: str) -> None:
    before = hosts.pids()
    rng = random.Random(7)
    for size in (1, 3, 4, 5, 100, 5000):
        _poke(hosts, name, rng.randbytes(size))
        _poke(hosts, name, frame(rng.randbytes(size)))
    _poke(hosts, name, (MAX_FRAME + 1).to_bytes(4, "big") + b"x" * 100)
    _poke(hosts, name, frame(b"\x91" * 5000))
    _still_serves(hosts, before)


@pytest.mark.parametrize("name", ["sock", "agent.sock"])
def test_messages_of_any_shape_are_refused_and_nobody_falls(hosts: Host, name: str) -> None:
    before = hosts.pids()

    @settings(max_examples=80)
    @given(TYPES, st.dictionaries(FIELDS, VALUES, max_size=6))
    def poke(kind: str, fields: dict[str, Any]) -> None:
        _poke(hosts, name, frame(msgspec.msgpack.encode(fields | {"type": kind})))

    poke()
    _still_serves(hosts, before)


SPEC_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "argv": st.lists(st.binary(max_size=10), max_size=3),
    "cwd": st.binary(max_size=10) | st.just(b"/"),
    "request": st.fixed_dictionaries(
        {},
        optional={k: st.integers(-5, 2**62) for k in ("tasks", "cpus", "memory", "gpus", "nodes")},
    ),
    "array": st.lists(st.tuples(st.integers(-2, 10**8), st.integers(-2, 10**8)), max_size=3),
    "time_limit": st.integers(-5, 2**62),
    "priority": st.integers(-5, 200),
    "after": st.lists(
        st.fixed_dictionaries({"job": st.integers(0, 5), "kind": st.text(max_size=3)}), max_size=2
    ),
    "output": st.binary(max_size=10),
    "partition": st.sampled_from(["main", "x", ""]),
    "hold": st.just(True),
    "not_before": st.floats(),
}


def test_specs_of_any_shape_are_accepted_or_refused_with_a_sentence(hosts: Host) -> None:
    before = hosts.pids()

    @settings(max_examples=100)
    @given(st.fixed_dictionaries({}, optional=SPEC_FIELDS), st.text(max_size=10))
    def submit(spec: dict[str, Any], rid: str) -> None:
        message = {"type": "submit", "id": 1, "request_id": rid, "spec": spec, "dry": True}
        _is_answered(hosts, message)

    submit()
    _still_serves(hosts, before)


def test_jobs_that_go_together_are_accepted_or_refused_with_a_sentence(hosts: Host) -> None:
    before = hosts.pids()
    kinds = st.sampled_from(["ok", "any", "each", "", "x" * 300])
    links = st.lists(st.tuples(st.integers(-1, 4), kinds) | VALUES, max_size=3)
    spec = st.fixed_dictionaries({}, optional=SPEC_FIELDS)
    parts = st.lists(st.fixed_dictionaries({"spec": spec}, optional={"links": links}), max_size=4)

    @settings(max_examples=100)
    @given(parts | VALUES, st.text(max_size=10))
    def submit(jobs: Any, rid: str) -> None:
        message = {"type": "submit_all", "id": 1, "request_id": rid, "jobs": jobs, "dry": True}
        _is_answered(hosts, message)

    submit()
    _still_serves(hosts, before)


def test_one_who_floods_and_one_who_never_reads_do_not_stop_others(hosts: Host) -> None:
    before = hosts.pids()
    read = frame(msgspec.msgpack.encode({"type": "read", "id": 1, "what": "status"}))
    with (
        dial(str(hosts.state / "sock"), 0.5) as flood,
        dial(str(hosts.state / "sock"), 0.5) as half,
        dial(str(hosts.state / "agent.sock"), 0.5) as stalled,
    ):
        half.sendall(read[:7])
        stalled.sendall(frame(b"\x80")[:3])
        try:
            for _ in range(20_000):
                flood.sendall(read)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass  # we were made to wait, or dropped
        _still_serves(hosts, before)

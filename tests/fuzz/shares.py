"""What hostile managers, agents and starters say of shares: orders and reports that lie."""

import os
import typing
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from ostler.model import orders
from ostler.model.resources import Placement
from ostler.wire import messages
from tests.fuzz.values import ANY, TEXTS, Fields, Value

FIRST = 1_000  # of the allocations that are theirs; those below are others' and stay untouched
ALLOCS = st.integers(FIRST, FIRST + 8)
STRAY = ALLOCS | st.sampled_from([0, -1, 2**31, 2**53, 2**63 - 1, 2**64 - 1])

# Programs and files that harm nobody, as root either.
COMMANDS: list[list[bytes]] = [
    [b"/bin/true"],
    [b"/bin/sleep", b"0.01"],
    [b"/nonexistent"],
    [b""],
    [],
]
FILES = [b"", b"/dev/null", b"%j.%a.%t", b"%", b"x" * 5000, b"/dev/full", b"no/such", b"\0"]

# Kinds of message between agent and starter, whose fields are those of the orders.
KINDS = ["start_tasks", "feed", "withdraw", "end", "signal", "suspend", "resume", "retime", "lease"]
KINDS += ["ping", "forget", "acked", "quit", "nonsense"]


def _known(folder: Path) -> dict[str, Value]:
    work = os.fsencode(folder)
    spans = st.lists(
        st.sampled_from([[0, 0], [0, 3], [2, 1], [-1, 2], [0, 10**7], [5, 2**62]]), max_size=3
    )
    return {
        "alloc": STRAY,
        "uid": st.just(os.getuid()) | st.sampled_from([65534, -1, 2**31, 2**32, 2**63]),
        "gid": st.just(os.getgid()) | st.sampled_from([65534, -1, 2**32, 2**63]),
        "user": st.sampled_from(["root", "nobody", "", "no such user", "\0"]),
        "argv": st.sampled_from(COMMANDS),
        "script": st.sampled_from([b"", b"exit 3\n", b"#!/nonexistent\n", b"\xff\0", b"#!/bin/sh"]),
        "cwd": st.just(work) | st.sampled_from([b"/nonexistent", b"", b"relative", b"\0"]),
        "output": st.sampled_from(FILES),
        "error": st.sampled_from(FILES),
        "input": st.sampled_from([b"", b"/dev/null", b"/nonexistent"]),
        "stdio": st.sampled_from(["", "", "", "token"]),
        "members": st.lists(TEXTS, max_size=2),
        "elements": spans,
        "returned": spans,
        "cause": st.sampled_from(["", "lost", "node", "cancelled", "nonsense"]),
        "phase": st.sampled_from(["idle", "made", "started", "ended", ""]),
        "grace": st.sampled_from([0, 0, 1, -1, 2**62]),
        "signal": st.sampled_from([0, 1, 15, 64, 65, -1, 2**40]),
        "rlimits": st.dictionaries(
            st.sampled_from(["as", "cpu", "nofile", "stack", "x"]),
            st.sampled_from([-2, -1, 0, 1, 64, 2**62, 2**63]),
            max_size=2,
        ),
    }


def launches(folder: Path, allocs: Value = STRAY) -> Value:
    """Return launch orders, whose tasks are no danger to the host of the test."""
    pool = _known(folder)
    harmless = ("argv", "script", "cwd", "output", "error", "input", "user", "uid", "gid", "stdio")
    fields = Fields(pool)
    placement = fields.record(Placement, node=st.just("n1"))
    fixed = {name: pool[name] for name in harmless} | {"alloc": allocs, "placement": placement}
    return fields.record(orders.Launch, **fixed)


def of_manager(folder: Path) -> Value:
    """Return what a manager says to an agent. Its epochs stay in reach of the next manager's."""
    fields = Fields(_known(folder))
    kinds = [kind for kind in typing.get_args(orders.Order) if kind is not orders.Launch]
    order = st.one_of([launches(folder), *(fields.record(kind, alloc=STRAY) for kind in kinds)])
    epoch = st.sampled_from([0, 1, 1, 1, 2, -1])
    given = fields.record(messages.Orders, epoch=epoch, orders=st.lists(order, max_size=4) | ANY)
    welcome = fields.record(messages.Welcome, epoch=epoch)
    rest = [fields.record(kind) for kind in (messages.Ack, messages.Heartbeat, messages.Failure)]
    return st.one_of([given, given, given, welcome, *rest])


def of_agent(folder: Path, allocs: Value) -> Value:
    """Return what an agent says to a starter."""
    fields = Fields(_known(folder))
    told: list[Value] = [launches(folder, allocs)]
    for kind in typing.get_args(orders.Order):
        record = fields.record(kind, alloc=allocs)
        told.append(st.builds(_named, record, st.sampled_from(KINDS)))
    return st.one_of(told)


def _named(message: dict[str, object], kind: str) -> dict[str, object]:
    return {**message, "type": kind}


def of_starter(folder: Path, allocs: Value) -> Value:
    """Return what a starter says to its agent, of its share and of others'."""
    fields = Fields(_known(folder))
    kinds = typing.get_args(orders.ReportRow)
    return st.one_of([fields.record(kind, alloc=allocs) for kind in kinds])


def hello(folder: Path, **fixed: Value) -> Value:
    """Return greetings of starters."""
    fields = Fields(_known(folder))
    return fields.record(_Hello, **fixed)


class _Hello(msgspec.Struct, tag="starter"):
    """As a starter greets, with all it says; an agent may ignore some."""

    name: str
    pid: int
    start_time: int
    boot_id: str
    uid: int
    alloc: int | None
    phase: str

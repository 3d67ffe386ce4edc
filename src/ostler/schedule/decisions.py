"""Decisions as they are written down: what a scheduler was told, when it was asked, what it planned.

A file is `HEADER`, then records: four bytes of length, big-endian, and a MessagePack value. Before
the first delta that resets everything, records mean nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Struct

from ostler.schedule.snapshot import Delta, Line, Plan, Wait

HEADER = b"ostler decisions 1\n"
MOST = 64 << 20  # bytes of one record


class Told(Struct, tag="told"):
    """What has changed on the machine."""

    delta: Delta


class Asked(Struct, tag="asked"):
    """A plan was asked for, made from all that was told before."""

    now: float  # Unix seconds


class Decided(Struct, tag="decided"):
    """The plan: `plain` of it. It may stand behind what was told since it was asked for."""

    plan: bytes


Record = Told | Asked | Decided


class Cut(NamedTuple):
    """The file ends within a record: whoever wrote it was killed, or it is no whole copy."""

    record: int  # from 1, in the order of the file
    byte: int  # of the file, at which the record begins
    size: int  # bytes of it that are there


class _Plain(Struct, array_like=True):
    """A plan in the one order in which it is written."""

    lines: list[Line]
    waits: list[tuple[int, Wait]]
    yields: list[int]
    number: int
    wake: float | None
    turned: tuple[str, ...] = ()
    promised: list[tuple[int, float]] = []


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode
_decode_plain = msgspec.msgpack.Decoder(_Plain).decode


def framed(data: bytes) -> bytes:
    """Return a record with its length before it."""
    return len(data).to_bytes(4, "big") + data


def plain(plan: Plan) -> bytes:
    """Return a plan as bytes: equal plans are equal bytes."""
    waits = sorted(plan.waits.items(), key=lambda pair: pair[0])
    promised = sorted(plan.promised.items())
    yields = sorted(plan.yields)
    return encode(_Plain(plan.lines, waits, yields, plan.number, plan.wake, plan.turned, promised))


def plan_of(data: bytes) -> Plan:
    """Return the plan that was written; raise ValueError."""
    found = _decode_plain(data)
    waits, yields = dict(found.waits), frozenset(found.yields)
    promised = dict(found.promised)
    return Plan(found.lines, waits, yields, found.number, found.wake, found.turned, promised)


def records(data: memoryview) -> Iterator[Record | Cut]:
    """Yield the records of a file, which begins with a header; raise ValueError."""
    at, number = len(HEADER), 1
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size > MOST and at + 4 <= len(data):
            raise ValueError(f"the record at byte {at} would have {size} bytes")
        if at + 4 + size > len(data):
            yield Cut(number, at, len(data) - at)
            return
        try:
            yield _decode(data[at + 4 : at + 4 + size])
        except msgspec.MsgspecError as error:
            raise ValueError(f"the record at byte {at} makes no sense: {error}") from error
        at += 4 + size
        number += 1

"""A spool tells what its starter did, however it was cut or damaged."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.agent import spool
from ostler.agent.spool import Spool, SpoolState, encode, read_spool

HEADER: dict[str, object] = {
    "name": "s1",
    "pid": 4711,
    "start_time": 99,
    "boot_id": "b",
    "uid": 0,
    "state": b"/s",
    "groups": ["/g"],
}
ORDER: dict[str, object] = {"alloc": 12, "job": 7, "time_limit": 60, "grace": 30, "at": 1.0}
END: dict[str, object] = {"type": "ended", "alloc": 12, "tasks": [[0, 3, 0], [1, 0, 9]]}
STORY: list[tuple[int, list[object]]] = [
    (spool.ACCEPTED, [ORDER]),
    (spool.INTENT, [0, 2.0]),
    (spool.PID, [0, 100, 5000]),
    (spool.INTENT, [1, 3.0]),
    (spool.PID, [1, 101, 5001]),
    (spool.SUSPENDED, [4.0]),
    (spool.RESUMED, [6.0, 2.0]),
    (spool.RETIMED, [120]),
    (spool.STATUS, [0, 3, 0, 7.0]),
    (spool.USAGE, [0, 0.5, 0.25, 1000, 512, 1024]),
    (spool.CAUSE, [{"cause": "cancelled", "why": "by eve", "grace": 30, "at": 8.0}]),
    (spool.STATUS, [1, 0, 9, 9.0]),
    (spool.USAGE, [1, 0.5, 0.25, 2000, 0, 0]),
    (spool.ENDED, [END]),
]
RECORDS = [encode(spool.HEADER, HEADER), *(encode(kind, *values) for kind, values in STORY)]
WHOLE = b"".join(RECORDS)
BOUNDS = [sum(map(len, RECORDS[:count])) for count in range(len(RECORDS) + 1)]


def facts(state: SpoolState) -> tuple[object, ...]:
    """Everything a spool says, in a form that can be compared."""
    tasks = [
        (t.rank, t.phase, t.pid, t.start_time, t.code, t.signal, t.intended_at, t.ended_at)
        for t in state.tasks.values()
    ]
    return (
        state.header, state.accepted, tasks, state.cause, state.why, state.suspended_at,
        state.suspended, state.time_limit, state.usage, state.ended,
    )  # fmt: skip


def read(tmp_path: Path, data: bytes) -> SpoolState:
    path = tmp_path / "spool"
    path.write_bytes(data)
    return read_spool(str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spools")


def test_a_whole_story_is_told(tmp_path: Path) -> None:
    state = read(tmp_path, WHOLE)
    assert (state.pid, state.start_time, state.boot_id, state.folder) == (4711, 99, "b", b"/s")
    assert (state.alloc, state.groups, state.time_limit) == (12, ["/g"], 120)
    assert [(t.phase, t.pid, t.code, t.signal) for t in state.tasks.values()] == [
        ("ended", 100, 3, 0),
        ("ended", 101, 0, 9),
    ]
    assert (state.cause, state.why, state.started_at) == ("cancelled", "by eve", 2.0)
    assert state.usage == [1.0, 0.5, 2000, 512, 1024]
    assert (state.suspended_at, state.suspended) == (None, 2.0)
    assert state.ended == END
    assert (state.cut, state.damage) == (False, [])


@pytest.mark.parametrize(
    ("records", "phase"), [(2, None), (3, "intended"), (4, "running"), (10, "ended")]
)
def test_the_spool_says_how_far_a_task_came(
    tmp_path: Path, records: int, phase: str | None
) -> None:
    state = read(tmp_path, b"".join(RECORDS[:records]))
    assert (state.tasks[0].phase if 0 in state.tasks else None) == phase
    assert (state.started_at is None) == (phase is None)


def test_a_spool_cut_at_any_byte_tells_a_beginning_of_the_story(tmp_path: Path) -> None:
    told = [facts(read(tmp_path, WHOLE[:bound])) for bound in BOUNDS]
    for at in range(len(WHOLE) + 1):
        state = read(tmp_path, WHOLE[:at])
        whole = max(index for index, bound in enumerate(BOUNDS) if bound <= at)
        assert facts(state) == told[whole], at
        assert state.cut == (at not in BOUNDS), at
        assert state.damage == [], at


@given(at=st.integers(0, len(WHOLE) - 1), flip=st.integers(1, 255))
def test_one_broken_record_is_reported_and_the_others_are_read(
    folder: Path, at: int, flip: int
) -> None:
    broken = bytearray(WHOLE)
    broken[at] ^= flip
    state = read(folder, bytes(broken))
    index = max(i for i, bound in enumerate(BOUNDS) if bound <= at)
    others = b"".join(RECORDS[:index] + RECORDS[index + 1 :])
    assert facts(state) == facts(read(folder, others))
    read(folder, bytes(broken))
    assert state.cut or state.damage
    for sentence in state.damage:
        assert f"bytes {BOUNDS[index]} to {BOUNDS[index + 1] - 1}" in sentence


@given(junk=st.binary(max_size=300), before=st.integers(0, len(RECORDS)))
def test_no_contents_make_the_reader_fail(folder: Path, junk: bytes, before: int) -> None:
    read(folder, b"".join(RECORDS[:before]) + junk)


@given(st.binary(max_size=60))
def test_a_whole_record_with_a_strange_body_is_left_out(folder: Path, body: bytes) -> None:
    import binascii
    import struct

    rest = struct.pack("<IBB", len(body), spool.ACCEPTED, 1) + body
    state = read(folder, RECORDS[0] + binascii.crc32(rest).to_bytes(4, "little") + rest)
    assert state.pid == 4711


def test_a_tail_of_zeros_as_a_power_cut_leaves_is_no_record(tmp_path: Path) -> None:
    state = read(tmp_path, b"".join(RECORDS[:4]) + bytes(4096))
    assert state.tasks[0].phase == "running"
    assert len(state.damage) == 1


def test_an_empty_spool_tells_nothing(tmp_path: Path) -> None:
    state = read(tmp_path, b"")
    assert (state.header, state.alloc, state.pid, state.groups) == ({}, None, 0, [])


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s1"
    written = Spool(os.fsencode(path), HEADER)
    for kind, values in STORY:
        written.add(kind, *values)
    assert path.read_bytes() == WHOLE
    assert path.stat().st_mode & 0o777 == 0o600
    written.restart()
    assert path.read_bytes() == RECORDS[0]
    written.close()


def test_no_piece_of_a_record_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s1"
    written = Spool(os.fsencode(path), HEADER)
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:5]))
    with pytest.raises(OSError, match="No space"):
        written.add(*STORY[1][:1], *STORY[1][1])
    monkeypatch.undo()
    written.add(spool.INTENT, 0, 2.0)
    written.close()
    assert path.read_bytes() == RECORDS[0] + RECORDS[2]

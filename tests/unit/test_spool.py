"""A spool tells what its starter did, however it was cut or damaged."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.agent import spool
from ostler.agent.spool import Spool, SpoolState, encode, read_spool, twin_of
from ostler.agent.starter_protocol import VERSION

Story = list[tuple[int, list[object]]]

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
STORY: Story = [
    (spool.ACCEPTED, [ORDER]),
    (spool.INTENT, [0, 5, 1, 2.0]),
    (spool.PID, [0, 100, 5000]),
    (spool.INTENT, [1, 5, 1, 3.0]),
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


def written(story: Story) -> list[bytes]:
    """The records of a story, the header first."""
    first = encode(spool.HEADER, {**HEADER, "generation": 1})
    return [first, *(encode(kind, *values) for kind, values in story)]


def bounds_of(records: list[bytes]) -> list[int]:
    """Where records begin, and the end."""
    return [sum(map(len, records[:count])) for count in range(len(records) + 1)]


RECORDS = written(STORY)
WHOLE = b"".join(RECORDS)
BOUNDS = bounds_of(RECORDS)

# Elements 3 to 6 of a slot: the first ends by itself, the second by its limit, the third is
# rejected, the fourth runs.
SECOND = [4, 2, 5.0, 9.0, "timeout", "too long", [[0, 0, 15]], [1.0, 0.0, 64, 0, 0, 0.0]]
THIRD = [5, 1, None, 9.5, "rejected", "no such file", [], [0.0, 0.0, 0, 0, 0, 0.0]]
SLOT: Story = [
    (spool.ACCEPTED, [{"alloc": 12, "job": 7, "element": 3, "is_slot": True}]),
    (spool.INTENT, [0, 3, 1, 2.0]),
    (spool.PID, [0, 100, 5000]),
    (spool.STATUS, [0, 7, 0, 3.0]),
    (spool.USAGE, [-1, 0.25, 0.0, 800, 0, 0]),
    (spool.OVER, [1, 4.0, 0.5, 0.25, 1000, 512, 1024, 0.5]),
    (spool.INTENT, [0, 4, 2, 5.0]),
    (spool.PID, [0, 101, 5001]),
    (spool.CAUSE, [{"cause": "timeout", "why": "too long", "element": True}]),
    (spool.STATUS, [0, 0, 15, 8.0]),
    (spool.USAGE, [0, 1.0, 0.0, 64, 0, 0]),
    (spool.ENDS, [{"rows": [SECOND], "last": 2}]),
    (spool.HEARD, [1]),
    (spool.ENDS, [{"rows": [THIRD], "last": 3}]),
    (spool.INTENT, [0, 6, 1, 10.0]),
    (spool.PID, [0, 102, 5002]),
]
FIRST = [3, 1, 2.0, 4.0, "", "", [[0, 7, 0]], [0.5, 0.25, 1000, 512, 1024, 0.5]]


def facts(state: SpoolState) -> tuple[object, ...]:
    """Everything a spool says, in a form that can be compared."""
    tasks = [
        (t.rank, t.phase, t.pid, t.start_time, t.code, t.signal, t.intended_at, t.ended_at)
        for t in state.tasks.values()
    ]
    return (
        state.header, state.accepted, tasks, state.cause, state.why, state.suspended_at,
        state.suspended, state.time_limit, state.usage, state.ended, state.is_slot, state.element,
        state.attempt, state.ends, state.first_start, state.share_cause, state.share_why,
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


@pytest.mark.parametrize("story", [STORY, SLOT], ids=["share", "slot"])
def test_a_spool_cut_at_any_byte_tells_a_beginning_of_the_story(
    tmp_path: Path, story: Story
) -> None:
    records = written(story)
    whole, bounds = b"".join(records), bounds_of(records)
    told = [facts(read(tmp_path, whole[:bound])) for bound in bounds]
    for at in range(len(whole) + 1):
        state = read(tmp_path, whole[:at])
        index = max(index for index, bound in enumerate(bounds) if bound <= at)
        assert facts(state) == told[index], at
        assert state.cut == (at not in bounds), at
        assert state.damage == [], at


@pytest.mark.parametrize(
    ("records", "element", "phase", "ends"),
    [
        (2, -1, None, []),
        (3, 3, "intended", []),
        (4, 3, "running", []),
        (6, 3, "ended", []),
        (7, -1, None, [FIRST]),
        (9, 4, "running", [FIRST]),
        (13, -1, None, [FIRST, SECOND]),
        (14, -1, None, [SECOND]),
        (15, -1, None, [SECOND, THIRD]),
        (16, 6, "intended", [SECOND, THIRD]),
        (17, 6, "running", [SECOND, THIRD]),
    ],
)
def test_a_slots_spool_says_what_ended_and_what_runs(
    tmp_path: Path, records: int, element: int, phase: str | None, ends: list[object]
) -> None:
    state = read(tmp_path, b"".join(written(SLOT)[:records]))
    assert (state.is_slot, state.element, state.ends) == (True, element, ends)
    assert (state.tasks[0].phase if state.tasks else None) == phase
    assert state.first_start == (None if records == 2 else 2.0)


def test_the_cause_of_an_element_is_not_that_of_its_slot(tmp_path: Path) -> None:
    records = written(SLOT)
    state = read(tmp_path, b"".join(records[:10]))
    assert (state.cause, state.why, state.share_cause) == ("timeout", "too long", "")
    end = encode(spool.CAUSE, {"cause": "cancelled", "why": "by eve"})
    state = read(tmp_path, b"".join([*records, end]))
    assert (state.cause, state.share_cause, state.share_why) == ("cancelled", "cancelled", "by eve")


def test_an_element_whose_end_is_damaged_is_not_taken_for_one_that_never_ran(
    tmp_path: Path,
) -> None:
    records = written(SLOT)
    del records[4:7]  # its status, usage and end
    state = read(tmp_path, b"".join(records[:6]))
    assert (state.element, state.ends[0][:2], state.ends[0][4]) == (4, [3, 1], "lost")


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

    rest = struct.pack("<IBB", len(body), spool.ACCEPTED, VERSION) + body
    state = read(folder, RECORDS[0] + binascii.crc32(rest).to_bytes(4, "little") + rest)
    assert state.pid == 4711


def test_a_tail_of_zeros_as_a_power_cut_leaves_is_no_record(tmp_path: Path) -> None:
    state = read(tmp_path, b"".join(RECORDS[:4]) + bytes(4096))
    assert state.tasks[0].phase == "running"
    assert len(state.damage) == 1


def test_an_empty_spool_tells_nothing(tmp_path: Path) -> None:
    state = read(tmp_path, b"")
    assert (state.header, state.alloc, state.pid, state.groups) == ({}, None, 0, [])


def begun(folder: Path) -> tuple[Path, Spool]:
    """A spool that is being written, and its path."""
    path = folder / "spools" / "s1"
    path.parent.mkdir(exist_ok=True)
    Path(twin_of(str(path))).parent.mkdir(exist_ok=True)
    return path, Spool(os.fsencode(path), HEADER)


def tell(file: Spool, story: Story) -> None:
    for kind, values in story:
        file.add(kind, *values)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path, file = begun(tmp_path)
    tell(file, STORY)
    assert path.read_bytes() == WHOLE
    assert path.stat().st_mode & 0o777 == 0o600
    file.restart()
    state = read_spool(str(path))
    assert (state.pid, state.alloc, state.tasks) == (4711, None, {})
    file.close()


def test_what_is_kept_is_written_with_the_next_record(tmp_path: Path) -> None:
    path, file = begun(tmp_path)
    tell(file, STORY[:1])
    file.keep(*STORY[1][:1], *STORY[1][1])
    assert path.read_bytes() == b"".join(RECORDS[:2])
    tell(file, STORY[2:3])
    assert path.read_bytes() == b"".join(RECORDS[:4])
    file.close()


def test_no_piece_of_a_record_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = begun(tmp_path)
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:5]))
    with pytest.raises(OSError, match="No space"):
        tell(file, STORY[:1])
    monkeypatch.undo()
    tell(file, STORY[1:2])
    file.close()
    assert path.read_bytes() == RECORDS[0] + RECORDS[2]


# ── a spool that is begun anew ───────────────────────────────────────────────────────────────
CARRIED: dict[str, object] = {
    "accepted": SLOT[0][1][0],
    "time_limit": 60,
    "first_start": 2.0,
    "suspended_at": None,
    "cause": "",
    "why": "",
    "rows": [SECOND, THIRD],
    "last": 3,
}


def test_a_spool_that_is_begun_anew_tells_the_same(tmp_path: Path) -> None:
    path, file = begun(tmp_path)
    tell(file, SLOT[:-2])
    before = facts(read_spool(str(path)))[1:]
    for _ in range(3):
        file.renew({**CARRIED, "time_limit": 0})
        assert facts(read_spool(str(path)))[1:] == before
    tell(file, SLOT[-2:])
    state = read_spool(str(path))
    assert (state.element, state.ends, state.tasks[0].pid) == (6, [SECOND, THIRD], 102)
    assert state.first_start == 2.0
    file.restart()
    assert read_spool(str(path)).alloc is None
    file.close()


def test_no_byte_at_which_a_new_beginning_is_cut_loses_anything(tmp_path: Path) -> None:
    path, file = begun(tmp_path)
    twin = Path(twin_of(str(path)))
    tell(file, SLOT[:-2])
    before, old = facts(read_spool(str(path)))[1:], path.read_bytes()
    file.renew({**CARRIED, "time_limit": 0})
    file.close()
    new = twin.read_bytes()
    for at in range(len(new) + 1):  # the writer died here: the old file is still whole
        path.write_bytes(old)
        twin.write_bytes(new[:at])
        state = read_spool(str(path))
        assert facts(state)[1:] == before, at
        assert (state.cut, state.damage) == (False, []), at
        assert state.path == str(twin if at == len(new) else path)


def test_a_full_disk_does_not_harm_a_spool_that_should_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = begun(tmp_path)
    tell(file, SLOT[:-2])
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:50]))
    with pytest.raises(OSError, match="No space"):
        file.renew(CARRIED)
    monkeypatch.undo()
    tell(file, SLOT[-2:])
    file.close()
    assert facts(read_spool(str(path)))[1:] == facts(read(tmp_path, b"".join(written(SLOT))))[1:]


def test_removing_a_spool_removes_both_files(tmp_path: Path) -> None:
    path, file = begun(tmp_path)
    file.close()
    spool.remove(str(path))
    assert not path.exists()
    assert not Path(twin_of(str(path))).exists()
    spool.remove(str(path))

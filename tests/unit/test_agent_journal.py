"""The agent's journal: what was written is there again, whatever happened to the file."""

from pathlib import Path

import pytest

from ostler.agent.journal import Handed, Journal
from ostler.model.orders import Ended, Launch
from ostler.model.resources import Placement, Request


def launch(alloc: int, env: bytes = b"") -> Launch:
    return Launch(alloc, 1, 0, 1, "u", 1000, 1000, Placement("n"), Request(), env=env)


def opened(path: Path, boot: str = "this boot") -> Journal:
    return Journal(str(path), boot)


def test_what_was_accepted_handed_and_ended_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    row, handed = Ended(2, 5.0, 4.0), Handed(2, "s1", 10, 20, (30, 40))
    journal = opened(path)
    for alloc in (1, 2, 3):
        journal.accept(launch(alloc), 3.0)
    journal.hand(handed)
    journal.finish(row)
    journal.drop(3)
    journal.close()
    for _ in range(2):  # what was compacted says the same
        again = opened(path)
        entries = again.entries
        assert [(e.launch, e.handed, e.ended, e.accepted_at) for e in entries.values()] == [
            (launch(1), None, None, 3.0),
            (launch(2), handed, row, 3.0),
        ]
        again.close()


def test_records_keep_the_boot_they_were_written_in(tmp_path: Path) -> None:
    for boot, alloc in (("first", 1), ("second", 2)):
        journal = opened(tmp_path / "journal", boot)
        journal.accept(launch(alloc), 1.0)
        journal.close()
    last = opened(tmp_path / "journal", "third")
    assert {a: e.boot_id for a, e in last.entries.items()} == {1: "first", 2: "second"}
    last.close()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_record_that_was_cut_is_left_out_and_said(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal"
    journal = opened(path)
    journal.accept(launch(1), 1.0)
    whole = path.stat().st_size
    journal.accept(launch(2), 1.0)
    journal.close()
    path.write_bytes(path.read_bytes()[: whole + cut])
    again = opened(path)
    assert list(again.entries) == [1]
    assert len(again.damage) == 1
    again.close()


def test_what_follows_damage_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = opened(path)
    journal.accept(launch(1), 1.0)
    start = path.stat().st_size
    journal.accept(launch(2, env=b"x" * 1000), 1.0)
    journal.accept(launch(3), 1.0)
    journal.close()
    data = bytearray(path.read_bytes())
    data[start + 500] ^= 1
    path.write_bytes(data)
    again = opened(path)
    assert list(again.entries) == [1, 3]
    assert "left out" in again.damage[0]
    again.close()


def test_it_does_not_grow_with_what_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = opened(path)
    for alloc in range(30):
        journal.accept(launch(alloc, env=b"x" * (1 << 20)), 1.0)
        if alloc:
            journal.drop(alloc)
    assert path.stat().st_size < 12 << 20
    journal.close()
    assert list(opened(path).entries) == [0]


def test_a_full_disk_is_an_error_and_leaves_no_piece_behind(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal"
    journal = opened(path)
    journal.accept(launch(1), 1.0)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, old[1]))
    try:
        with pytest.raises(OSError, match=r"space|large"):
            journal.accept(launch(2), 1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    journal.accept(launch(3), 1.0)
    journal.close()
    again = opened(path)
    assert (list(again.entries), again.damage) == ([1, 3], [])
    again.close()


def test_it_is_opened_where_there_is_no_room_for_another(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal"
    journal = opened(path, "first")
    journal.accept(launch(1), 1.0)
    journal.close()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
    try:
        journal = opened(path, "second")
        with pytest.raises(OSError, match=r"space|large"):
            journal.accept(launch(2), 1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    journal.accept(launch(3), 1.0)
    journal.close()
    again = opened(path, "third")
    assert {a: e.boot_id for a, e in again.entries.items()} == {1: "first", 3: "second"}
    again.close()

"""A listing of thousands of jobs is made in pieces, and others have their turns between them."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostler.manager import documents as module
from ostler.manager.documents import Listing
from ostler.manager.reads import Reads
from ostler.model.caller import Caller
from ostler.model.errors import NotNow
from ostler.model.site_changes import Change
from ostler.store.sqlite.archive import Archives
from ostler.store.sqlite.store import SqliteStore
from ostler.wire import messages
from tests.unit.core_kit import ANN, BOB, Box


def listing(box: Box, caller: Caller, **options: Any) -> Listing:
    store = SqliteStore.open(":memory:")
    nobody: Any = None  # agents have no part in a listing
    reads = Reads(store, lambda: box.machine, dict, nobody, Archives(Path("/nowhere")))
    found = reads.answer(
        caller, messages.Read(1, "jobs", "", messages.ReadOptions(**options)), box.now
    )
    assert isinstance(found, Listing)
    return found


@pytest.fixture
def piece(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "PIECE", 5)
    return 5


def ids(found: Listing) -> list[str]:
    rows = asyncio.run(found.rows(lambda: None))
    return [msgspec.msgpack.decode(row)["id"] for row in rows]


def test_own_unfinished_jobs_are_listed_in_order_and_the_newest_if_there_are_too_many() -> None:
    box = Box()
    for number in range(7):
        box.submit(by=BOB if number % 3 == 1 else ANN, hold=number == 3)
    assert ids(listing(box, ANN)) == ["1", "3", "4", "6", "7"]
    assert ids(listing(box, ANN, limit=2)) == ["6", "7"]
    assert listing(box, ANN, limit=2).more == 3
    assert ids(listing(box, ANN, user="bob")) == ["2", "5"]
    assert ids(listing(box, ANN, all=True)) == [str(number) for number in range(1, 8)]
    assert ids(listing(box, ANN, states=["held"])) == ["4"]
    assert ids(listing(box, ANN, user="nobody")) == []


def test_jobs_of_one_partition_are_listed_alone() -> None:
    box = Box(["n1", "n2"])
    box.change(
        Change("create", "partition", ("batch",)),
        Change("set", "configuration", ("",), {"nodes": {"batch": "n2"}}),
    )
    for by, name in ((ANN, "batch"), (ANN, "main"), (BOB, "batch")):
        box.submit(by=by, partition=name, hold=True)
    assert ids(listing(box, ANN, partition="batch")) == ["1"]
    assert ids(listing(box, ANN, partition="batch", all=True)) == ["1", "3"]
    assert ids(listing(box, ANN, partition="nosuch", all=True)) == []


def test_rows_have_the_columns_that_are_asked_for_and_hide_what_they_hid() -> None:
    box = Box()
    box.submit(by=BOB)
    wanted = ["id", "state", "command", "nothing"]
    for caller, keys in ((BOB, ["id", "state", "command"]), (ANN, ["id", "state"])):
        found = listing(box, caller, user="bob", columns=wanted)
        (row,) = asyncio.run(found.rows(lambda: None))
        assert list(msgspec.msgpack.decode(row)) == keys


def test_a_long_listing_lets_others_have_their_turns(piece: int) -> None:
    box = Box()
    for _ in range(2 * piece + 1):
        box.submit(hold=True)
    turns = []

    def check() -> None:
        turns.append(1)
        if len(turns) == 1:
            box.act("release", "1")

    rows = asyncio.run(listing(box, ANN).rows(check))
    assert len(rows) == 2 * piece + 1
    assert len(turns) == 2


def test_a_listing_for_nobody_ends(piece: int) -> None:
    box = Box()
    for _ in range(piece + 1):
        box.submit(hold=True)

    def check() -> None:
        raise NotNow("the client is gone")

    try:
        asyncio.run(listing(box, ANN).rows(check))
    except NotNow:
        return
    raise AssertionError

"""A listing of thousands of jobs is made in pieces, and others have their turns between them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ostler.core.listed import LISTED
from ostler.manager import documents as module
from ostler.manager.documents import Listing
from ostler.manager.reads import Reads
from ostler.model.caller import Caller
from ostler.model.errors import NotNow
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.model.states import JobState, Result
from ostler.store.sqlite.archive import Archives
from ostler.store.sqlite.store import SqliteStore
from ostler.wire import messages
from tests.store.builders import Held
from tests.unit.core_kit import ANN, BOB, Box


def listing(
    box: Box, caller: Caller, *, store: SqliteStore | None = None, **options: Any
) -> Listing:
    store = store or SqliteStore.open(":memory:")
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
    return [row["id"] for row in document(found)["jobs"]]


def document(found: Listing, check: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return the document as a client decodes it."""
    made = asyncio.run(found.document(check))
    decoded: dict[str, Any] = msgspec.msgpack.decode(messages.encode(made))
    return decoded


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


def test_an_array_that_has_ended_is_listed_with_whoever_had_elements_of_it() -> None:
    box = Box()
    alone, mixed, own, one = (box.submit(array=((0, 1),)) for _ in range(4))
    held = Held(":memory:")
    for number in (alone, mixed, own, one):
        job = replace(box.machine.state.jobs[number].job, state=JobState.DONE, ended_at=9.0)
        held.commit(replace(job, result=Result.SUCCESS, rm="a" if number == one else ""))
    for rm, job_id, element, attempt, ident in [
        *(("a", alone, 0, 1, "1"), ("b", alone, 1, 1, "1"), ("b", alone, 1, 2, "2")),
        *(("a", mixed, 0, 1, "3"), ("b", mixed, 1, 1, ""), ("b", own, 0, 1, "")),
    ]:
        held.commit(RmJob(rm, job_id, element, attempt, Stage.OVER, 5.0, ident))
    box.machine.state.jobs.clear()

    def listed(rm: str) -> list[str]:
        return ids(listing(box, ANN, store=held.store, all=True, rm=rm))

    assert listed("a") == [str(job) for job in (alone, mixed, one)]
    assert listed("b") == [str(alone)]
    assert listed("native") == [str(mixed), str(own)]


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


def test_a_table_is_told_by_column_and_what_is_the_same_once() -> None:
    box = Box()
    for number in range(3):
        box.submit(by=BOB, hold=number == 2)
    wanted = ["id", "state", "command", "nothing"]
    for caller in (ANN, BOB):  # nobody is told a command by a table
        (part,) = document(listing(box, caller, user="bob", columns=wanted))["parts"]
        states = [row["state"] for row in document(listing(box, BOB))["jobs"]]
        assert part == {"rows": 3, "columns": {"id": ["1", "2", "3"], "state": states}}
    (part,) = document(listing(box, BOB, columns=["user", "result"]))["parts"]
    assert part == {"rows": 3, "columns": {"user": ["bob"], "result": [None]}}
    assert document(listing(box, ANN, columns=wanted))["parts"] == []


def test_a_table_tells_what_whole_rows_tell() -> None:
    box = Box(["n1", "n2"])
    box.submit(request=Request(tasks=2, nodes=2))
    box.submit(array=((0, 9),))
    box.submit(hold=True)
    for jobs in (listing(box, ANN), listing(box, ANN, all=True)):
        rows = document(jobs)["jobs"]
        (part,) = document(jobs._replace(columns=list(LISTED)))["parts"]
        columns = {k: v * len(rows) if len(v) == 1 else v for k, v in part["columns"].items()}
        assert columns == {key: [row.get(key) for row in rows] for key in LISTED}
        assert any(row["allocation_nodes"] for row in rows)


def test_a_long_table_is_told_in_parts(piece: int) -> None:
    box = Box()
    for _ in range(2 * piece + 1):
        box.submit(hold=True)
    parts = document(listing(box, ANN, columns=["id", "user"]))["parts"]
    assert [part["rows"] for part in parts] == [piece, piece, 1]
    assert parts[2]["columns"] == {"id": [str(2 * piece + 1)], "user": ["ann"]}


def test_a_long_listing_lets_others_have_their_turns(piece: int) -> None:
    box = Box()
    for _ in range(2 * piece + 1):
        box.submit(hold=True)
    turns = []

    def check() -> None:
        turns.append(1)
        if len(turns) == 1:
            box.act("release", "1")

    assert len(document(listing(box, ANN), check)["jobs"]) == 2 * piece + 1
    assert len(turns) == 2


def test_a_listing_for_nobody_ends(piece: int) -> None:
    box = Box()
    for _ in range(piece + 1):
        box.submit(hold=True)

    def check() -> None:
        raise NotNow("the client is gone")

    with pytest.raises(NotNow):
        document(listing(box, ANN), check)

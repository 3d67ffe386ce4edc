"""Records with defaults, so that a test shows only what matters to it, and a store to put them in."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ostler.model.allocation import Allocation
from ostler.model.job import Element, Job, JobSpec, Usage
from ostler.model.node import Node
from ostler.model.record import Accounting, Event
from ostler.model.resources import NodeFacts, Placement
from ostler.model.states import JobState, Result
from ostler.store.sqlite.store import SqliteStore

BOOT = "boot-1"


def a_job(ident: int = 1, *, user: str = "ann", uid: int = 1000, **changes: object) -> Job:
    spec = JobSpec(argv=(b"/bin/true",), partition="main")
    job = Job(ident, spec, user, uid, uid, f"request-{ident}", submitted_at=100.0 + ident)
    return replace(job, **changes)


def ended(job: Job, result: Result = Result.SUCCESS, at: float = 200.0) -> Job:
    return replace(job, state=JobState.DONE, result=result, exit_status=0, ended_at=at)


def an_element(index: int = 0, *, job: int = 1, **changes: object) -> Element:
    return replace(Element(job, index), **changes)


def an_allocation(ident: int = 1, *, job: int = 1, **changes: object) -> Allocation:
    places = (Placement("n1", cpus=(3, 1)), Placement("n0", first_rank=1, generic={"disk": 2}))
    return replace(Allocation(ident, job, 0, 1, places, granted_at=150.0, epoch=1), **changes)


def a_node(name: str = "n1", **changes: object) -> Node:
    return replace(Node(name, NodeFacts(cpus=(0, 1), memory=1 << 30)), **changes)


def an_event(serial: int = 1, kind: str = "job/submitted", **changes: object) -> Event:
    return replace(Event(serial, 100.0 + serial, kind), **changes)


def an_attempt(allocation: int = 1, **changes: object) -> Accounting:
    row = Accounting(
        allocation, 1, 0, 1, "ann", "", "main", "n1", 1, 0, 0, 1.0, 1.0, 2.0, "success", 0, Usage()
    )
    return replace(row, **changes)


def take(
    store: SqliteStore,
    names: Sequence[str] = ("machine", "partition:main"),
    *,
    pid: int = 10,
    boot_id: str = BOOT,
    now: float = 0.0,
    alive: bool = True,
) -> int:
    return store.take_role(
        names,
        holder=f"manager-{pid}",
        pid=pid,
        start_time=pid + 0.5,
        boot_id=boot_id,
        now_boottime=now,
        lease_seconds=10.0,
        is_alive=lambda _pid, _start: alive,
    )


class Held:
    """A store whose machine role we have."""

    def __init__(self, path: Path | str) -> None:
        self.store = SqliteStore.open(str(path))
        self.epoch = take(self.store, alive=False)

    def commit(self, *writes: object) -> None:
        self.store.commit(writes, self.epoch)  # type: ignore[arg-type] # any of the records

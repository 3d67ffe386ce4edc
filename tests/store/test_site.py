"""What administrators set comes back as it was, whatever kind of row it is."""

import pytest

from ostler.model.record import SiteRow, Transaction, Write
from ostler.model.site import (
    SHIPPED,
    Access,
    Configuration,
    Handler,
    Holder,
    Moved,
    Partition,
    PartitionKind,
    PartitionState,
    Pool,
    Project,
    Reservation,
    ResourceManager,
    Role,
    Row,
    Scheduler,
    User,
    Work,
)
from ostler.model.site_kinds import KINDS
from tests.store.builders import Held

ROWS: dict[str, Row] = {
    "partition": Partition(
        "batch", PartitionKind.BATCH, False, PartitionState.DRAINING, 60, 30, 2, 1 << 30, 5, 3, 4,
        "requeue", 6, 7, "fcfs", 0.5, "mine", "other", "/site/a", "off",
    ),
    "configuration": Configuration("day", False, {"main": "*"}, "mon-fri", Moved.SUSPEND),
    "access": Access("batch", Holder.USER, "ann", True, (Work.SERIAL,), 1, 2, 3, 4, 5, 6),
    "project": Project("phys", "", 3, "what falls"),
    "user": User("ann", Role.ADMIN.word, ("phys",), 2),
    "reservation": Reservation("r", "n[1-3]", 1.5, 60, ("ann",), ("phys",), (0, 6), 9.5, 3600),
    "handler": Handler("h", "/bin/true x", "node/status", "n*", "ann", 5, 2, every=True),
    "rm": ResourceManager(
        "slurm", "slurm", {"bin": "/opt/slurm/bin"}, False, 1, 2, 3, 4, 5, 6, 7, 8, True, 9
    ),
    "pool": Pool("slurm", 9, 2, 60, 4, 1 << 30, 600, ("-A", "proj")),
    "scheduler": Scheduler("mine", "/bin/plan x", "ann", 5, 1 << 28),
}  # fmt: skip
KEYS = {"access": ("batch", "user", "ann")}


def test_every_kind_is_tried() -> None:
    assert ROWS.keys() == KINDS.keys()


def test_a_new_store_has_what_ostler_ships_with(held: Held) -> None:
    loaded = held.store.load()
    assert (loaded.site, loaded.next_transaction) == (SHIPPED, 1)


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_is_written_loaded_and_removed(held: Held, kind: str) -> None:
    row = ROWS[kind]
    key = KEYS.get(kind, (getattr(row, "name", ""),))
    writes: list[Write] = [
        SiteRow(kind, key, row),
        Transaction(1, 1.0, "root", "create", kind, " ".join(key), None, "{}", 1),
    ]
    held.store.commit(writes, held.epoch)
    loaded = held.store.load()
    assert loaded.site.rows(kind)[key] == row
    assert loaded.next_transaction == 2
    [told] = held.store.transactions(" ".join(key), kind)
    assert (told["user"], told["before"], told["after"]) == ("root", None, "{}")
    held.store.commit([SiteRow(kind, key, None)], held.epoch)
    assert key not in held.store.load().site.rows(kind)

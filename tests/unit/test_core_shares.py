"""What people use is counted as it is used, and found again after a restart."""

from msgspec.structs import replace

from ostler.core.load import load
from ostler.model.record import Used
from ostler.model.resources import Request
from ostler.schedule.snapshot import Standing
from tests.unit.core_kit import BOB, EMPTY, Box

ANN_ALONE = ("", "ann")


def used(box: Box, account: tuple[str, str] = ANN_ALONE) -> float:
    return box.machine.state.ledger.used(account, box.now)


def test_an_allocation_counts_while_it_holds_its_cpus() -> None:
    box = Box()
    box.configure("share-half-life", "0")
    box.configure("weight-share", "1")
    list(box.machine.deltas(box.now))
    job = box.submit(request=Request(cpus=2), project="bio")
    box.start(box.alloc(job))
    bio = ("bio", "ann")
    box.now += 10
    assert used(box, bio) == 20
    box.act("suspend", str(job))
    box.now += 10
    assert used(box, bio) == 20
    box.act("resume", str(job))
    box.now += 10
    box.end(box.alloc(job))
    box.now += 10
    assert used(box, bio) == 40
    assert used(box) == 0


def test_a_restart_finds_what_was_used() -> None:
    box = Box()
    box.submit()
    box.now += 50
    s = box.machine.state
    rows = [Used("", "ann", 30.0, 0.0, 60.0), Used("", "bob", 5.0, 0.0, 10.0)]
    stored = replace(
        EMPTY,
        jobs=[entry.job for entry in s.jobs.values()],
        allocations=list(s.allocations.values()),
        settings={"share-half-life": "0"},
        used=rows,
    )
    ledger = load(stored, 2, box.now).ledger
    assert [ledger.used(ANN_ALONE, at) for at in (box.now, box.now + 10)] == [80.0, 90.0]
    assert ledger.used(("", "bob"), box.now) == 5.0


def test_schedulers_are_told_how_all_stand_once_a_period() -> None:
    box = Box(cpus=1)
    s = box.machine.state
    box.submit()
    box.submit(by=BOB)
    list(box.machine.deltas(box.now))
    assert s.standings == ()
    box.configure("weight-share", "100")
    ranked = (Standing("", "bob", 1.0), Standing("", "ann", 0.5))
    assert {*s.standings} == {Standing("", "bob", 1.0), Standing("", "ann", 1.0)}
    box.now += 1
    assert list(box.machine.deltas(box.now)) == []
    assert s.next_deadline() == 300.0
    box.now = 300.0
    [told] = box.machine.deltas(box.now)
    assert told.standings is not None
    assert {*told.standings} == {*ranked}
    box.configure("weight-share", None)
    assert s.standings == ()

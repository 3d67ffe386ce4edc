"""Configurations: nodes change sides while jobs run and wait. R-RMS-11."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ostler.core.events import (
    Administered,
    AgentGone,
    AgentReported,
    ConfigurationUsed,
    Submitted,
    Tick,
)
from ostler.core.explain import explain
from ostler.core.machine import Machine
from ostler.core.violations import violations
from ostler.model.caller import Caller
from ostler.model.errors import Missing, OstlerError, Refused
from ostler.model.ids import Ref
from ostler.model.job import JobSpec, TaskExit
from ostler.model.orders import Ended
from ostler.model.record import Event, Loaded
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.testing.disk import SimStore
from tests.unit.core_kit import ANN, ROOT, Box, saved

DAY, NIGHT = "n[1-4]", "n[1-2]"


def change(box: Box, verb: str, what: str, name: str, **values: object) -> None:
    box.ask(Administered, ROOT, (Change(verb, what, (name,), values),))


def two_shifts(*, moved: str = "go_on") -> Box:
    """Return a machine of 4 nodes: by day all are of `day`, by night two of them of `night`."""
    box = Box([f"n{i}" for i in range(1, 5)])
    change(box, "create", "partition", "day")
    change(box, "create", "partition", "night")
    change(box, "create", "configuration", "day", nodes={"day": DAY})
    change(
        box,
        "create",
        "configuration",
        "night",
        nodes={"day": NIGHT, "night": "n[3-4]"},
        moved=moved,
    )
    use(box, "day")
    return box


def use(box: Box, name: str, by: Caller = ROOT) -> dict[str, object]:
    (row,) = box.ask(ConfigurationUsed, by, name)["configurations"]
    assert not list(violations(box.machine.state))
    return dict(row)


def submit(box: Box, partition: str, count: int = 1, cpus: int = 4, **spec: Any) -> list[int]:
    return [
        box.submit(
            partition=partition,
            request=Request(cpus=cpus),
            rid=f"r{box.machine.state.next_job}",
            **spec,
        )
        for _ in range(count)
    ]


def submit_quietly(box: Box, partition: str) -> int:
    """Submit without a planning pass."""
    number = box.machine.state.next_job
    spec = JobSpec(argv=(b"true",), partition=partition)
    box.machine.handle(box.now, Submitted(number, ANN, f"r{number}", spec, {}))
    return number


def run(box: Box, *jobs: int) -> None:
    for job in jobs:
        alloc = box.alloc(job)
        box.start(alloc, where(box, job))


def where(box: Box, job: int) -> str:
    state = box.machine.state
    return ",".join(sorted(state.allocations[box.alloc(job)].nodes))


def stored(box: Box) -> Loaded:
    """Return what a database would have, had all been written there."""
    store = SimStore()
    epoch = store.take_role(1, 0.0, 15.0, lambda _pid, _start: False)
    store.commit(saved(box.done), epoch)
    loaded = store.load()
    store.close()
    return loaded


def partitions(box: Box) -> list[str]:
    return [box.machine.state.nodes[f"n{i}"].node.partition for i in range(1, 5)]


def test_a_node_is_in_the_partition_that_the_active_configuration_says() -> None:
    box = two_shifts()
    assert partitions(box) == ["day"] * 4
    assert use(box, "night")["nodes_moved"] == 2
    assert partitions(box) == ["day", "day", "night", "night"]
    assert box.events().count("configuration/changed") == 4
    used = [w for w in saved(box.done) if isinstance(w, Event) and w.kind == "configuration/used"]
    assert [each.object for each in used] == ["day", "night"]  # as `events wait --object` asks


def test_a_switch_says_what_it_does_and_dry_does_nothing() -> None:
    box = two_shifts()
    running = submit(box, "day", 4)
    waiting = submit(box, "night", 3)
    told = box.ask(ConfigurationUsed, ROOT, "night", dry=True)["configurations"][0]
    assert told["moves"] == [{"from": "day", "to": "night", "nodes": "n[3-4]"}]
    assert (told["nodes_moved"], told["jobs_running_on_them"]) == (2, 2)
    assert (told["jobs_that_get_nodes"], told["jobs_that_wait_for_another"]) == (len(waiting), 0)
    assert partitions(box) == ["day"] * 4
    assert {box.state(job) for job in running} == {"starting"}


def test_an_unknown_configuration_is_missing_and_a_user_may_not_switch() -> None:
    box = two_shifts()
    with pytest.raises(Missing, match="no configuration 'noon'"):
        use(box, "noon")
    with pytest.raises(Refused, match="ann may not switch"):
        use(box, "night", ANN)


def test_a_job_for_another_configuration_waits_with_its_rule_and_starts_on_the_right_side() -> None:
    box = two_shifts()
    (job,) = submit(box, "night")
    assert (box.state(job), box.rule(job)) == ("pending", "configuration")
    use(box, "night")
    assert where(box, job) in ("n3", "n4")


def test_what_no_configuration_could_hold_is_refused() -> None:
    box = two_shifts()
    with pytest.raises(Refused, match="5 CPUs on one node"):
        submit(box, "night", cpus=5)
    with pytest.raises(Missing, match="known: main, day, night"):
        submit(box, "noon")


def test_running_jobs_go_on_and_others_start_beside_them() -> None:
    box = two_shifts()
    old = submit(box, "day", 4, cpus=2)
    big = submit(box, "day", 4, cpus=2)
    run(box, *old, *big)
    (night,) = submit(box, "night", cpus=2)
    use(box, "night")
    assert {box.state(job) for job in (*old, *big)} == {"running"}
    assert box.rule(night) == "resources"
    moved = next(job for job in big if where(box, job) == "n3")
    box.end(box.alloc(moved), "n3")
    assert where(box, night) == "n3"


def test_with_drain_nothing_starts_on_a_node_before_its_old_jobs_have_ended() -> None:
    box = two_shifts(moved="drain")
    old = submit(box, "day", 4, cpus=3)
    run(box, *old)
    (night,) = submit(box, "night", cpus=1)
    use(box, "night")
    on = {where(box, job): job for job in old}
    assert box.rule(night) == "nodes"
    box.end(box.alloc(on["n4"]), "n4")
    assert where(box, night) == "n4"


def test_with_suspend_what_is_on_the_wrong_side_stands_still_until_its_nodes_are_back() -> None:
    box = two_shifts(moved="suspend")
    old = submit(box, "day", 4)
    on = {where(box, job): job for job in old}
    run(box, on["n1"], on["n2"], on["n3"])
    (night,) = submit(box, "night")
    use(box, "night")
    assert box.state(on["n3"]) == "suspended"
    assert where(box, night) == "n3"
    assert box.state(on["n1"]) == "running"
    run(box, on["n4"])  # it was just being started
    assert box.state(on["n4"]) == "suspended"
    (row,) = box.act("resume", str(on["n4"]))
    assert (row["ok"], box.state(on["n4"])) == (True, "suspended")
    use(box, "day")
    assert box.state(on["n4"]) == "running"
    assert box.state(on["n3"]) == "suspended"  # its CPUs are those of a job of the night
    box.end(box.alloc(night), "n3")
    assert box.state(on["n3"]) == "running"


def test_slots_on_moved_nodes_take_no_more_elements() -> None:
    box = two_shifts()
    (array,) = submit(box, "day", array=((0, 199),))
    state = box.machine.state
    slots = {next(iter(a.nodes)): a.id for a in state.allocations.values()}
    for node, alloc in slots.items():
        box.start(alloc, node)
    use(box, "night")
    entry = state.jobs[array]
    assert {node: entry.slots[alloc].draining for node, alloc in slots.items()} == {
        "n1": False, "n2": False, "n3": True, "n4": True,
    }  # fmt: skip


def test_a_restart_knows_what_is_on_the_wrong_side() -> None:
    box = two_shifts(moved="drain")
    old = submit(box, "day", 4, cpus=3)
    run(box, *old)
    use(box, "night")
    state = box.machine.state
    again = Machine(stored(box), epoch=2, now=box.now).state
    assert again.parts.strangers == state.parts.strangers
    assert len(again.parts.strangers) == 2
    assert {n for n, e in again.nodes.items() if e.guests} == {"n3", "n4"}


# -- the calendar ------------------------------------------------------------------------------


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def by_calendar() -> Box:
    box = two_shifts()
    box.now = at("2026-03-02 12:00")
    change(box, "set", "configuration", "day", calendar="mon-fri 08:00")
    change(box, "set", "configuration", "night", calendar="mon-fri 20:00")
    return box


def active(box: Box) -> str:
    return box.machine.state.site.active.name


def test_the_calendar_switches_at_its_time_and_not_when_it_is_set() -> None:
    box = by_calendar()
    assert active(box) == "day"
    box.now = at("2026-03-02 20:00")
    assert box.machine.next_deadline() == box.now
    box.do(Tick())
    assert active(box) == "night"
    box.now = at("2026-03-03 08:00")
    box.do(Tick())
    assert active(box) == "day"


def test_what_somebody_uses_lasts_until_the_calendar_has_another_begin() -> None:
    box = by_calendar()
    use(box, "night")
    box.now = at("2026-03-02 19:00")
    box.do(Tick())
    assert active(box) == "night"
    box.now = at("2026-03-03 08:00")
    box.do(Tick())
    assert active(box) == "day"


def test_a_manager_that_was_away_catches_up_with_the_calendar() -> None:
    box = by_calendar()
    machine = Machine(stored(box), epoch=2, now=at("2026-03-06 23:00"))
    assert machine.next_deadline() == at("2026-03-06 23:00")
    machine.handle(at("2026-03-06 23:00"), Tick())
    assert machine.state.site.active.name == "night"


def test_a_job_that_waits_for_another_configuration_is_told_when_it_begins() -> None:
    box = by_calendar()
    (job,) = submit(box, "night")
    document = explain(box.machine.state, box.now, Ref(job))
    assert document["rule"] == "configuration"
    assert document["expected_start"] == at("2026-03-02 20:00")
    assert "night brings them in 8h" in document["reason"]
    assert document["to_start_now"] == "use it now: ostler configurations use night"


def test_two_that_begin_together_are_refused() -> None:
    box = by_calendar()
    with pytest.raises(OstlerError, match="day and night both begin mon 08:00"):
        change(box, "set", "configuration", "night", calendar="mon 08:00")


# -- the check of the issue ----------------------------------------------------------------------


def test_day_to_night_with_200_running_and_1000_waiting_jobs_loses_none() -> None:
    """R-RMS-11: no job is lost, and none is started on a node outside its partition."""
    names = [f"n{i:03}" for i in range(100)]
    box = Box(names, cpus=2)
    for name in ("day", "night"):
        change(box, "create", "partition", name)
    change(box, "create", "configuration", "day", nodes={"day": "n[000-099]"})
    change(
        box, "create", "configuration", "night", nodes={"day": "n[000-049]", "night": "n[050-099]"}
    )
    use(box, "day")
    state = box.machine.state
    jobs = [submit_quietly(box, "day") for _ in range(700)]
    jobs += [submit_quietly(box, "night") for _ in range(500)]
    box.do(Tick())
    assert len(state.allocations) == 200
    before = set(state.allocations)
    use(box, "night")
    box.do(AgentGone("n000"))
    for _ in range(8):
        for alloc in list(state.allocations.values()):
            if alloc.id not in before:
                (node,) = alloc.nodes
                partition = state.jobs[alloc.job].job.spec.partition
                assert state.nodes[node].node.partition == partition
            if (name := next(iter(alloc.nodes))) != "n000":
                row = Ended(alloc.id, box.now, box.now, "", "", (TaskExit(0, 0),))
                box.machine.handle(box.now, AgentReported(name, 1, (row,)))
        box.do(Tick())
        assert not list(violations(state))
    kept = [job for job in jobs if job in state.jobs or job in state.ended]
    assert kept == jobs


def test_jobs_of_a_kind_that_a_partition_does_not_take_are_refused() -> None:
    box = Box(["n1", "n2"])
    change(box, "create", "partition", "front", kind="login")
    change(box, "create", "partition", "wide", kind="parallel")
    change(box, "create", "partition", "queue", kind="batch")
    with pytest.raises(Refused, match="of the kind login: it takes no jobs"):
        submit(box, "front")
    with pytest.raises(Refused, match="several tasks, and it asks for one"):
        submit(box, "wide")
    with pytest.raises(Refused, match="of `ostler run`"):
        submit(box, "queue", kind="run")


def test_of_two_overlapping_creations_exactly_one_succeeds() -> None:
    """R-RMS-11: in 100 of 100 tries."""
    for first in range(100):
        box = Box([f"n{i}" for i in range(1, 6)])
        asked = [
            Change("set", "configuration", ("default",), {"nodes": {"batch": "n[1-4]"}}),
            Change("set", "configuration", ("default",), {"nodes": {"login": "n[4-5]"}}),
        ]
        change(box, "create", "partition", "batch")
        change(box, "create", "partition", "login", kind="login")
        one, two = asked if first % 2 else reversed(asked)
        box.ask(Administered, ROOT, (one,))
        with pytest.raises(Refused, match=r"node n4 .*: (batch and login|login and batch)"):
            box.ask(Administered, ROOT, (two,))

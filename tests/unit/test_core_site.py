"""What administrators change: all of a request or none, with who did it, before and after."""

from json import loads
from typing import Any

import pytest

from ostler.core.events import Administered
from ostler.core.machine import Machine
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.record import Answered, Loaded, Transaction
from ostler.model.site import Access, Holder, Partition, Work
from ostler.model.site_changes import Change, attribute
from tests.unit.core_kit import ANN, ROOT, Box, saved


def create(kind: str, *key: str, **values: Any) -> Change:
    return Change("create", kind, key, values)


def put(kind: str, *key: str, **values: Any) -> Change:
    return Change("set", kind, key, values)


def remove(kind: str, *key: str) -> Change:
    return Change("remove", kind, key)


def nodes(**parts: str | None) -> Change:
    return Change("set", "configuration", ("",), {"nodes": parts})


def transactions(box: Box) -> list[Transaction]:
    return [row for row in saved(box.done) if isinstance(row, Transaction)]


def partition_of(box: Box, node: str) -> str:
    return box.machine.state.nodes[node].node.partition


def test_nodes_are_in_partitions_that_never_share_one() -> None:
    """R-RMS-11."""
    box = Box(["n03", "n04", "n05"])
    box.change(create("partition", "batch"), nodes(batch="n[01-04]"))
    assert [partition_of(box, n) for n in ("n03", "n04", "n05")] == ["batch", "batch", "main"]
    box.greet("n02")
    assert partition_of(box, "n02") == "batch"
    with pytest.raises(Refused, match=r"node n04 would be in two partitions .*: batch and login"):
        box.change(create("partition", "login"), nodes(login="n[04-05]"))
    assert list(box.machine.state.site.partitions) == ["main", "batch"]
    box.change(remove("partition", "batch"))
    assert partition_of(box, "n04") == "main"
    assert "node/partition" in box.events()


def test_a_job_runs_in_its_partition_alone() -> None:
    box = Box(["n1", "n2"])
    box.change(create("partition", "batch"), nodes(batch="n2"))
    job = box.submit(partition="batch")
    [alloc] = box.machine.state.allocations.values()
    assert (alloc.job, alloc.nodes) == (job, frozenset({"n2"}))
    with pytest.raises(Refused, match="1 unfinished job of partition batch"):
        box.change(remove("partition", "batch"))


def test_a_change_is_written_with_who_before_and_after() -> None:
    box = Box()
    box.change(create("partition", "batch", time_limit="1d"), attribute("max-age", "2d"))
    box.change(put("partition", "batch", **{"time-limit": "2h", "tier": "3"}))
    told = [(t.serial, t.request, t.user, t.verb, t.kind, t.name) for t in transactions(box)]
    assert told == [
        (1, 1, "root", "create", "partition", "batch"),
        (2, 1, "root", "create", "attribute", "max-age"),
        (3, 3, "root", "set", "partition", "batch"),
    ]
    last = transactions(box)[-1]
    before, after = loads(last.before or ""), loads(last.after or "")
    assert (before["time_limit"], after["time_limit"]) == (86_400, 7_200)
    assert (before["tier"], after["tier"]) == (0, 3)
    assert box.events()[-1] == "partition/changed"


def test_what_is_so_already_changes_nothing() -> None:
    box = Box()
    rule = put("access", "main", "user", "ann", max_cpus="8")
    assert box.change(rule) == ["created access main user ann: max_cpus 8"]
    assert box.change(rule, put("partition", "main", tier=0)) == []
    assert len(transactions(box)) == 1


def test_a_trial_says_what_would_change_and_changes_nothing() -> None:
    box = Box()
    told = box.change(create("partition", "batch", tier=1), dry=True)
    assert told == ["created partition batch: tier 1"]
    assert (list(box.machine.state.site.partitions), transactions(box)) == (["main"], [])


def test_one_thing_that_is_wrong_refuses_all() -> None:
    box = Box()
    with pytest.raises(UsageError):
        box.change(create("partition", "batch"), put("partition", "main", tier="high"))
    assert (list(box.machine.state.site.partitions), transactions(box)) == (["main"], [])


def test_changes_that_know_of_an_older_site_are_not_made() -> None:
    box = Box()
    box.change(attribute("max-age", "2d"), serial=0)
    with pytest.raises(NotNow, match="somebody else has changed the site meanwhile"):
        box.change(attribute("max-age", "3d"), serial=0)


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        (put("partition", "main", tier="x"), UsageError, "tier of partition main cannot be 'x'"),
        (put("partition", "main", teir=1), UsageError, "did you mean 'tier'"),
        (put("partition", "main", policy="esay"), UsageError, "no policy is named 'esay'"),
        (put("partition", "main", factor="nan"), UsageError, "a number from 0 to 1"),
        (put("partition", "main", is_default="no"), Refused, "no partition would be the default"),
        (put("partition", "night", tier=1), Missing, "no partition night (known: main)"),
        (create("partition", "main"), Refused, "there is a partition main already"),
        (create("partition", "a,b"), UsageError, "name of partition a,b cannot be 'a,b'"),
        (
            put("configuration", "default", active=False),
            Refused,
            "no configuration would be active",
        ),
        (nodes(night="n1"), Missing, "names partition 'night', which there is not"),
        (nodes(main="n[1"), UsageError, "as in n1,n3 or n[01-03,7]"),
        (put("access", "gpu", "user", "ann"), Missing, "names partition 'gpu'"),
        (put("access", "main", "user", ""), UsageError, "needs a name for class user"),
        (put("access", "main", "default", "x"), UsageError, "needs no name for class default"),
        (put("access", "main", "tribe", "x"), UsageError, "user, group, project, default"),
        (put("access", "main", "project", "x"), Missing, "there is no project 'x'"),
        (put("user", "ann", projects="phys"), Missing, "names project 'phys'"),
        (put("user", "ann", role="king"), UsageError, "user, operator, admin"),
        (create("project", "a", parent="b"), Missing, "names project 'b'"),
        (create("reservation", "r"), UsageError, "reservation r needs nodes"),
        (create("thing", "r"), Missing, "there is no kind 'thing' to change"),
        (Change("keep", "partition", ("main",)), UsageError, "no verb 'keep'"),
        (Change("set", "partition", ()), UsageError, "partition is told apart by name"),
        (Change("set", "attribute", ("max-age",), {"valu": 1}), UsageError, "but its value"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(
    change: Change, error: type[OstlerError], why: str
) -> None:
    with pytest.raises(error) as found:
        Box().change(change)
    assert why in str(found.value)


def test_projects_are_a_tree() -> None:
    box = Box()
    box.change(create("project", "a"), create("project", "b", parent="a", shares=3))
    with pytest.raises(Refused, match="would be above itself"):
        box.change(put("project", "a", parent="b"))
    with pytest.raises(Missing, match="project b names project 'a'"):
        box.change(remove("project", "a"))
    shares = [(p.name, p.parent, p.shares) for p in box.machine.state.rules.shares.projects]
    assert shares == [("a", "", 1), ("b", "a", 3)]


def test_one_partition_is_the_default_and_one_configuration_active() -> None:
    box = Box(["n1"])
    told = box.change(
        create("partition", "night", is_default=True),
        create("configuration", "dark", active=True, nodes={"night": "*"}),
    )
    assert "changed partition main: is_default true -> false" in told
    site = box.machine.state.site
    assert (site.default_partition, site.active.name) == ("night", "dark")
    assert partition_of(box, "n1") == "night"


def test_roles_come_from_the_users_table() -> None:
    box = Box(["n1"])
    change = attribute("max-age", "2d")
    with pytest.raises(Refused, match="ann may not change settings; an administrator may"):
        box.change(change, by=ANN)
    box.change(put("user", "ann", role="operator"))
    with pytest.raises(Refused, match="may not change settings"):
        box.change(change, by=ANN)
    box.change(put("user", "ann", role="admin"))
    assert box.change(change, by=ANN) == ["created attribute max-age: value 172800"]
    box.change(remove("user", "ann"), by=ANN)
    with pytest.raises(Refused, match="may not change settings"):
        box.change(attribute("max-age", "3d"), by=ANN)


def test_a_restart_finds_nodes_where_they_were() -> None:
    box = Box(["n1", "n2"])
    box.change(
        create("partition", "batch"),
        nodes(batch="n2"),
        put("access", "batch", "default", "", kinds="serial, shell"),
    )
    old = box.machine.state
    known = [entry.node for entry in old.nodes.values()]
    loaded = Loaded([], [], {}, [], known, {}, {}, 1, 1, 1, site=old.site, next_transaction=4)
    again = Machine(loaded, epoch=2, now=1.0).state
    assert again.site.partitions["batch"] == Partition("batch")
    rule = Access("batch", Holder.DEFAULT, kinds=(Work.SERIAL, Work.SHELL))
    assert again.site.access["batch", "default", ""] == rule
    assert (again.division.of("n2"), again.next_transaction) == ("batch", 4)


def test_a_request_that_comes_again_is_answered_as_before_and_changes_nothing() -> None:
    box = Box()

    def ask(name: str, *changes: Change) -> Any:
        return box.ask(Administered, ROOT, changes, request_id=name)

    first = ask("r1", create("partition", "night", tier=1))
    nothing = ask("r2", put("partition", "night", tier=1))
    box.change(put("partition", "night", tier=2))
    assert ask("r1", create("partition", "night", tier=1)) == first
    assert ask("r2", put("partition", "night", tier=1)) == nothing  # nor is tier=2 undone
    assert len(transactions(box)) == 2
    assert [row.request_id for row in saved(box.done) if isinstance(row, Answered)] == ["r1", "r2"]


def test_only_looking_at_what_would_change_is_not_remembered() -> None:
    box = Box()
    for dry in (True, False):
        made = create("partition", "night")
        box.ask(Administered, ROOT, (made,), dry=dry, request_id="r1")
    assert len(transactions(box)) == 1


def test_times_of_a_reservation_are_told_by_the_clock_of_its_place() -> None:
    box = Box(["n1"])
    values = {"nodes": "n1", "start": 1798099200.0, "duration": 7200, "utc_offset": 3600}
    [told] = box.change(create("reservation", "r", **values, days=[0, 4]))
    assert told.endswith("r: nodes n1, start 2026-12-24 09:00, duration 2h, days mon,fri")
    [told] = box.change(put("reservation", "r", until=1798761600.0, start=1798102800.0))
    assert told.endswith(
        "r: start 2026-12-24 09:00 -> 2026-12-24 10:00, until none -> 2027-01-01 01:00"
    )
    [told] = box.change(put("reservation", "r", until=1e15))
    assert told.endswith("until 2027-01-01 01:00 -> 1000000000000000.0")

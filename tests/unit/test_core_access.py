"""Who may run what where, and how much of it: asked before a request enters a queue."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.core.events import MembersTold, Modified, PartitionWorded, Planned, SubmittedAll
from ostler.core.explain import explain
from ostler.core.machine import Machine
from ostler.core.violations import violations
from ostler.model.caller import Caller
from ostler.model.errors import Missing, OstlerError, Refused
from ostler.model.ids import Ref, parse_ref
from ostler.model.job import JobSpec, Streams
from ostler.model.record import Event
from ostler.model.resources import Placement, Request
from ostler.model.site_changes import Change
from ostler.schedule.snapshot import Plan, Start
from tests.unit.core_kit import ANN, BOB, ROOT, Box, saved
from tests.unit.test_core_configurations import stored

EVE = Caller(1003, 1003, "eve")


def rule(holder: str, name: str = "", partition: str = "batch", **values: Any) -> Change:
    return Change("set", "access", (partition, holder, name), values)


@pytest.fixture
def box() -> Box:
    """A machine of 16 CPUs, all but one node of them in partition batch."""
    made = Box(["n1", "n2", "n3", "n4", "n5"])
    made.change(
        Change("create", "partition", ("batch",)),
        Change("set", "configuration", ("",), {"nodes": {"batch": "n[1-4]"}}),
        Change("create", "project", ("phys",)),
        Change("create", "project", ("bio",)),
        Change("set", "user", ("ann",), {"projects": "phys,bio"}),
        Change("set", "user", ("bob",), {"projects": "phys"}),
    )
    return made


def refused(box: Box, by: Caller = ANN, cpus: int = 1, tasks: int = 1, **spec: Any) -> str:
    """Submit to batch; return the refusal's sentence, or nothing if it was taken."""
    before = dict(box.machine.state.jobs)
    request = Request(tasks=tasks, cpus=cpus, memory=spec.pop("memory", 0))
    try:
        box.submit(by=by, request=request, partition=spec.pop("partition", "batch"), **spec)
    except Refused as error:
        assert box.machine.state.jobs == before  # it never was in the queue
        return str(error)
    return ""


def test_a_partition_is_restricted_to_some(box: Box) -> None:
    """R-RMS-12."""
    box.change(rule("user", "ann", allow=True))
    assert refused(box, ANN) == ""
    assert refused(box, BOB) == (
        "bob may not use partition batch (open to bob: main);"
        " ask an administrator: ostler access allow"
    )
    assert refused(box, BOB, partition="main") == ""
    box.change(rule("project", "phys", allow=True))
    assert refused(box, BOB) == ""
    assert "eve may not use partition batch" in refused(box, EVE)
    box.change(rule("group", "staff", allow=True))
    assert refused(box, replace(EVE, groups=("users", "staff"))) == ""
    box.change(rule("user", "bob", allow=False))
    assert "bob may not use partition batch" in refused(box, BOB)


def test_a_partition_is_kept_for_kinds_of_work(box: Box) -> None:
    """R-RMS-13."""
    box.change(rule("default", allow=True, kinds="parallel"))
    assert refused(box, tasks=4) == ""
    told = "partition batch takes no {} work of ann (kinds: parallel)"
    assert refused(box) == told.format("serial")
    assert refused(box, tasks=2, work="shell") == told.format("shell")
    terminal = Streams(window=(24, 80))
    assert refused(box, kind="run", streams=terminal) == told.format("shell")


def test_rules_count_from_the_next_request_on(box: Box) -> None:
    """R-RMS-14 and R-RMS-17."""
    assert refused(box, tasks=9) == ""
    box.act("cancel", "1")
    box.end(box.alloc(1), "n1"), box.end(box.alloc(1), "n2"), box.end(box.alloc(1), "n3")
    box.change(rule("user", "ann", max_cpus=8, max_memory="4G", priority=60))
    assert refused(box, tasks=9) == (
        "it asks for 9 CPUs, and user ann in partition batch may hold 8; ask for 8 or fewer"
    )
    assert "it asks for 5G of memory for each task" in refused(box, memory=5 << 30)
    assert refused(box, memory=8 << 30, cpus=2, hold=True) == ""
    assert "only an operator may give priority 61 (0 to 60)" in refused(box, priority=61)
    assert refused(box, priority=60, hold=True) == ""
    one = box.submit(request=Request(tasks=5), partition="batch")
    two = box.submit(request=Request(tasks=5), partition="batch")
    assert (box.state(one), box.state(two), box.rule(two)) == ("starting", "pending", "limit")
    other = box.submit(by=BOB, request=Request(tasks=5), partition="batch")
    assert box.state(other) == "starting"


def test_the_partition_grants_what_it_has_and_no_more(box: Box) -> None:
    """R-RMS-16: of 16 CPUs and 32 GiB."""
    jobs = [box.submit(request=Request(cpus=4), partition="batch") for _ in range(5)]
    assert [box.state(job) for job in jobs] == ["starting"] * 4 + ["pending"]
    assert "most: " in refused(box, memory=20 << 30)


def test_a_users_rule_goes_before_the_projects_and_that_before_the_default(box: Box) -> None:
    box.change(
        rule("default", max_cpus=2, time_limit="1h"),
        rule("project", "phys", max_cpus=4),
        rule("user", "ann", max_cpus=8),
    )
    assert (refused(box, ANN, tasks=8, hold=True), refused(box, BOB, tasks=4, hold=True)) == (
        "",
        "",
    )
    assert "user ann in partition batch may hold 8" in refused(box, ANN, tasks=9)
    assert "project phys in partition batch may hold 4" in refused(box, BOB, tasks=5)
    assert "user eve in partition batch may hold 2" in refused(box, EVE, tasks=3)
    # What the first rule leaves open, the next one says.
    assert "it asks for 2h (in partition batch: 1h at most)" in refused(box, time_limit=7200)


def test_what_holds_everywhere_is_said_with_a_star(box: Box) -> None:
    box.change(rule("user", "ann", "*", max_cpus=3))
    assert "user ann may hold 3" in refused(box, partition="main", tasks=4)
    assert refused(box, tasks=3) == ""
    assert refused(box, partition="main") == ""
    assert box.rule(2) == "limit"


def test_a_request_takes_over_what_it_leaves_open(box: Box) -> None:
    box.change(
        Change("set", "partition", ("batch",), {"is_default": True, "time_limit": "4h"}),
        rule("default", max_memory="1G", priority=40),
    )
    spec = box.machine.state.jobs[box.submit(request=Request(cpus=2))].job.spec
    assert (spec.partition, spec.project, spec.time_limit) == ("batch", "phys", 14_400)
    assert (spec.request.memory, spec.priority) == (2 << 30, 40)
    box.change(Change("set", "partition", ("batch",), {"default_time": "1h"}))
    assert box.machine.state.jobs[box.submit()].job.spec.time_limit == 3_600


def test_jobs_that_wait_are_counted(box: Box) -> None:
    box.change(rule("user", "ann", waiting=2, running=1))
    one, two, three = (box.submit(partition="batch") for _ in range(3))
    assert [box.state(job) for job in (one, two, three)] == ["starting", "pending", "pending"]
    why = explain(box.machine.state, box.now, Ref(two))["reason"]
    assert "batch holds 1 allocation and it asks for 1; 1 may be held" in why
    told = "user ann in partition batch has 2 jobs waiting, and may have 2"
    assert told in refused(box)
    box.end(box.alloc(one))
    assert box.state(two) == "starting"
    assert refused(box) == ""
    box.act("cancel", str(three))
    assert refused(box) == ""
    assert told in refused(box)
    assert refused(box, partition="main") == ""


@pytest.mark.parametrize(
    ("by", "project", "error", "why"),
    [
        (ANN, "chem", Missing, "there is no project 'chem' (known: phys, bio)"),
        (BOB, "bio", Refused, "bob is not in project bio (projects of bob: phys)"),
        (EVE, "phys", Refused, "eve is not in project phys (projects of eve: none)"),
    ],
)
def test_work_is_accounted_to_known_projects_of_ones_own(
    box: Box, by: Caller, project: str, error: type[OstlerError], why: str
) -> None:
    with pytest.raises(error, match=re.escape(why)):
        box.submit(by=by, project=project)
    assert box.submit(by=ROOT, project="phys")
    assert box.submit(by=EVE)


def test_a_change_of_a_job_is_held_to_the_same_limits(box: Box) -> None:
    box.change(rule("user", "ann", max_cpus=4, time_limit="1h"))
    job = box.submit(partition="batch", hold=True)
    for key, value in (("cpus", 5), ("time_limit", 7200), ("project", "chem")):
        with pytest.raises(OstlerError):
            box.ask(Modified, ANN, parse_ref(str(job)), {key: value})
    box.ask(Modified, ANN, parse_ref(str(job)), {"cpus": 4, "name": "four"})
    box.ask(Modified, ROOT, parse_ref(str(job)), {"time_limit": 7200})


def test_jobs_of_one_submission_count_where_they_would_wait(box: Box) -> None:
    box.change(rule("user", "ann", waiting=1))
    specs = [JobSpec(argv=(b"true",), hold=True, partition=name) for name in ("main", "batch")]
    box.ask(SubmittedAll, ANN, "one", tuple(specs), ((), ()), {})
    with pytest.raises(Refused, match="user ann in partition batch has 1 job waiting"):
        box.ask(SubmittedAll, ANN, "two", tuple(specs), ((), ()), {})


PHYSICIST = Caller(1004, 1004, "pia", groups=("users", "physics"))
OTHER = Caller(1005, 1005, "paul", groups=("physics",))


def test_a_rule_of_a_group_counts_what_its_members_have_together(box: Box) -> None:
    box.change(rule("group", "physics", max_cpus=6, running=2, waiting=1))
    assert "and group physics in partition batch may hold 6" in refused(box, PHYSICIST, cpus=7)
    one = box.submit(by=PHYSICIST, partition="batch", request=Request(cpus=4))
    two = box.submit(by=OTHER, partition="batch", request=Request(cpus=4))
    three = box.submit(by=BOB, partition="batch", request=Request(cpus=4))
    assert [box.state(job) for job in (one, two, three)] == ["starting", "pending", "starting"]
    told = explain(box.machine.state, box.now, Ref(two))["reason"]
    assert told.startswith("group physics in partition batch holds 4 CPUs and it asks for 4; 6 may")
    assert "group physics in partition batch has 1 job waiting" in refused(box, PHYSICIST)
    assert not list(violations(box.machine.state))
    box.end(box.alloc(one))
    assert box.state(two) == "starting"
    assert refused(box, BOB) == ""


def test_a_users_own_rule_goes_before_those_of_groups_and_their_groups_count_all_the_same(
    box: Box,
) -> None:
    box.change(rule("group", "physics", running=1), rule("user", "pia", running=2))
    jobs = [box.submit(by=by, partition="batch") for by in (PHYSICIST, PHYSICIST, OTHER)]
    assert [box.state(job) for job in jobs] == ["starting", "starting", "pending"]


def test_who_is_in_a_group_may_be_told_after_the_rule_and_after_a_restart(box: Box) -> None:
    known = Caller(1004, 1004, "pia")  # no rule is about groups yet
    for _ in range(2):
        box.submit(by=known, partition="batch")
    box.do(MembersTold({"pia": ("physics",)}))
    box.change(rule("group", "physics", running=2))
    third = box.submit(by=known, partition="batch")
    assert box.state(third) == "pending"
    again = Box()
    again.machine = Machine(stored(box), epoch=2, now=box.now)
    again.do(MembersTold({"pia": ("physics",)}))
    assert again.rule(third) == "limit"
    assert not list(violations(again.machine.state))


def test_cpu_minutes_come_back_as_work_runs_and_more_than_all_of_them_is_refused(box: Box) -> None:
    box.change(rule("project", "phys", cpu_minutes=60))
    told = refused(box, BOB, cpus=2, time_limit=2400)
    assert "it asks for 80 CPU-minutes, and project phys in partition batch may have 60" in told
    assert "it asks for no time limit" in refused(box, BOB)
    one, two = (box.submit(partition="batch", time_limit=2400) for _ in range(2))
    assert (box.state(one), box.rule(two)) == ("starting", "limit")
    answer = explain(box.machine.state, box.now, Ref(two))
    assert "holds 40 CPU-minutes and it asks for 40; 60 may be held" in answer["reason"]
    assert answer["expected_start"] == pytest.approx(box.now + 1200, abs=60)
    assert not list(violations(box.machine.state))


def test_the_core_starts_nothing_beyond_a_limit_whoever_plans(box: Box) -> None:
    box.change(rule("project", "phys", max_cpus=2))
    one, two = (box.submit(partition="batch", request=Request(cpus=2)) for _ in range(2))
    assert (box.state(one), box.rule(two)) == ("starting", "limit")
    line = Start(two, (Placement("n4", 1, 0, (0, 1)),))
    list(box.machine.deltas(box.now))
    box.do(Planned(Plan([line], {}, number=box.machine.state.marks.number)))
    told = [w.text for w in saved(box.done) if isinstance(w, Event) and w.kind == "plan/refused"]
    assert "project phys in partition batch may have 2 cpus, not 2 and 2" in told[-1]
    assert box.state(two) == "pending"


def test_a_reload_asks_for_access_and_limits_too(box: Box) -> None:
    jobs = [
        box.submit(by=by, partition="batch", time_limit=3_600, not_before=1e9) for by in (ANN, BOB)
    ]
    box.change(rule("user", "ann", allow=True, time_limit="2h"))
    told = box.ask(PartitionWorded, ROOT, "reload", "batch")["partitions"][0]
    assert told["held"] == [str(jobs[1])]
    box.change(rule("user", "ann", allow=True, time_limit="30m"))
    told = box.ask(PartitionWorded, ROOT, "reload", "batch")["partitions"][0]
    assert told["held"] == [str(jobs[0])]

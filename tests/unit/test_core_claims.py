"""What a job may ask for beside sizes: features, whole nodes, licences; from the event to the order."""

import re
from typing import Any

import pytest

from ostler.core.events import AgentGreeted, Modified, NodesWorded, Planned, Submitted
from ostler.core.violations import violations
from ostler.model.caller import Caller
from ostler.model.errors import Missing, OstlerError, Refused, UsageError
from ostler.model.ids import parse_ref
from ostler.model.job import JobSpec
from ostler.model.orders import Launch
from ostler.model.resources import NodeFacts, Placement, Request
from ostler.schedule.explain import explain
from ostler.schedule.snapshot import Plan, Start
from tests.unit.core_kit import ANN, BOB, ROOT, Box, facts, orders

FEATURES = {"n1": ("a100", "rack1"), "n2": ("a100", "old", "rack1"), "n3": ("h100", "rack2")}


def box_with(features: dict[str, tuple[str, ...]] = FEATURES, cpus: int = 4) -> Box:
    """Return a machine whose nodes have these features."""
    box = Box(())
    for name, mine in features.items():
        known = NodeFacts(tuple(range(cpus)), 8 << 30, (0, 1), {"lic": 3, "none": 0}, features=mine)
        box.do(AgentGreeted(name, known, "b1", ()))
    return box


def where(box: Box, job: int) -> list[str]:
    """Return the nodes on which a job was started."""
    [alloc] = [a for a in box.machine.state.allocations.values() if a.job == job]
    assert list(violations(box.machine.state)) == []
    return [place.node for place in alloc.placements]


@pytest.mark.parametrize(
    ("asked", "nodes"),
    [
        (Request(constraint="h100"), ["n3"]),
        (Request(constraint="old"), ["n2"]),
        (Request(constraint="(a100|h100) & !rack1"), ["n3"]),
        (Request(constraint="a100", exclude=("n1",)), ["n2"]),
        (Request(constraint="[rack1*1&rack2*1]"), ["n1", "n3"]),
        (Request(tasks=3, constraint="rack1*2&rack2*1"), ["n1", "n2", "n3"]),
        (Request(tasks=9, nodes=3, constraint="rack2*1"), ["n1", "n2", "n3"]),
        (Request(tasks=3, spread=True), ["n1", "n2", "n3"]),
        (Request(tasks=2, spread=True, constraint="!old"), ["n1", "n3"]),
    ],
)
def test_a_job_goes_to_the_nodes_that_it_asked_for(asked: Request, nodes: list[str]) -> None:
    box = box_with()
    assert where(box, box.submit(request=asked)) == nodes


def test_requests_that_mean_the_same_are_kept_in_one_form() -> None:
    box = box_with()
    job = box.submit(request=Request(constraint=" rack1 & a100 "), hold=True)
    other = box.submit(request=Request(constraint="a100&(rack1)"), hold=True)
    first, second = (box.machine.state.jobs[n].job.spec.request for n in (job, other))
    assert first.constraint == "a100&rack1"
    assert first.shape == second.shape


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        (
            Request(constraint="a100&b200"),
            Refused,
            (
                "it asks for nodes with a100&b200, and no node of partition 'main' has the feature b200"
                " (features there: a100, h100, old, rack1, rack2)"
            ),
        ),
        (
            Request(constraint="h100&old"),
            Refused,
            "it asks for nodes with h100&old, and no node of partition 'main' is like that",
        ),
        (
            Request(constraint="!a100", nodelist=("n1",)),
            Refused,
            "it asks for nodes with !a100, and no node that it may use is like that",
        ),
        (Request(constraint="rack2*2"), Refused, "it asks for 2 nodes with rack2 (most: 1)"),
        (
            Request(constraint="a100*2&rack1*1"),
            Refused,
            (
                "it asks for 3 nodes as in a100*2&rack1*1, each with room for a task"
                " (no choice of nodes serves all of these)"
            ),
        ),
        (
            Request(nodes=1, constraint="rack1*1&rack2*1"),
            Refused,
            "its constraint counts 2 nodes, and it asks for 1; ask for -N 2",
        ),
        (Request(constraint="a100&&old"), UsageError, "has '&' at character 6"),
        (Request(constraint="\x1b[31m"), UsageError, r"the constraint '\x1b[31m' has '\x1b'"),
        (
            Request(licences={"matlab": 3}),
            Refused,
            "it asks for 3 of licence 'matlab' (the machine has: matlab:2)",
        ),
        (Request(licences={"ansys": 1}), Refused, "it asks for 1 of licence 'ansys'"),
        (Request(licences={"matlab": 0}), UsageError, "--licences matlab cannot be 0"),
        (Request(licences={"a\nb": 1}), UsageError, "is not text"),
        (Request(reservation="maint"), Missing, "there is no reservation 'maint'"),
        (Request(reservation="\n"), UsageError, "is not text"),
        (Request(exclusive=True, cpus=5), Refused, "it asks for 5 CPUs on one node (most: 4"),
    ],
)
def test_what_can_never_be_is_refused_with_what_there_is(
    asked: Request, error: type[OstlerError], sentence: str
) -> None:
    box = box_with()
    box.configure("licences", "matlab:2")
    with pytest.raises(error, match=re.escape(sentence)):
        box.submit(request=asked)


def test_a_constraint_that_can_be_served_later_waits_and_says_for_what() -> None:
    box = box_with()
    box.submit(request=Request(cpus=4, constraint="h100"), time_limit=60)
    job = box.submit(request=Request(constraint="h100"))
    assert box.rule(job) == "resources"
    told = explain(box.machine.snapshot(box.now), box.now, job)
    assert told.reason == (
        "on nodes with h100, it needs 1 CPU on one node, and n3 has the most free: 0;"
        " it waits for job 1 to end; it should start in 1m"
    )
    assert "ask for any node, not for h100" in told.to_start_now


# -- whole nodes -------------------------------------------------------------------------------


def test_a_whole_node_is_given_with_all_that_it_has() -> None:
    box = box_with({"n1": ()})
    job = box.submit(request=Request(tasks=2, exclusive=True))
    [place] = box.machine.state.allocations[box.alloc(job)].placements
    assert (place.cpus, place.memory, place.gpus) == ((0, 1, 2, 3), 8 << 30, (0, 1))
    assert place.generic == {"lic": 3}
    [(_, launch)] = orders(box.done, Launch)
    assert (launch.request.cpus, launch.request.gpus) == (2, 1)  # what each of the tasks has of it
    other = box.submit(by=BOB)
    assert box.rule(other) == "resources"
    box.end(box.alloc(job))
    assert box.state(other) == "starting"


def test_a_whole_node_is_one_on_which_nothing_is() -> None:
    box = box_with()
    first = box.submit(by=BOB, request=Request(nodelist=("n1",)), time_limit=60)
    jobs = [box.submit(request=Request(exclusive=True)) for _ in range(3)]
    assert sorted(where(box, jobs[0]) + where(box, jobs[1])) == ["n2", "n3"]
    assert box.rule(jobs[2]) == "resources"
    told = explain(box.machine.snapshot(box.now), box.now, jobs[2])
    assert told.reason.startswith(
        "it needs 1 whole node, and of 3 nodes that could serve none is idle;"
        f" it waits for job {first} to end; it should start in 1m"
    )
    assert "let it share its nodes, without --exclusive" in told.to_start_now
    box.end(box.alloc(first))
    assert where(box, jobs[2]) == ["n1"]


def test_beside_a_suspended_job_no_node_is_whole() -> None:
    box = box_with({"n1": ()})
    first = box.submit(by=BOB)
    box.start(box.alloc(first))
    box.act("suspend", str(first), by=BOB)
    job = box.submit(request=Request(exclusive=True))
    assert box.rule(job) == "resources"


def test_whole_nodes_count_with_all_their_cpus_against_a_limit() -> None:
    box = box_with()
    box.configure("max-cpus-per-user", "8")
    jobs = [box.submit(request=Request(exclusive=True)) for _ in range(3)]
    assert [box.state(job) for job in jobs] == ["starting", "starting", "pending"]
    assert box.rule(jobs[2]) == "limit"
    box.configure("max-cpus-per-user", "3")
    with pytest.raises(Refused, match="it asks for 4 CPUs at least, and ann may hold 3"):
        box.submit(request=Request(exclusive=True))


@pytest.mark.parametrize(
    ("request_", "place", "why"),
    [
        (
            Request(exclusive=True),
            Placement("n1", cpus=(0,), memory=8 << 30, gpus=(0, 1), generic={"lic": 3}),
            "was to get",
        ),
        (Request(constraint="old"), Placement("n1", cpus=(0,)), "n1 is not 'old'"),
        (
            Request(nodes=1, constraint="rack2*1"),
            Placement("n1", cpus=(3,)),
            "the nodes are not 'rack2*1'",
        ),
        (Request(licences={"matlab": 1}), Placement("n1", cpus=(3,)), "2 of 2 of licence 'matlab'"),
    ],
)
def test_a_plan_that_gives_something_else_is_refused(
    request_: Request, place: Placement, why: str
) -> None:
    box = box_with()
    box.configure("licences", "matlab:2")
    box.submit(by=BOB, request=Request(licences={"matlab": 2}))
    box.submit(by=BOB, request=Request(exclusive=True, nodelist=("n2", "n3"), tasks=2, nodes=2))
    box._to += 1
    submitted = Submitted(box._to, ANN, "x", JobSpec(argv=(b"true",), request=request_), {})
    box.machine.handle(box.now, submitted)
    list(box.machine.deltas(box.now))
    shown = box.machine.state.marks.number
    effects = box.machine.handle(box.now, Planned(Plan([Start(3, (place,))], {}, number=shown)))
    assert any(why in str(effect) for effect in effects), effects
    assert not box.machine.state.jobs[3].slots


# -- licences ----------------------------------------------------------------------------------


def test_a_job_waits_until_its_licences_are_given_back() -> None:
    box = Box(("n1", "n2"))
    box.configure("licences", "matlab:3,ansys:1")
    first = box.submit(request=Request(licences={"matlab": 2}), time_limit=60)
    job = box.submit(request=Request(licences={"matlab": 2, "ansys": 1}))
    small = box.submit(request=Request(licences={"matlab": 1}))
    assert box.rule(job) == "licences"
    assert box.state(small) == "starting"
    assert box.machine.state.licences_held == {"matlab": 3}
    told = explain(box.machine.snapshot(box.now), box.now, job)
    assert (told.rule, told.blockers) == ("licences", [str(first)])
    assert told.reason.startswith("it needs 2 of licence matlab, and none is free; it waits for")
    box.end(box.alloc(small))
    assert explain(box.machine.snapshot(box.now), box.now, job).reason == (
        "it needs 2 of licence matlab, and 1 is free; it waits for job 1 to end;"
        " it should start in 1m"
    )
    box.end(box.alloc(first))
    assert box.state(job) == "starting"
    assert list(violations(box.machine.state)) == []


def test_each_slot_of_an_array_holds_its_licences() -> None:
    box = Box()
    box.configure("licences", "matlab:2")
    job = box.submit(array=((0, 9),), request=Request(licences={"matlab": 1}))
    assert len(box.machine.state.jobs[job].slots) == 2
    assert box.machine.state.licences_held == {"matlab": 2}
    assert list(violations(box.machine.state)) == []
    box.configure("licences", "matlab:4")
    assert len(box.machine.state.jobs[job].slots) == 4


def test_a_suspended_job_keeps_its_licences() -> None:
    box = Box()
    box.configure("licences", "matlab:1")
    first = box.submit(request=Request(licences={"matlab": 1}))
    box.start(box.alloc(first))
    box.act("suspend", str(first))
    job = box.submit(request=Request(licences={"matlab": 1}))
    assert box.rule(job) == "licences"
    assert list(violations(box.machine.state)) == []


def test_a_step_uses_what_its_allocation_has() -> None:
    box = box_with()
    box.configure("licences", "matlab:1")
    held = Request(tasks=2, nodes=2, constraint="rack1*1&rack2*1", licences={"matlab": 1})
    holder = box.submit(kind="alloc", request=held)
    step = Request(constraint="h100", exclusive=True)
    for rid in "ab":
        made = JobSpec(argv=(b"true",), request=step, kind="run", within=holder)
        box.ask(Submitted, ANN, rid, made, {})
    [launch] = [order for _, order in orders(box.done, Launch)]
    assert (launch.placement.node, launch.placement.cpus) == ("n3", (0,))
    for asked in (Request(licences={"matlab": 1}), Request(reservation="x")):
        with pytest.raises(UsageError, match="a step uses the licences and the reservation of its"):
            box.submit(kind="run", within=holder, request=asked)
    with pytest.raises(Refused, match="would never fit into allocation"):
        box.submit(kind="run", within=holder, request=Request(constraint="old"))


def test_what_a_waiting_job_asks_for_can_be_changed() -> None:
    box = box_with()
    box.configure("licences", "matlab:1")
    job = box.submit(request=Request(constraint="old"), hold=True)

    def modify(**changes: Any) -> None:
        box.ask(Modified, ANN, parse_ref(str(job)), changes)

    modify(constraint="rack2 & h100", licences={"matlab": 1})
    asked = box.machine.state.jobs[job].job.spec.request
    assert (asked.constraint, asked.licences) == ("h100&rack2", {"matlab": 1})
    for changes, error in (
        ({"constraint": "b200"}, Refused),
        ({"constraint": "a&"}, UsageError),
        ({"licences": {"matlab": 2}}, Refused),
        ({"licences": {"matlab": True}}, UsageError),
        ({"licences": "matlab"}, UsageError),
        ({"reservation": "x"}, Missing),
    ):
        with pytest.raises(error):
            modify(**changes)
    modify(constraint="", licences={})
    box.act("release", str(job))
    assert where(box, job) == ["n1"]


def test_an_administrator_says_what_a_node_is_like() -> None:
    box = box_with({"n1": ("a100",), "n2": ()})

    def say(*features: str, by: Caller = ROOT, reset: bool = False) -> list[list[str]]:
        given = None if reset else features
        rows = box.ask(NodesWorded, by, "features", ("n1", "n2"), "", given)["nodes"]
        return [row["features"] for row in rows]

    job = box.submit(request=Request(constraint="a100"))
    with pytest.raises(Refused, match="ann may not describe nodes"):
        say("ib", by=ANN)
    assert say("ib", "rack=4") == [["ib", "rack=4"]] * 2
    assert box.state(job) == "starting"  # what runs stays
    assert where(box, box.submit(request=Request(constraint="rack=4", cpus=4))) == ["n2"]
    box.do(AgentGreeted("n2", facts(), "b1", ()))  # it declares none
    assert box.machine.state.nodes["n2"].node.facts.features == ("ib", "rack=4")
    assert say(reset=True) == [["a100"], []]
    assert say() == [[], []]
    for bad in ("a b", "x" * 201, "\x1b[31m", "a&b"):
        with pytest.raises(UsageError, match="a feature cannot be"):
            say(bad)
    with pytest.raises(UsageError, match="65 features are named"):
        say(*map(str, range(65)))


def test_what_an_agent_declares_beside_words_is_left_out() -> None:
    box = Box(())
    box.do(AgentGreeted("n1", NodeFacts((0,), 1, features=("ok", "\x1b[31m", "a|b")), "b1", ()))
    assert box.machine.state.nodes["n1"].node.facts.features == ("ok",)


def test_a_node_that_comes_back_with_other_features_serves_others() -> None:
    box = Box(())
    box.do(AgentGreeted("n1", facts(), "b1", ()))
    with pytest.raises(Refused, match=r"features there: none\)"):
        box.submit(request=Request(constraint="ib"))
    box.do(AgentGreeted("n1", NodeFacts((0,), 1, features=("ib",)), "b1", ()))
    assert box.state(box.submit(request=Request(constraint="ib"))) == "starting"

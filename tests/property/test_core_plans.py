"""Whatever a scheduler proposes, nothing illegal happens, and what is refused is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.core.effects import Save
from ostler.core.events import Acted, NodesWorded, Planned
from ostler.core.violations import violations
from ostler.model.ids import parse_ref
from ostler.model.record import Event
from ostler.model.resources import Placement, Request
from ostler.model.states import Rule
from ostler.schedule.snapshot import Plan, Resume, Start, Wait
from tests.unit.core_kit import BOB, ROOT, Box

WAITING, ARRAY, RUNNING, ENDED, HELD, OTHERS = range(1, 7)
UNKNOWN = 99


def box() -> Box:
    """Return a machine of two nodes with a job of each kind, and nothing planned by itself."""
    made = Box(["n1", "n2"], cpus=4)
    machine = made.machine
    made.submit(request=Request(tasks=2, cpus=2), hold=True)
    made.submit(array=((0, 3),), array_cap=2, hold=True)
    made.submit(request=Request(cpus=3))
    made.start(made.alloc(RUNNING), *machine.state.allocations[1].nodes)
    made.submit()
    made.end(made.alloc(ENDED), *machine.state.allocations[2].nodes)
    made.submit(hold=True)
    made.submit(by=BOB, request=Request(memory=1 << 30), hold=True)
    refs = tuple(parse_ref(str(number)) for number in (WAITING, ARRAY, OTHERS))
    machine.handle(made.now, Acted(0, ROOT, "release", refs))
    return made


def propose(on: Box, *lines: Start | Resume, waits: dict[int, Wait] | None = None) -> list[str]:
    """Let the machine take a plan; return the reasons of what it refused."""
    list(on.machine.deltas(on.now))
    plan = Plan(list(lines), waits or {}, number=on.machine.state.marks.number)
    effects = on.machine.handle(on.now, Planned(plan))
    broken = list(violations(on.machine.state))
    assert not broken, broken
    rows = [e.write for e in effects if isinstance(e, Save)]
    return [row.text for row in rows if isinstance(row, Event) and row.kind == "plan/refused"]


def start(job: int, *places: Placement) -> Start:
    return Start(job, places)


def on(node: str, *cpus: int, tasks: int = 1, rank: int = 0, **more: Any) -> Placement:
    return Placement(node, tasks, rank, cpus, **more)


GOOD = start(WAITING, on("n2", 0, 1, 2, 3, tasks=2))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (start(UNKNOWN, on("n2", 0)), "there is no job 99"),
        (start(ENDED, on("n2", 0)), "there is no job 4"),
        (start(RUNNING, on("n2", 0, 1, 2)), "no element that waits"),
        (start(HELD, on("n2", 0)), "rule hold"),
        (start(WAITING), "none is"),
        (start(WAITING, on("n9", 0, 1, 2, 3, tasks=2)), "there is no node 'n9'"),
        (start(WAITING, on("n2", 0, 1), on("n2", 2, 3, rank=1)), "named twice"),
        (start(WAITING, on("n2", 0, 1)), "asks for 2 tasks"),
        (start(WAITING, on("n2", 0, 1, 2, tasks=2)), "was to get"),
        (start(WAITING, on("n2", 0, 0, 1, 2, tasks=2)), "was to get"),
        (start(WAITING, on("n2", 0, 1, 2, 7, tasks=2)), "CPU 7 of n2 is not free"),
        (start(WAITING, on("n2", 0, 1), on("n1", 0, 1, rank=1)), "is not free"),
        (start(WAITING, on("n2", 0, 1, 2, 3, tasks=2, memory=5)), "was to get"),
        (start(WAITING, on("n2", 0, 1, 2, 3, tasks=2, gpus=(0,))), "was to get"),
        (start(WAITING, on("n2", 0, 1, 2, 3, tasks=2, generic={"disk": 1})), "was to get"),
        (start(WAITING, on("n2", 0, 1, 2, 3, tasks=2, rank=1)), "was to get"),
        (start(WAITING, on("n1", tasks=0), on("n2", 0, 1, 2, 3, tasks=2)), "was to get"),
        (start(WAITING, on("n1", tasks=-1), on("n2", 0, 1, 2, tasks=3)), "was to get"),
        (start(OTHERS, on("n2", 0)), "was to get"),
        (Resume(1), "does not wait to go on"),
        (Resume(UNKNOWN), "does not wait to go on"),
    ],
)
def test_a_line_that_is_not_legal_changes_nothing_and_is_told(
    line: Start | Resume, reason: str
) -> None:
    machine = box()
    before = dict(machine.machine.state.allocations)
    (told,) = propose(machine, line)
    assert told.startswith("backfill: ")
    assert reason in told
    assert machine.machine.state.allocations == before


def test_legal_lines_beside_illegal_ones_are_carried_out() -> None:
    machine = box()
    assert len(propose(machine, start(UNKNOWN), GOOD, Resume(7))) == 2
    assert machine.state(WAITING) == "starting"


def test_a_line_that_is_repeated_starts_a_job_once() -> None:
    machine = box()
    (told,) = propose(machine, GOOD, GOOD)
    assert "no element that waits" in told


def test_repeated_lines_start_elements_of_an_array_up_to_its_cap() -> None:
    machine = box()
    lines = [start(ARRAY, on("n2", cpu)) for cpu in range(4)]
    told = propose(machine, *lines)
    assert len(told) == 2
    assert "array_cap" in told[0]


def test_two_lines_for_one_cpu_are_one_start() -> None:
    machine = box()
    memory = {"memory": 1 << 30}
    (told,) = propose(machine, start(ARRAY, on("n2", 0)), start(OTHERS, on("n2", 0, **memory)))
    assert "CPU 0 of n2 is not free" in told


def test_a_limit_holds_against_every_scheduler() -> None:
    machine = box()
    machine.machine.state.settings["max-cpus-per-user"] = "5"
    (told,) = propose(machine, GOOD)
    assert "ann holds 3 CPUs and may hold 5" in told


def test_nothing_starts_on_a_drained_node() -> None:
    machine = box()
    machine.machine.handle(machine.now, NodesWorded(0, ROOT, "drain", ("n2",), "new disk"))
    (told,) = propose(machine, GOOD)
    assert "n2 cannot be used: draining" in told


JOBS = st.sampled_from([*range(-1, 8), UNKNOWN])
PLACES = st.builds(
    Placement,
    node=st.sampled_from(["n1", "n2", "n3", ""]),
    tasks=st.integers(-1, 3),
    first_rank=st.integers(-1, 3),
    cpus=st.lists(st.integers(-1, 5), max_size=5).map(tuple),
    memory=st.sampled_from([0, -1, 1 << 30, 1 << 40]),
    gpus=st.lists(st.integers(-1, 2), max_size=2).map(tuple),
    generic=st.dictionaries(st.sampled_from(["disk", ""]), st.integers(-1, 2), max_size=1),
)
LINES = st.one_of(
    st.builds(Start, job=JOBS, placements=st.lists(PLACES, max_size=3).map(tuple)),
    st.builds(Resume, alloc=JOBS),
    st.just(GOOD),
    st.builds(start, st.just(ARRAY), st.builds(on, st.just("n2"), st.integers(0, 3))),
)
WAITS = st.dictionaries(JOBS, st.builds(Wait, rule=st.sampled_from(list(Rule))), max_size=4)


@given(plans=st.lists(st.tuples(st.lists(LINES, max_size=6), WAITS), max_size=4))
def test_no_plan_at_all_breaks_a_rule_or_the_machine(
    plans: list[tuple[list[Start | Resume], dict[int, Wait]]],
) -> None:
    machine = box()
    for lines, waits in plans:
        propose(machine, *lines, waits=waits)

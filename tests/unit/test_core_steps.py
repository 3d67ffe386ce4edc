"""Allocations that a client holds, and the steps in them: what may start, and what ends them."""

from typing import Any

import pytest

from ostler.core import planning, steps
from ostler.core.effects import Send
from ostler.core.events import Awaited, ClientGone, Modified, NodesWorded, Submitted, Tick
from ostler.core.explain import explain
from ostler.core.load import load
from ostler.core.violations import violations
from ostler.model.caller import Caller
from ostler.model.errors import NotNow, Refused, UsageError
from ostler.model.ids import parse_ref, step_id
from ostler.model.job import JobSpec
from ostler.model.orders import EndShare, Launch, ResumeShare, SuspendShare
from ostler.model.record import Accounting, Loaded
from ostler.model.resources import Request
from ostler.schedule.engine import plan
from ostler.schedule.explain import explain as schedule_explain
from ostler.schedule.snapshot import Explanation, Snapshot
from tests.unit.core_kit import ANN, BOB, ROOT, Box, orders, saved


class Held(Box):
    """A machine with one node of four CPUs, and an allocation of some of them."""

    def __init__(self, cpus: int = 2, nodes: tuple[str, ...] = ("n1",), **named: Any) -> None:
        super().__init__(nodes)
        request = named.pop("request", Request(cpus=cpus))
        self.job = self.submit(kind="alloc", request=request, **named)
        self.attend(str(self.job))

    def step(self, *, by: Caller = ANN, rid: str = "", within: int = 0, **request: Any) -> str:
        """Run a step; return its name."""
        spec = JobSpec(
            argv=(b"true",), kind="run", within=within or self.job, request=Request(**request)
        )
        body: dict[str, str] = self.ask(Submitted, by, rid or f"s{self._to}", spec, {})
        self.attend(body["job"])
        return body["job"]

    def attend(self, name: str) -> int:
        """Be the client that waits for it; return the number of the request."""
        self._to += 1
        self.do(Awaited(self._to, ANN, (parse_ref(name),), attach=True))
        return self._to

    def cpus_of(self, step: str) -> tuple[int, ...]:
        """Return the CPUs that a step has; none while it waits."""
        entry = self.machine.state.jobs[parse_ref(step).job]
        held = [self.machine.state.allocations[number] for number in entry.slots]
        return tuple(cpu for alloc in held for place in alloc.placements for cpu in place.cpus)

    def how(self, step: str) -> str:
        """Return a step's state, or its result."""
        return self.state(parse_ref(step).job)

    def part(self, step: str) -> int:
        """Return the number of a step's own allocation."""
        return self.alloc(parse_ref(step).job)

    def may_be_suspended(self) -> bool:
        """Say whether a scheduler that is told what changed takes it that all can stand still."""
        engine = self.scheduler.engine
        for told in self.machine.deltas(self.now):
            engine.apply(told)
        return engine.picture.running[self.alloc(self.job)].halts

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.do(Tick())

    def sound(self) -> bool:
        """Say whether every rule of the core's state holds."""
        return not list(violations(self.machine.state))


def test_an_allocation_runs_at_once_and_no_node_is_told_of_it() -> None:
    box = Held()
    assert box.state(box.job) == "running"
    assert not orders(box.done, Launch)
    assert len(box.machine.state.nodes["n1"].books.cpus) == 2


def test_two_steps_run_at_once_on_different_cpus_of_the_allocation() -> None:
    box = Held()
    first, second = box.step(), box.step()
    assert (first, second) == (f"{box.job}.0", f"{box.job}.1")
    held = box.machine.state.allocations[box.alloc(box.job)].placements[0].cpus
    assert sorted(box.cpus_of(first) + box.cpus_of(second)) == sorted(held)
    assert len(box.machine.state.nodes["n1"].books.cpus) == 2  # nothing more of the node is taken
    assert box.sound()


def test_the_order_for_a_step_names_its_job_and_its_number() -> None:
    box = Held()
    box.step()
    box.step()
    assert [(o.job, o.step) for _, o in orders(box.done, Launch)] == [(box.job, 0), (box.job, 1)]


def test_a_step_that_finds_no_room_waits_says_why_and_follows_the_one_before() -> None:
    box = Held()
    first, second = box.step(cpus=2), box.step()
    assert not box.cpus_of(second)
    told = explain(box.machine.state, box.now, parse_ref(second))
    assert told["rule"] == "resources"
    assert "0 of the 2 CPUs of allocation 1 are free" in told["reason"]
    box.start(box.part(first))
    box.end(box.part(first))
    assert box.how(first) == "success"
    assert box.cpus_of(second)


def test_a_small_step_does_not_overtake_a_large_one_that_waits() -> None:
    box = Held()
    first, large, small = box.step(), box.step(cpus=2), box.step()
    assert not box.cpus_of(small)
    assert explain(box.machine.state, box.now, parse_ref(small))["rule"] == "behind"
    box.start(box.part(first))
    box.end(box.part(first))
    assert box.cpus_of(large)
    assert not box.cpus_of(small)


@pytest.mark.parametrize(
    "asked", [{"cpus": 3}, {"tasks": 3}, {"memory": 9 << 30, "cpus": 1}, {"gpus": 1}]
)
def test_what_the_allocation_could_never_hold_is_refused(asked: dict[str, Any]) -> None:
    box = Held(request=Request(cpus=2, memory=4 << 30))
    with pytest.raises(Refused, match="would never fit into allocation 1") as told:
        box.step(**asked)
    assert "2 CPUs" in told.value.expected


def test_a_step_has_its_part_of_the_memory_unless_it_asks_for_another() -> None:
    box = Held(request=Request(cpus=2, memory=4 << 30))
    box.step()
    box.step(memory=1 << 30)
    given = [o.placement.memory for _, o in orders(box.done, Launch)]
    assert given == [2 << 30, 1 << 30]


def test_tasks_of_a_step_are_spread_over_the_nodes_of_the_allocation() -> None:
    box = Held(nodes=("n1", "n2"), request=Request(tasks=8))
    step = box.step(tasks=6)
    placed = dict(orders(box.done, Launch))
    assert sum(o.placement.tasks for o in placed.values()) == 6
    assert set(placed) == {"n1", "n2"}
    for node in placed:
        box.made(box.part(step), node)
        box.start(box.part(step), node)
    assert box.how(step) == "running"
    assert box.sound()


def test_the_end_of_the_command_ends_the_steps_and_then_the_allocation() -> None:
    box = Held()
    step, waiting = box.step(cpus=2), box.step()
    number = box.part(step)
    box.start(number)
    box.act("end", str(box.job), status=3)
    assert box.how(waiting) == "cancelled"
    assert [o.alloc for _, o in orders(box.done, EndShare)] == [number]
    assert box.state(box.job) == "finishing"
    assert len(box.machine.state.nodes["n1"].books.cpus) == 2  # until the node has said
    box.end(number, cause="cancelled")
    assert box.how(step) == "cancelled"
    assert box.state(box.job) == "failed"
    ended = box.machine.state.recent[box.job].job
    assert (ended.exit_status, ended.reason) == (3, "its command exited with status 3")
    assert len(box.machine.state.nodes["n1"].books.cpus) == 4
    assert box.sound()


def test_each_step_and_the_allocation_are_accounted() -> None:
    box = Held()
    for code in (0, 4):
        step = box.step()
        box.start(box.part(step))
        box.end(box.part(step), code=code)
    box.act("end", str(box.job))
    rows = [row for row in saved(box.done) if isinstance(row, Accounting)]
    assert [(row.job, row.result, row.exit_status) for row in rows] == [
        (step_id(box.job, 0), "success", 0),
        (step_id(box.job, 1), "failed", 4),
        (box.job, "success", 0),
    ]


def test_an_allocation_ends_when_no_step_has_run_for_its_idle_time() -> None:
    box = Held(idle=60)
    box.later(50)
    step = box.step()
    box.start(box.part(step))
    box.later(100)
    assert box.state(box.job) == "running"
    box.end(box.part(step))
    box.later(59)
    assert box.state(box.job) == "running"
    box.later(1)
    assert box.state(box.job) == "timeout"
    ended = box.machine.state.recent[box.job].job
    assert (ended.exit_status, ended.reason) == (125, "no step has run in it for 1m")


def test_the_machine_may_have_an_idle_time_for_all() -> None:
    box = Box()
    box.configure("idle-time", "20s")
    job = box.submit(kind="alloc")
    box.now += 20
    box.do(Tick())
    assert box.state(job) == "timeout"


def test_an_allocation_ends_at_its_time_limit_and_a_longer_one_can_be_given() -> None:
    box = Held(time_limit=100)
    box.later(50)
    box.ask(Modified, ANN, parse_ref(str(box.job)), {"time_limit": 200})
    box.later(60)
    assert box.state(box.job) == "running"
    box.later(90)
    assert box.state(box.job) == "timeout"


def test_an_allocation_ends_when_its_client_was_gone_for_30_seconds() -> None:
    box = Held()
    box.later(100)
    assert box.state(box.job) == "running"
    box.do(ClientGone(tuple(box.machine.state.waiters)))
    box.later(31)
    assert box.state(box.job) == "cancelled"
    assert "`ostler alloc` was gone" in box.machine.state.recent[box.job].job.reason


def test_what_cannot_be_granted_at_once_is_rejected_in_the_turn_that_asked() -> None:
    box = Held(cpus=3)
    late = box.submit(kind="alloc", request=Request(cpus=2), immediate=True)
    assert box.state(late) == "rejected"
    reason = box.machine.state.recent[late].job.reason
    assert "n1 has the most free: 1; job 1 holds what it needs" in reason
    now = box.submit(kind="alloc", request=Request(cpus=1), immediate=True)
    assert box.state(now) == "running"


def test_a_step_that_is_to_start_now_or_never_does_not_wait_for_others() -> None:
    box = Held()
    box.step(cpus=2)
    spec = JobSpec(argv=(b"true",), kind="run", within=box.job, request=Request(), immediate=True)
    late = box.ask(Submitted, ANN, "now or never", spec, {})["job"]
    assert box.how(late) == "rejected"
    reason = box.machine.state.recent[parse_ref(late).job].job.reason
    assert reason.startswith("it cannot be granted at once: ")
    assert "0 of the 2 CPUs of allocation 1 are free" in reason
    assert box.sound()


def test_only_its_owner_runs_steps_in_an_allocation() -> None:
    box = Held()
    with pytest.raises(Refused, match="belongs to ann"):
        box.step(by=BOB)


def test_in_an_ordinary_job_or_in_one_that_is_unknown_a_run_is_a_job_of_its_own() -> None:
    box = Held()
    job = box.submit()
    assert box.step(within=job) == str(job + 1)
    assert box.step(within=4711) == str(job + 2)


def test_an_allocation_that_has_ended_takes_no_steps() -> None:
    box = Held()
    box.act("end", str(box.job))
    with pytest.raises(Refused, match="allocation 1 has ended"):
        box.step()


def test_a_repeated_submission_is_the_same_step() -> None:
    box = Held()
    assert box.step(rid="x") == box.step(rid="x")


def test_a_step_is_cancelled_by_its_name_and_the_allocation_goes_on() -> None:
    box = Held()
    step = box.step()
    box.start(box.part(step))
    box.act("cancel", step)
    box.end(box.part(step), cause="cancelled")
    assert box.how(step) == "cancelled"
    assert box.state(box.job) == "running"


def test_a_suspended_step_keeps_its_cpus_and_goes_on_at_once() -> None:
    box = Held()
    step = box.step(cpus=2)
    box.start(box.part(step))
    box.act("suspend", step)
    assert orders(box.done, SuspendShare)
    waiting = box.step()
    assert not box.cpus_of(waiting)
    box.act("resume", step)
    assert orders(box.done, ResumeShare)
    assert box.how(step) == "running"
    assert box.sound()


def test_what_is_held_is_not_suspended_while_a_step_has_its_grace_to_end_in() -> None:
    box = Held(cpus=2, time_limit=100)
    step = box.step()
    box.start(box.part(step))
    assert box.may_be_suspended()
    part = box.part(step)
    box.act("cancel", step)
    assert box.how(step) == "finishing"
    assert not box.may_be_suspended()
    (row,) = box.act("suspend", str(box.job))
    assert (row["ok"], row["hint"]) == (False, "try again")
    box.end(part, cause="cancelled", why="cancelled by ann")
    assert box.may_be_suspended()
    (row,) = box.act("suspend", str(box.job))
    assert row["ok"]


def test_what_is_held_stands_still_with_all_its_steps_and_goes_on_with_them() -> None:
    box = Held(cpus=3, time_limit=100)
    one, two, own = box.step(), box.step(), box.step()
    (row,) = box.act("suspend", str(box.job))
    assert (row["ok"], row["message"]) == (*(False, f"step {one} is just being started or ended"),)
    for step in (one, two, own):
        box.start(box.part(step))
    box.act("suspend", own)
    box.act("suspend", str(box.job))
    assert [box.how(step) for step in (one, two, own)] == ["suspended"] * 3
    assert len(orders(box.done, SuspendShare)) == 3
    waiting = box.step()
    other = box.submit(by=BOB, request=Request(cpus=4))
    box.start(box.alloc(other))
    assert (box.how(waiting), box.state(box.job), box.state(other)) == (
        *("pending", "suspended", "running"),
    )
    told = explain(box.machine.state, box.now, parse_ref(one))
    assert told["to_start_now"] == f"`ostler resume {box.job}`"
    (row,) = box.act("resume", one)
    assert (row["ok"], row["hint"]) == (False, f"resume {box.job}")
    box.later(200)  # its own time stands still
    box.act("resume", str(box.job))
    assert (box.state(box.job), box.how(one)) == ("suspended", "suspended")
    box.end(box.alloc(other))
    assert [box.how(step) for step in (one, two, own)] == ["running", "running", "suspended"]
    box.end(box.part(one))
    assert box.how(waiting) == "starting"
    assert box.sound()
    box.later(99)
    assert box.state(box.job) == "running"
    box.later(2)
    assert box.state(box.job) == "finishing"


def test_steps_that_stand_still_end_with_their_allocation() -> None:
    box = Held()
    step = box.step()
    box.start(box.part(step))
    box.act("suspend", str(box.job))
    box.later(10)
    box.act("cancel", str(box.job))
    box.end(box.part(step), code=143, cause="cancelled")
    assert (box.state(box.job), box.how(step)) == ("cancelled", "cancelled")
    (row,) = [r for r in saved(box.done) if isinstance(r, Accounting) and r.job == box.job]
    assert row.usage.suspended == 10.0


@pytest.mark.parametrize("verb", ["requeue", "signal"])
def test_what_an_allocation_cannot_do_is_refused_with_what_can(verb: str) -> None:
    box = Held()
    (row,) = box.act(verb, str(box.job), signal=10)
    assert not row["ok"]
    assert row["hint"]


def test_only_an_allocation_is_ended_with_a_status() -> None:
    box = Box()
    job = box.submit()
    (row,) = box.act("end", str(job))
    assert row["code"] == UsageError("").code
    held = box.submit(kind="alloc")
    (row,) = box.act("end", str(held), by=BOB)
    assert row["code"] == Refused("").code


def test_a_fenced_node_ends_an_allocation_with_all_of_its_steps() -> None:
    box = Held(nodes=("n1", "n2"), request=Request(tasks=8))
    step = box.step()
    ((node, _),) = orders(box.done, Launch)
    box.start(box.part(step), node)
    silent = next(name for name in ("n1", "n2") if name != node)
    box.machine.state.nodes[silent].connected = False
    box.ask(NodesWorded, ROOT, "fence", (silent,), "smoke")
    assert box.state(box.job) == "finishing"
    box.end(box.part(step), node, cause="cancelled")
    assert box.state(box.job) == "lost"
    assert box.sound()


def test_an_agent_that_greets_is_asked_for_the_steps_and_not_for_the_allocation() -> None:
    box = Held()
    step = box.step()
    sent = box.greet("n1")
    assert [e.order.alloc for e in sent if isinstance(e, Send)] == [box.part(step)]
    assert box.state(box.job) == "running"


def test_a_restarted_manager_knows_the_allocation_its_steps_and_their_next_number() -> None:
    box = Held(idle=60)
    first, second = box.step(), box.step(cpus=2)
    box.start(box.part(first))
    box.end(box.part(first))
    s = box.machine.state
    stored = Loaded(
        jobs=[entry.job for entry in s.jobs.values()],
        elements=[],
        done={},
        allocations=list(s.allocations.values()),
        nodes=[entry.node for entry in s.nodes.values()],
        settings={},
        ended=dict(s.ended),
        next_job=s.next_job,
        next_allocation=s.next_allocation,
        next_event=s.next_event,
    )
    again = load(stored, 2, box.now)
    assert not list(violations(again))
    assert again.next_step == {box.job: 2}
    assert again.nodes["n1"].books.cpus == s.nodes["n1"].books.cpus
    box.machine.state = again
    box.greet("n1")
    assert box.cpus_of(second)
    assert box.step() == f"{box.job}.2"


def test_a_planner_sees_the_allocation_and_none_of_its_steps() -> None:
    box = Held()
    step = box.step(cpus=2)
    box.step()
    shot = box.machine.snapshot(box.now)
    assert [view.job for view in shot.running] == [box.job]
    assert not shot.waiting
    assert not plan(shot, box.now).lines
    assert box.cpus_of(step)


def test_an_allocation_has_so_many_unfinished_steps_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "MAX_UNFINISHED_STEPS", 2)
    box = Held()
    first = box.step(cpus=2)
    box.step()
    with pytest.raises(Refused, match="2 unfinished steps"):
        box.step()
    box.end(box.part(first))
    assert box.step() == f"{box.job}.2"


def test_of_many_that_cannot_be_granted_at_once_not_all_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explained: list[int] = []

    def count(shot: Snapshot, now: float, job: int) -> Explanation:
        explained.append(job)
        return schedule_explain(shot, now, job)

    monkeypatch.setattr(planning, "explain", count)
    box = Box()
    box.submit(request=Request(cpus=4))
    spec = JobSpec(argv=(b"true",), kind="alloc", request=Request(cpus=4), immediate=True)
    for at in range(50):
        box.machine.handle(box.now, Submitted(1000 + at, ANN, f"i{at}", spec, {}))
    box.do(Tick())
    ended = box.machine.state.recent
    assert len(ended) == 50
    assert all(entry.job.result == "rejected" for entry in ended.values())
    assert all("cannot be granted at once" in entry.job.reason for entry in ended.values())
    assert 1 <= len(explained) <= 10


def test_a_step_cannot_be_made_longer_than_its_allocation() -> None:
    box = Held()
    step = box.step(cpus=2)
    waiting = box.step()
    with pytest.raises(Refused, match="would never fit"):
        box.ask(Modified, ANN, parse_ref(waiting), {"cpus": 3})
    with pytest.raises(NotNow, match="has started"):
        box.ask(Modified, ANN, parse_ref(step), {"cpus": 1})

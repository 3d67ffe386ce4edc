"""A promised start is not lost to a backfilled job: not through limits, licences or whole nodes."""

from math import inf

import pytest
from msgspec.structs import replace

from ostler.model.resources import Placement, Request
from ostler.schedule.engine import Engine
from ostler.schedule.rules import Holder, Limit, PartitionRules, Rules
from ostler.schedule.snapshot import Delta, NodeView, RunningView, Start, WaitingView, whole
from tests.schedule_kit import job, machine, node

NOW = 10.0
PROMISING = ["easy", "easy-sjbf", "reserved-1", "reserved-2", "conservative"]
ONE_EACH = (Limit(Holder.USER, running=1),)
HAS_SOLVER = RunningView(
    8, 8, None, "joe", (Placement("n3", 1, 0, (0,)),), 60.0, licences={"solver": 1}
)


class World:
    """An engine, and what runs: all that it plans is carried out."""

    def __init__(
        self,
        policy: str,
        jobs: list[WaitingView],
        runs: list[RunningView],
        nodes: list[NodeView] | None = None,
        **rules: object,
    ) -> None:
        self.nodes = {view.name: view for view in nodes or [node("n1", 4)]}
        self.runs = {run.alloc: run for run in runs}
        self.waiting = {view.job: view for view in jobs}
        self.engine = Engine()
        snapshot = machine(list(self.nodes.values()), jobs, runs=runs)
        made = Rules(default=PartitionRules(policy), **rules)  # type: ignore[arg-type]
        self.engine.apply(replace(whole(snapshot), rules=made))

    def plan(self, now: float, *new: WaitingView, over: tuple[int, ...] = ()) -> list[int]:
        """Let jobs come and allocations end; return the jobs that start then, which run."""
        for number in over:
            del self.runs[number]
        views = machine(list(self.nodes.values()), runs=list(self.runs.values())).nodes
        self.engine.apply(Delta(0, views, list(self.runs.values()), [*over], list(new)))
        self.waiting |= {view.job: view for view in new}
        starts = [line for line in self.engine.plan(now).lines if isinstance(line, Start)]
        for line in starts:
            view = self.waiting.pop(line.job)
            self.runs[line.job] = RunningView(
                line.job,
                line.job,
                None,
                view.user,
                line.placements,
                now + view.duration,
                licences=view.request.licences,
                project=view.project,
                partition=view.partition,
            )
        gone = [line.job for line in starts]
        views = machine(list(self.nodes.values()), runs=list(self.runs.values())).nodes
        self.engine.apply(Delta(0, views, list(self.runs.values()), gone=gone))
        return gone

    def promised(self) -> dict[int, float]:
        """Return the starts that are promised."""
        engine = self.engine
        found = {h.job: h.shadow for each in (engine.heads, engine.beside) for h in each.values()}
        for book in engine.books.values():
            found |= {n: inf if (at := book.start_of(n)) is None else at for n in book.jobs}
        return found


def licensed(number: int, cpus: int, limit: float, user: str = "ann") -> WaitingView:
    view = job(number, cpus, limit, user=user)
    return replace(view, request=replace(view.request, licences={"solver": 1}))


def alone(number: int, limit: float, cpus: int = 1, user: str = "ann") -> WaitingView:
    view = job(number, cpus, limit, user=user)
    return replace(view, request=replace(view.request, exclusive=True))


def others(cpus: int = 3, until: float = 50.0, on: str = "n1", alloc: int = 9) -> RunningView:
    """Return what has CPUs of a node up to a time."""
    place = Placement(on, 1, 0, tuple(range(cpus)))
    return RunningView(alloc, alloc, None, "joe", (place,), until)


@pytest.mark.parametrize("policy", PROMISING)
def test_a_job_at_a_limit_that_one_behind_it_has_taken_keeps_its_promise(policy: str) -> None:
    """Job 3 ends before job 2 has room. Until then its user is at the limit, and job 4 waits."""
    jobs = [job(2, 5, 50.0), job(3, 1, 30.0)]
    world = World(policy, jobs, [others()], [node("n1", 5)], limits=ONE_EACH)
    assert world.plan(NOW) == [3]
    assert world.promised()[2] == 50.0
    assert world.plan(NOW + 1, job(4, 1, 500.0, user="eve"), job(5, 1, 39.0, user="eve")) == [5]
    assert world.promised()[2] == 50.0
    assert world.plan(40.0, over=(3,)) == []
    assert world.plan(50.0, over=(5, 9)) == [2]


def test_the_first_of_fcfs_is_not_passed_because_its_user_is_at_a_limit_elsewhere() -> None:
    jobs = [job(2, 5, 50.0), job(3, 1, 30.0, partition="other")]
    nodes = [node("n1", 5), node("o1", 1, partition="other")]
    world = World("fcfs", jobs, [others()], nodes, limits=ONE_EACH)
    assert world.plan(NOW) == [3]
    assert world.plan(NOW + 1, job(4, 1, 20.0, user="eve")) == []
    assert world.promised()[2] == 50.0


@pytest.mark.parametrize("policy", ["easy", "easy-sjbf", "reserved-1", "reserved-2"])
def test_who_is_at_a_limit_through_one_before_it_holds_up_nobody(policy: str) -> None:
    """Job 1 comes before job 2, and is to run longer than job 2 was to wait."""
    world = World(policy, [job(2, 5, 50.0)], [others()], [node("n1", 5)], limits=ONE_EACH)
    assert world.plan(NOW) == []
    first = job(1, 1, 90.0, priority=60, nodelist=("n1",))
    assert world.plan(NOW + 1, first, job(4, 1, 500.0, user="eve")) == [1, 4]


def test_a_job_that_lacks_a_licence_which_one_behind_it_has_taken_keeps_its_promise() -> None:
    """Job 1 lacks another licence for long, so job 2 is not the first that lacks one."""
    big = job(1, 1, 50.0, user="eve")
    big = replace(big, request=replace(big.request, licences={"big": 1}))
    jobs = [big, licensed(2, 5, 50.0), licensed(3, 1, 30.0)]
    nodes = [node("n1", 5), node("n2", 1)]
    runs = [others(), replace(others(1, 500.0, "n2", 8), licences={"big": 1})]
    world = World("easy", jobs, runs, nodes, licences={"solver": 1, "big": 1})
    assert world.plan(NOW) == [3]
    assert world.promised() == {1: 500.0, 2: 50.0}
    assert world.plan(NOW + 1, job(4, 1, 400.0, user="eve")) == []
    assert world.promised() == {1: 500.0, 2: 50.0}


def test_who_was_promised_a_licence_keeps_the_promise_while_it_lacks_room() -> None:
    """The licence comes early, while job 3 still has some of the node that job 2 is to have."""
    jobs = [job(1, 5, 50.0), licensed(2, 4, 50.0), job(3, 1, 30.0, nodelist=("n2",))]
    nodes = [node("n1", 5), node("n2", 4), node("n3", 1)]
    world = World("easy", jobs, [others(), HAS_SOLVER], nodes, licences={"solver": 1})
    assert world.plan(NOW) == [3]
    assert world.promised() == {1: 50.0, 2: 60.0}
    late = job(4, 1, 500.0, nodelist=("n2",))
    assert world.plan(20.0, late, over=(8,)) == []
    assert world.promised() == {1: 50.0, 2: 40.0}
    assert world.plan(40.0, over=(3,)) == [2]


def test_who_has_its_licence_and_lacks_room_leaves_another_what_it_was_promised() -> None:
    """Job 1 was the first that lacked a licence, job 2 behind it the first that lacked room."""
    first = licensed(1, 2, 5.0)
    first = replace(first, request=replace(first.request, nodelist=("n1",)))
    jobs = [first, job(2, 2, 5.0, nodelist=("n2",))]
    nodes = [node("n1", 2), node("n2", 2), node("n3", 1)]
    runs = [others(2, 50.0), others(1, 80.0, "n2", 7), HAS_SOLVER]
    world = World("easy", jobs, runs, nodes, licences={"solver": 1})
    assert world.plan(NOW) == []
    assert world.promised() == {1: 60.0, 2: 80.0}
    assert world.plan(20.0, job(4, 1, 100.0, nodelist=("n2",)), over=(8,)) == []
    assert world.promised() == {1: 50.0, 2: 80.0}


def test_whoever_was_promised_a_licence_starts_as_time_alone_gives_it_cpu_minutes() -> None:
    """The licence comes early, while job 2 behind it still has some of their minute."""
    minute = (Limit(Holder.USER, cpu_minutes=1),)
    jobs = [licensed(1, 1, 30.0), job(2, 1, 35.0)]
    nodes = [node("n1", 5), node("n3", 1)]
    world = World("easy", jobs, [HAS_SOLVER], nodes, licences={"solver": 1}, limits=minute)
    assert world.plan(NOW) == [2]
    assert world.promised() == {1: 60.0}
    assert world.plan(NOW + 1, over=(8,)) == []
    assert world.promised() == {1: 15.0}
    assert world.engine.plan(NOW + 1).wake == 15.0
    assert world.plan(15.0) == [1]


@pytest.mark.parametrize("policy", PROMISING)
def test_who_is_exempted_from_a_limit_does_not_fill_it_before_a_promise(policy: str) -> None:
    """Ann's own limit stands in for the one of each project, under which her jobs count."""
    limits = (Limit(Holder.PROJECT, running=1), Limit(Holder.USER, "ann", running=5))
    jobs = [
        replace(job(2, 5, 50.0, user="bob"), project="p"),
        replace(job(3, 1, 60.0), project="p"),
        replace(job(4, 1, 30.0), project="p"),
    ]
    nodes = [node("n1", 5), node("n2", 4)]
    world = World(policy, jobs, [others()], nodes, limits=limits)
    assert world.plan(NOW) == [4]
    assert world.promised()[2] == 50.0
    assert world.plan(40.0, over=(4,)) == []
    assert world.plan(50.0, over=(9,))[0] == 2


@pytest.mark.parametrize("policy", PROMISING)
def test_a_whole_node_is_one_that_the_limit_allows(policy: str) -> None:
    """Job 2 may have n1, which is free at 50, and not n2, though that is free before."""
    eight = (Limit(Holder.USER, cpus=8),)
    nodes = [node("n1", 4), node("n2", 16)]
    world = World(policy, [alone(2, 50.0)], [others()], nodes, limits=eight)
    assert world.plan(NOW) == []
    assert world.promised() == {2: 50.0}
    assert world.plan(NOW + 1, job(4, 1, 500.0, user="eve", nodelist=("n1",))) == []
    assert world.plan(50.0, over=(9,)) == [2]
    assert world.runs[2].placements[0].node == "n1"


def test_of_free_nodes_that_are_not_alike_a_job_gets_those_that_its_limit_allows() -> None:
    """Packed, two tasks would share n2; its user may have no more than the two others."""
    four = (Limit(Holder.USER, cpus=4),)
    nodes = [node("n1", 2), node("n2", 16), node("n3", 2)]
    two = replace(job(2, 2, 50.0, tasks=2), request=Request(2, 2, exclusive=True))
    world = World("easy", [two], [], nodes, limits=four)
    assert world.plan(NOW) == [2]
    assert [place.node for place in world.runs[2].placements] == ["n1", "n3"]

"""The machine manager in virtual time: what it sees from outside, and the record of it."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from ostler.core.view import nodes_of, unknown_since
from ostler.model.errors import OstlerError
from ostler.model.record import Event, Write
from ostler.testing.cluster import SimCluster

POLL = "node-status-poll-interval"


def machine(seed: int = 1, *, nodes: int = 8, poll: int = 1) -> SimCluster:
    """Return a machine as a lab is one: a look and a heartbeat at each node every second."""
    sim = SimCluster(seed, nodes=nodes, beat=1.0)
    sim.configure(POLL, poll)
    sim.run_for(2 * poll)
    return sim


def changes(sim: SimCluster) -> list[tuple[str, str]]:
    """Return the node and the text of each change of status, oldest first, without the first."""
    rows = sim.store.real.events(limit=1 << 30)
    found = [(row["node"], row["text"]) for row in rows if row["kind"] == "node/status"]
    return found[len(sim.hosts) :]


def record(sim: SimCluster) -> dict[str, str]:
    """Return the status of each node by the database."""
    return {row["name"]: row["status"] for row in sim.store.real.nodes()}


def harm(sim: SimCluster, what: str, node: str) -> None:
    if what == "kill":
        sim.kill_agent(node, back_after=None)
    else:
        getattr(sim, what)(node)


def mend(sim: SimCluster, what: str, node: str) -> None:
    if what == "kill":
        sim.hosts[node].start_agent()
    else:
        getattr(sim, {"freeze": "thaw", "cut": "heal", "crash": "boot"}[what])(node)


def test_each_change_of_a_node_is_seen_and_told_and_no_other_is_named() -> None:
    """R-RMS-1."""
    sim = machine()
    harm(sim, "kill", "n05")
    sim.run_for(2)
    mend(sim, "kill", "n05")
    sim.run_for(2)
    assert changes(sim) == [("n05", "running -> no_agent"), ("n05", "no_agent -> running")]


def test_the_record_of_a_node_is_always_what_its_last_event_says() -> None:
    """R-RMS-2: also after the role's holder was killed before, in or after a commit, 50 times."""
    sim, rng = machine(3, nodes=4), Random(3)
    for _ in range(50):
        node, what = rng.choice(sorted(sim.hosts)), rng.choice(["kill", "cut", "freeze"])
        harm(sim, what, node)
        sim.run_for(rng.choice([rng.uniform(0.0, 0.02), rng.uniform(0.0, 2.5)]))
        sim.kill_manager(after_messages=rng.choice([None, 0, 2]))
        last = {
            row["node"]: row["text"].rpartition(" ")[2]
            for row in sim.store.real.events(limit=1 << 30)
            if row["kind"] == "node/status"
        }
        assert last == record(sim)
        mend(sim, what, node)
        sim.run_until(sim.quiet)
        sim.run_for(3)
        assert set(record(sim).values()) == {"running"}
    sim.settle()


def steps_of(sim: SimCluster, key: str, *, tenths: int) -> list[list[float]]:
    """Return, for each node, the seconds between the moments that a key of its row has had."""
    seen: dict[str, list[float]] = {name: [] for name in sim.hosts}
    for _ in range(tenths):
        sim.run_for(0.1)
        for name, found in seen.items():
            found.append(float(sim.manager.agents.fresh.row(name)[key] or 0))
    return [[b - a for a, b in pairwise(sorted(set(found)))] for found in seen.values()]


def test_working_agents_refresh_their_record_and_a_cut_one_does_not() -> None:
    """R-RMS-3 and 4."""
    sim = machine()
    for steps in steps_of(sim, "last_update", tenths=600):
        assert len(steps) >= 55
        assert max(steps) <= 1.5
    sim.cut("n05")
    before = sim.manager.agents.fresh.row("n05")["last_update"]
    sim.run_for(3)
    row = sim.manager.agents.fresh.row("n05")
    assert row["last_update"] == pytest.approx(before, abs=0.01)  # what was under way may arrive
    assert (row["age_seconds"] or 0) >= 2


def test_every_node_is_looked_at_from_outside_whatever_it_says_of_itself() -> None:
    """R-RMS-5: `checked_at` goes on every second, and a frozen node is found in two."""
    sim = machine()
    for steps in steps_of(sim, "checked_at", tenths=100):
        assert len(steps) >= 9
        assert all(0.5 <= step <= 1.5 for step in steps)
    sim.freeze("n05")
    sim.run_for(2.1)  # the look itself takes a moment
    assert record(sim)["n05"] == "no_agent"


@pytest.mark.parametrize("poll", [1, 5])
def test_host_and_agent_are_told_apart_within_two_intervals(poll: int) -> None:
    """R-RMS-6, and what runs there is unknown, started nowhere else, and adopted later."""
    sim = machine(poll=poll)
    harms = {"n05": "cut", "n06": "freeze", "n07": "kill", "n08": "crash"}
    work = ["n01", "n05", "n06", "n07"]  # what is on a host that crashes is lost
    jobs = {n: sim.submit(seconds=300, array=((0, 5),), nodelist=(n,)) for n in work}
    sim.run_until(lambda: all(len(sim.runs(job)) == 4 for job in jobs.values()))
    sim.run_until(lambda: sim.states(jobs.values()) == ["running"] * 4)
    for node, what in harms.items():
        harm(sim, what, node)
    sim.run_for(2.05 * poll)
    expected = {"n05": "unreachable", "n06": "no_agent", "n07": "no_agent", "n08": "unreachable"}
    assert record(sim) == dict.fromkeys(sim.hosts, "running") | expected
    sim.run_for(30)
    assert sim.states(jobs.values()) == ["running"] * 4
    held = {n: nodes_of(sim.core, sim.core.jobs[job]) for n, job in jobs.items()}
    unknown = {n for n, nodes in held.items() if unknown_since(sim.core, nodes)}
    assert unknown == {"n05", "n06", "n07"}
    for node, what in harms.items():
        mend(sim, what, node)
    sim.run_until(lambda: all(sim.state(job) == "success" for job in jobs.values()))
    assert set(record(sim).values()) == {"running"}
    ran = [len(sim.ledger.runs[job, index]) for job in jobs.values() for index in range(6)]
    assert ran == [1] * 24
    sim.settle()


def test_a_hundred_changes_are_a_hundred_events_and_sixty_polls_without_one_are_none() -> None:
    """R-RMS-7 and 8."""
    sim, rng = machine(5), Random(5)
    ill: dict[str, str] = {}
    told = 0  # changes that are durable

    def committed(writes: Sequence[Write]) -> None:
        nonlocal told
        sim.ledger.committed(writes)
        told += sum(isinstance(w, Event) and w.kind == "node/status" for w in writes)

    sim.store.on_commit = committed
    before = len(sim.store.real.events(limit=1 << 30))
    for count in range(1, 101):
        name = rng.choice(sorted(sim.hosts))
        if name in ill:
            mend(sim, ill.pop(name), name)
        else:
            ill[name] = rng.choice(["cut", "freeze", "kill"])
            harm(sim, ill[name], name)
        sim.run_until(lambda count=count: told >= count, seconds=20)  # type: ignore[misc]
        assert told == len(changes(sim)) == count
    assert len(sim.store.real.events(limit=1 << 30)) == before + 100
    assert len(record(sim)) == 8
    sim.run_for(30)  # what is restless becomes steady
    count = len(sim.store.real.events(limit=1 << 30))
    looks = sum(sim.sight.looks.values())
    sim.run_for(60)
    assert sum(sim.sight.looks.values()) >= looks + 60 * (8 - len(ill))
    rows = sim.store.real.events(limit=1 << 30)
    assert len(rows) == count
    serials = [row["serial"] for row in rows]
    assert serials == sorted(set(serials))


def test_the_interval_is_obeyed_without_a_restart_and_has_a_general_one_behind_it() -> None:
    """R-RMS-9 and 10: 5 s, 1 s, then 0 and 7 s by `rms-poll-interval`, then the default of 60."""
    sim = machine(poll=5)
    epoch = sim.manager.epoch

    def looks(seconds: float) -> set[int]:
        before = Counter(sim.sight.looks)
        sim.run_for(seconds)
        return set((Counter(sim.sight.looks) - before).values())

    assert looks(50) == {10}
    sim.configure(POLL, 1)
    sim.run_for(2)
    assert looks(50) == {50}
    sim.configure(POLL, 0)
    sim.configure("rms-poll-interval", 7)
    sim.run_for(14)
    assert looks(70) == {10}
    sim.answer(sim.set("poll-interval", None))
    sim.run_for(120)
    assert looks(600) == {10}
    assert sim.manager.epoch == epoch


def test_a_node_that_comes_and_goes_gets_no_new_work_for_a_while_and_all_is_on_record() -> None:
    sim = machine(nodes=1)
    for _ in range(4):
        sim.kill_agent("n01")
        sim.run_for(0.9)
    assert len(changes(sim)) == 8
    assert record(sim)["n01"] == "running"
    job = sim.submit(seconds=1)
    assert "n01" in str(sim.explain(job)["reason"])
    assert "it was lost 4 times of late" in sim.core.nodes["n01"].unusable
    sim.run_until(lambda: sim.state(job) == "success", seconds=10)
    assert not sim.core.nodes["n01"].restless


def test_the_next_manager_knows_which_nodes_came_and_went() -> None:
    sim = machine(nodes=1)
    sim.configure(POLL, 10)
    for _ in range(4):
        sim.kill_agent("n01")
        sim.run_for(0.9)
    assert sim.core.nodes["n01"].restless
    sim.kill_manager()
    sim.run_until(lambda: sim.manager.serving and bool(sim.core.nodes["n01"].restless), seconds=9)
    sim.run_until(lambda: not sim.core.nodes["n01"].restless, seconds=12)


def test_a_clock_that_is_set_is_no_outage() -> None:
    sim = machine()
    for step in (3600.0, -7200.0):
        sim.manager.turns._clock = lambda step=step: sim.clock.now + step  # type: ignore[misc]
        sim.run_for(30)
    assert not changes(sim)
    assert set(record(sim).values()) == {"running"}


def test_an_agent_that_is_not_what_it_says_is_an_event() -> None:
    sim = machine(nodes=2)
    host = sim.hosts["n02"]
    host.name = "n01"  # it is found at n02 and calls itself n01
    sim.run_for(10)
    host.name = "n02"
    texts = [r["text"] for r in sim.store.real.events() if r["kind"] == "discrepancy"]
    assert texts == ["it answers as n01"]


def test_a_node_that_says_it_is_well_and_cannot_be_reached_gets_no_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sim = machine(nodes=2)
    lost = sim.sight.is_lost
    monkeypatch.setattr(sim.sight, "is_lost", lambda node: node == "n02" or lost(node))
    sim.run_for(10)
    assert record(sim) == {"n01": "running", "n02": "unreachable"}
    assert sim.core.nodes["n02"].connected
    texts = [r["text"] for r in sim.store.real.events() if r["kind"] == "discrepancy"]
    assert texts == ["its agent says that it works, and from outside it cannot be reached"]
    jobs = [sim.submit(cpus=4, seconds=5) for _ in range(4)]
    sim.run_until(lambda: all(sim.state(job) == "success" for job in jobs))
    assert {run.node for job in jobs for run in sim.ledger.runs[job, 0]} == {"n01"}


def test_nobody_but_administrators_sets_the_interval() -> None:
    sim = machine(nodes=1)
    with pytest.raises(OstlerError, match="seconds"):
        sim.configure(POLL, "soon")

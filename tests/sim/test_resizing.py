"""Jobs whose tasks run and whose nodes change, on whole machines where daemons die: R-MAU-17."""

import pytest

from ostler.core.events import Modified
from ostler.model.errors import NotNow
from ostler.model.ids import Ref
from ostler.testing.cluster import ANN, SimCluster


def test_a_job_of_two_nodes_has_four_and_then_one_r_mau_17() -> None:
    sim = SimCluster(1, nodes=4)
    job = sim.submit(tasks=2, cpus=4, nodes=2, seconds=100)
    sim.run_until(lambda: sim.started(job))
    sim.modify(job, nodes=4)
    sim.run_for(1)
    runs = [run for found in sim.ledger.active.values() for run in found]
    assert sorted(run.node for run in runs) == ["n01", "n02", "n03", "n04"]
    (alloc,) = sim.core.allocations
    told = [sim.hosts[name].members.get(alloc) for name in ("n01", "n02")]
    assert told == [("n01", "n02", "n03", "n04")] * 2
    with pytest.raises(NotNow, match="tasks of job 1 run on n02, n03, n04"):
        sim.modify(job, nodes=1)
    sim.modify(job, nodes=1, end_tasks=True)
    sim.run_until(lambda: len(sim.core.allocations[alloc].placements) == 1)
    other = sim.submit(tasks=3, cpus=4, nodes=3, seconds=1)
    sim.run_until(lambda: sim.state(other) == "success")
    assert sim.state(job) == "running"
    assert sim.hosts["n01"].members[alloc] == ("n01",)
    sim.run_until(lambda: sim.state(job) == "success")
    sim.settle()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_when_daemons_die_while_nodes_change(seed: int) -> None:
    sim = SimCluster(seed, nodes=4)
    rng, client = sim.rng, sim.clients[ANN.user]
    jobs = [
        sim.submit(tasks=2, cpus=rng.choice((1, 4)), nodes=2, seconds=rng.uniform(20.0, 90.0))
        for _ in range(6)
    ]

    def resize(job: int, nodes: int) -> None:
        changes = {"nodes": nodes, "end_tasks": rng.random() < 0.7}
        client.ask(lambda to: Modified(to, ANN, Ref(job), changes), patient=False)

    def over() -> bool:
        return sim.manager.serving and not sim.core.jobs

    while not over():
        for job in jobs:
            resize(job, rng.randint(1, 4))
        chance = rng.random()
        if chance < 0.15:
            sim.kill_manager(after_messages=rng.randrange(4))
        elif chance < 0.4:
            sim.kill_agent(rng.choice(sorted(sim.hosts)))
        sim.run_for(rng.uniform(0.0, 5.0))
    assert sim.states(jobs) == ["success"] * 6
    kinds = [row["kind"] for row in sim.store.real.events()]
    assert kinds.count("job/resized") > 6
    sim.settle()

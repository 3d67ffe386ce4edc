"""Handlers of a machine whose manager dies again and again."""

from collections import Counter

import pytest

from ostler.core.events import Posted
from ostler.model.errand import Order
from ostler.model.site_changes import Change
from ostler.testing.cluster import ANN, SimCluster

EVENTS = 20


@pytest.mark.parametrize("seed", range(4))
def test_each_event_is_handled_and_none_again_but_what_ran_when_a_manager_died(seed: int) -> None:
    sim = SimCluster(seed, nodes=1)
    ran: Counter[int] = Counter()

    def run(order: Order) -> float:
        ran[order.first] += 1
        return sim.rng.uniform(0.0, 3.0)

    sim.errand = sim.manager.errand = run
    values = {"command": "/bin/log", "event": "user", "every": True}
    sim.change(Change("create", "handler", ("log",), values))
    serials: list[int] = []
    deaths = 0
    for turn in range(EVENTS):
        if sim.rng.random() < 0.3:
            sim.kill_manager(after_messages=sim.rng.randrange(3))
            deaths += 1
        made = sim.ask(Posted, ANN, "user/x", f"o{turn}", "text", f"r{turn}")
        serials.append(made["events"][0]["serial"])
        sim.run_for(sim.rng.uniform(0.0, 2.0))
    sim.run_until(lambda: sim.quiet() and not sim.core.desk.errands)
    assert len(set(serials)) == EVENTS
    assert set(ran) == set(serials)
    assert sum(ran.values()) - EVENTS <= deaths
    rows = sim.store.real.handled(user=None, handler="log", unfinished=False)
    assert {row["first"]: row["attempt"] for row in rows} == dict(ran)
    sim.close()

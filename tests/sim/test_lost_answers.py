"""Requests whose answers are lost with the manager: asked again, they do nothing a second time."""

import pytest

from ostler.model.site_changes import Change
from ostler.testing.cluster import SimCluster


@pytest.mark.parametrize("messages", range(3))
def test_what_is_administered_is_changed_once_though_its_answer_is_lost(messages: int) -> None:
    sim = SimCluster(1, nodes=1)
    sim.kill_manager(after_messages=messages)
    asked = sim.put(Change("create", "handler", ("log",), {"command": "/bin/log"}))
    [row] = sim.answer(asked)["changes"]  # not that there is such a handler already
    assert row["text"].startswith("created handler log")
    rows = sim.store.real.transactions("log", "handler")
    assert [row["verb"] for row in rows] == ["create"]
    sim.close()

"""What a starter is ordered: all of it, but for limits that it was born with."""

from typing import Any, cast

from ostler.agent.starters import Starter
from ostler.model.orders import Launch
from ostler.model.resources import Placement, Request
from ostler.wire.conn import Connection
from ostler.wire.pack import unpack

WANTED = {"core": 0, "nofile": 1024, "stack": -1}


class Ear:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send(self, payload: bytes, _descriptors: list[int]) -> None:
        self.heard.append(unpack(payload))


def ordered(limits: dict[str, int], *, declared: bool = False) -> dict[str, Any]:
    starter, ear = Starter("s1", 10, 20, limits), Ear()
    starter.link = cast("Connection", ear)
    launch = Launch(7, 1, 0, 1, "u", 1000, 1000, Placement("n"), Request(), rlimits=WANTED)
    starter.launch(launch, [], declared=declared)
    return ear.heard[0]


def test_a_starter_is_not_told_of_limits_that_it_has() -> None:
    order = ordered({"core": 0, "nofile": 4096, "stack": -1, "cpu": -1})
    assert order["type"] == "launch"
    assert (order["alloc"], order["rlimits"]) == (7, {"nofile": 1024})
    assert "declared" not in order


def test_a_starter_of_unknown_birth_is_told_of_all_limits() -> None:
    order = ordered({}, declared=True)
    assert order["rlimits"] == WANTED
    assert order["declared"] is True

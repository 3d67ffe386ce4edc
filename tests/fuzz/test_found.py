"""What bursts have found, byte by byte, so that it stays found."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ostler.wire import messages
from ostler.wire.address import dial
from ostler.wire.frames import frame
from tests.e2e.machine_kit import Host, machine
from tests.fuzz.bursts import read_to_end
from tests.fuzz.rig import Logs

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with machine(tmp_path_factory.mktemp("found"), "--cpus", "2") as found:
        yield found


def greeting(**fields: Any) -> bytes:
    """Return the greeting of an agent that is none of the machine's."""
    hello = {"type": "agent_hello", "node": "evil", "version": messages.VERSION, "boot_id": "b"}
    hello |= {"facts": {"cpus": []}, "incarnation": "i", "epoch": 0}
    return frame(msgspec.msgpack.encode(hello | fields))


def answer(host: Host, door: str, data: bytes) -> bytes:
    with dial(str(host.state / door), 10.0) as sock:
        sock.sendall(data)
        return read_to_end(sock)


@pytest.mark.parametrize(
    "facts",
    [{"memory": 2**63}, {"cpus": [2**64 - 1]}, {"generic": {"x": 2**63}}, {"memory": -1}],
    ids=str,
)
def test_a_size_that_no_database_holds_is_refused_and_costs_others_nothing(
    host: Host, facts: dict[str, Any]
) -> None:
    logs = Logs([host.state / "log" / "manager.log"])
    assert b"makes no sense" in answer(host, "sock", greeting(facts=facts))
    assert host.ostler("run", "echo", "served").stdout == "served\n"
    assert "cannot" not in logs.new()


def test_a_time_that_is_none_is_refused_and_costs_others_nothing(host: Host) -> None:
    row = {"type": "started", "alloc": 1, "at": float("nan")}
    report = {"type": "report", "seq": 1, "rows": [row]}
    told = answer(host, "sock", greeting() + frame(msgspec.msgpack.encode(report)))
    assert b"makes no sense" in told
    assert host.ostler("run", "echo", "served").stdout == "served\n"


def test_an_agent_that_claims_the_last_allocation_does_not_use_the_numbers_up(host: Host) -> None:
    answer(host, "sock", greeting(holds=[[2**53, "started", 1.0]]))
    assert host.ostler("run", "echo", "served").stdout == "served\n"


@pytest.mark.parametrize(
    "token", [b"\x91" * 20_000 + b"\xc0", b"\xa2\xff\xfe"], ids=["deep", "no text"]
)
def test_what_the_decoder_cannot_even_refuse_ends_its_own_connection(
    host: Host, token: bytes
) -> None:
    logs = Logs([host.state / "log" / "agent.log"])
    message = {"type": "leave", "token": msgspec.Raw(token)}
    assert not answer(host, "agent.sock", frame(msgspec.msgpack.encode(message)))
    assert host.ostler("run", "echo", "served").stdout == "served\n"
    logs.tell_no_defect()

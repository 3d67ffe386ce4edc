"""Requests whose answers or orders would be larger than anything that travels."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ostler.client.link import Link
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import OstlerError
from ostler.wire.address import dial
from ostler.wire.frames import frame
from tests.e2e.machine_kit import Host, machine

ELEMENTS = 24
LARGE = 1_800_000  # bytes of an environment


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with machine(tmp_path_factory.mktemp("wide"), "--cpus", str(ELEMENTS)) as found:
        yield found


@pytest.fixture
def link(wide: Host) -> Iterator[Link]:
    found = Link(str(wide.state))
    yield found
    found.close()


def submit(link: Link, **values: object) -> str:
    given = {"argv": [b"/bin/true"], "cwd": b"/", "output": b"/dev/null"} | values
    spec, blobs = make_spec(given)
    return str(link.call("submit", request_id=new_request_id(), spec=spec, blobs=blobs)["job"])


def rows(link: Link, ident: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = link.call("wait", refs=[ident])["jobs"]
    return found


def test_many_large_environments_start_at_once(link: Link) -> None:
    large = b"".join(b"K%d=%s\0" % (n, b"x" * 100_000) for n in range(LARGE // 100_000))
    held = submit(link, env=large, array=[(0, ELEMENTS - 1)], hold=True)
    link.call("act", verb="release", refs=[held])
    (row,) = rows(link, held)
    assert (row["result"], row["elements_done"]) == ("success", ELEMENTS)


@pytest.mark.parametrize(
    "elements", ["[0-9999999:2]", "[0-999999]", f"[{','.join(['1'] * 60_000)}]"]
)
def test_naming_millions_of_elements_is_refused_at_once(link: Link, elements: str) -> None:
    held = submit(link, array=[(0, 999_999)], hold=True)
    with pytest.raises(OstlerError, match="most"):
        link.call("act", verb="release", refs=[f"{held}_{elements}"])
    with pytest.raises(OstlerError, match="most"):
        link.call("wait", refs=[f"{held}_{elements}"])
    link.call("act", verb="cancel", refs=[held])


def test_the_number_of_descriptors_is_not_what_tasks_get(wide: Host, link: Link) -> None:
    out = os.fsencode(wide.work / "limit")
    rows(link, submit(link, argv=[b"/bin/sh", b"-c", b"ulimit -Sn"], output=out))
    supervisor = wide.pids()["supervisor"]
    with open(f"/proc/{supervisor}/limits", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("Max open files")]
    with open(out, encoding="ascii") as file:
        assert file.read().strip() == line.split()[3]


@pytest.mark.parametrize("since", [float("inf"), float("nan"), -float("inf"), 1e300])
def test_times_that_no_database_holds_are_refused(wide: Host, since: float) -> None:
    for what in ("events", "jobs", "acct"):
        message = {"type": "read", "id": 1, "what": what, "options": {"since": since, "all": True}}
        with dial(str(wide.state / "sock"), 10.0) as sock:
            sock.sendall(frame(msgspec.msgpack.encode(message)))
            head = sock.recv(4, socket.MSG_WAITALL)
            answer = msgspec.msgpack.decode(
                sock.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            )
        assert (answer["type"], answer["code"]) == ("error", "usage")

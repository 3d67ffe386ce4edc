"""Hostile bursts on the manager's socket, from its owner's own programs and from strangers."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.machine_kit import Host, kill_leftovers, machine
from tests.fuzz.bursts import Poke, messages, pokes
from tests.fuzz.requests import PREY, of_agent, of_owner, of_stranger
from tests.fuzz.rig import Rig, fuzzed, rig

pytestmark = pytest.mark.e2e


def make_prey(host: Host) -> None:
    """Make jobs of each kind for the bursts to act on."""
    quiet = ("-o", "/dev/null")
    for words in (
        [*quiet, "--", "true"],
        [*quiet, "--hold", "--", "true"],
        [*quiet, "-n", "2", "--", "sleep", "100000"],
        [*quiet, "--hold", "--array", "0-9", "--", "true"],
        [*quiet, "--after", "3", "--", "true"],
        [*quiet, "-c", "2", "--", "false"],
    ):
        host.submit(*words)
    assert host.json("jobs", "--all")["jobs"][-1]["id"] == str(PREY)


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("fuzz")
    with machine(folder, "--cpus", "4") as host:
        make_prey(host)
        with rig(host) as made:
            yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    if os.geteuid():
        pytest.skip("a system machine is root's to start")
    folder = Path(tempfile.mkdtemp(prefix="ostler-fuzz-"))
    folder.chmod(0o755)
    host = Host(folder, "--system", "--cpus", "4")
    host.work.chmod(0o777)
    try:
        host.up()
        with rig(host, pwd.getpwnam("nobody"), pwd.getpwnam("daemon")) as made:
            yield made
    finally:
        host.down()
        kill_leftovers(host.state)
        shutil.rmtree(folder)


def test_no_burst_of_the_owners_programs_stops_anything(owned: Rig) -> None:
    work = os.fsencode(owned.host.work)
    clients = pokes(messages(of_owner(work)))
    hello, said = map(messages, of_agent(work))
    agents = pokes(said, opening=hello)

    @fuzzed
    @given(st.lists(clients | agents, min_size=1, max_size=8))
    def bursts(burst: list[Poke]) -> None:
        owned.burst("sock", burst)

    bursts()


def test_no_burst_of_a_stranger_disturbs_others(shared: Rig) -> None:
    frames = messages(of_stranger(os.fsencode(shared.host.work)))

    @fuzzed
    @given(st.lists(pokes(frames), min_size=1, max_size=8))
    def bursts(burst: list[Poke]) -> None:
        shared.burst("sock", burst)

    bursts()

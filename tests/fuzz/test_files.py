"""Files of the state folder with any bytes in them: said, never a traceback, and nothing runs twice."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.gated import Gated
from tests.e2e.machine_kit import Host, machine
from tests.fuzz.rig import BURSTS, Logs, fuzzed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FILES = ["ostler.db", "machine.json", "supervisor.json", "lock", "node/journal", "node/epoch"]
FILES += ["node/spool/*", "node/spool.b/*", "node/lock"]


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 4, 40])):
        data[rng.randrange(len(data))] = rng.randrange(256)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _drop(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, 200)]


def _double(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[max(0, at - rng.randrange(1, 500)) : at]


def _append(data: bytearray, rng: random.Random) -> None:
    data += rng.choice([rng.randbytes(100), bytes(5000), b"{}", b"\n"])


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [_flip, _cut, _drop, _double, _append]


def _damage(host: Host, pattern: str, kind: int, rng: random.Random) -> None:
    for path in sorted(host.state.glob(pattern)):
        data = bytearray(path.read_bytes())
        if data:
            DAMAGES[kind](data, rng)
            path.write_bytes(data)


@partial(fuzzed, examples=max(1, BURSTS // 2))  # each brings a machine up
@given(
    st.lists(st.sampled_from(FILES), min_size=1, max_size=2, unique=True),
    st.integers(0, len(DAMAGES) - 1),
    st.integers(0, 2**32),
)
def test_a_machine_comes_up_or_says_why_it_cannot(
    patterns: list[str], kind: int, seed: int
) -> None:
    rng = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="ostler-files-") as folder,
        machine(Path(folder), "--cpus", "2") as host,
    ):
        job = Gated(host, "job", 7).running()
        host.ostler("down", "--leave")
        logs = Logs(sorted((host.state / "log").glob("*.log")))
        for pattern in patterns:
            _damage(host, pattern, kind, rng)
        with _told(f"{patterns}, {DAMAGES[kind].__name__}, seed {seed}"):
            for words in (["up", *host.up_options], ["status"], ["jobs", "--all"], ["run", "true"]):
                logs.tell_no_defect()
                done = host.ostler(*words, check=False)
                assert done.returncode in (0, 1, 3, 5, 125), f"{words}: {done}"
                assert "Traceback" not in done.stderr, f"{words}: {done.stderr}"
                assert not done.returncode or done.stderr, f"{words} failed and says nothing"
            logs.tell_no_defect()
            assert len(job.pids) == 1, f"the job ran {len(job.pids)} times"


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what was damaged beside whatever came of it."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise

"""Other systems, really running: without them these tests are skipped, and say so.

`make test-peers` installs what is missing and runs them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from bench.peers.slurm import Slurm
from bench.processes import Unavailable
from tests.e2e.machine_kit import Host, machine

HERE = Path(__file__).parent
T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of them, so that `-m 'not peer'` leaves them out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.peer)


@contextmanager
def peer(system: AbstractContextManager[T], name: str) -> Iterator[T]:
    """Run another system; skip what needs it, and say so, where it cannot be."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(system)
        except Unavailable as error:
            pytest.skip(f"NOT TESTED AGAINST {name}: {error}; `make test-peers` installs it")
        yield found


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """Return a folder with a short path that everybody may enter, as munge wants it."""
    with TemporaryDirectory(prefix="ostler-peers-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def slurm(open_folder: Path) -> Iterator[Slurm]:
    """Run munged, slurmctld and one slurmd."""
    with peer(Slurm(open_folder), "Slurm") as found:
        yield found


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Run one machine of four CPUs."""
    with machine(tmp_path_factory.mktemp("m"), "--cpus", "4") as found:
        yield found

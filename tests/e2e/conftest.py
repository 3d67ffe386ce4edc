"""Whole machines for the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine_kit import Host, machine, names


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Run one machine of four CPUs for all tests of a module that leave it as they found it."""
    with machine(tmp_path_factory.mktemp("m"), "--cpus", "4") as found:
        yield found


@pytest.fixture
def own_host(tmp_path: Path) -> Iterator[Host]:
    """Run a machine of four CPUs that the test may break."""
    with machine(tmp_path, "--cpus", "4") as found:
        yield found


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the last test if a daemon or task outlived its machine."""
    yield
    folder = tmp_path_factory.getbasetemp()
    assert not [p.name for p in Path("/proc").iterdir() if p.name.isdigit() and names(p, folder)]

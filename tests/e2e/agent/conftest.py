"""Agents for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.agent.kit import Node, node


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Node]:
    """Run an agent that nobody starts again."""
    with node(tmp_path) as one:
        yield one


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Node]:
    """Make a state folder whose agent the test starts itself."""
    with node(tmp_path, start=False) as one:
        yield one


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Node]:
    """Run an agent below a supervisor."""
    with node(tmp_path, supervised=True) as one:
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Run one agent for all tests of a module that leave it as they found it."""
    with node(tmp_path_factory.mktemp("shared")) as one:
        one.manager.greeting()
        yield one

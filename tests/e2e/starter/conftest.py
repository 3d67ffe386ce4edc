"""Fixtures of the tests of starters."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.starter.kit import Agent, playing


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """A stand-in for the agent daemon, with a zygote when the first starter is asked for."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with playing(state) as one:
        yield one


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder

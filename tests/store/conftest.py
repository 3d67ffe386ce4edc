"""A store on a file, one in memory, and both closed at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.builders import Held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ostler.db"


@pytest.fixture(params=["file", "memory"])
def held(request: pytest.FixtureRequest, path: Path) -> Iterator[Held]:
    held = Held(path if request.param == "file" else ":memory:")
    yield held
    held.store.close()


@pytest.fixture
def on_disk(path: Path) -> Iterator[Held]:
    held = Held(path)
    yield held
    held.store.close()

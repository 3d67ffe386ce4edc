"""Dask's local cluster, from its package `distributed`: the bench's side starts it for itself."""

from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import Unavailable

VERSION = "2026.8.0"
# An environment of its own: its packages must not come into ours.
VENV = Path(__file__).resolve().parents[2] / "build" / "peers" / "dask"
PYTHON = VENV / "bin" / "python"


class Dask:
    """An environment in which it is installed."""

    version = VERSION
    python = PYTHON

    def __init__(self, folder: Path) -> None:
        """Take no folder: it keeps nothing."""

    def __enter__(self) -> Self:
        if not PYTHON.exists():
            raise Unavailable("it is not installed; `make bench-peers` installs it")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave it installed."""

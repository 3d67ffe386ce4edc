"""Other systems beside ours: started in the run's folder when a row asks, stopped after the run.

`python -m bench.peers` installs those that are missing.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from bench.peers.dask import Dask
from bench.peers.hq import HyperQueue
from bench.peers.slurm import Slurm
from bench.processes import Unavailable

Peer = TypeVar("Peer", Dask, HyperQueue, Slurm)


class Peers:
    """Those that take daemons. folder: where they keep their state; short paths suit sockets."""

    def __init__(self, folder: Path, *, wanted: bool) -> None:
        self._folder = folder
        self._wanted = wanted
        self._open = ExitStack()
        self._found: dict[type, Dask | HyperQueue | Slurm | Unavailable] = {}

    def close(self) -> None:
        """Stop all that were started."""
        self._open.close()

    def check(self) -> None:
        """Raise `Unavailable` if this run leaves other systems out."""
        if not self._wanted:
            raise Unavailable("left out of the short form")

    def dask(self) -> Dask:
        """Return an installed Dask; raise `Unavailable`."""
        return self._get(Dask)

    def hyperqueue(self) -> HyperQueue:
        """Return a running HyperQueue; raise `Unavailable`."""
        return self._get(HyperQueue)

    def slurm(self) -> Slurm:
        """Return a running Slurm; raise `Unavailable`."""
        return self._get(Slurm)

    def _get(self, kind: type[Peer]) -> Peer:
        self.check()
        if kind not in self._found:
            try:
                self._found[kind] = self._open.enter_context(kind(self._folder))
            except Unavailable as error:
                self._found[kind] = error
        found = self._found[kind]
        if isinstance(found, Unavailable):
            raise found
        assert isinstance(found, kind)
        return found

    def versions(self) -> dict[str, str]:
        """Return the versions of those that were started."""
        return {
            kind.__name__: found.version
            for kind, found in self._found.items()
            if not isinstance(found, Unavailable)
        }

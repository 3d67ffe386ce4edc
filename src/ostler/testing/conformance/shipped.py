"""Benches for drivers of Ostler's own: what can be done to each resource manager by hand."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import json

from ostler.drivers import spool
from ostler.drivers.contract import Driver
from ostler.model.foreign import Share
from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.wiki import WikiBench


class LocalBench(Bench):
    """The folder of `ostler.drivers.local`: one of its own, unless it is told another."""

    polls, polling, nap = 1500, 0.01, 0.01

    def __init__(
        self, make: Callable[[Mapping[str, str]], Driver], settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(make, settings)
        (self.folder / "spool").mkdir()
        self._spool = Path(self.settings.setdefault("folder", str(self.folder / "spool")))
        self.settings.setdefault("cpus", "4")

    def occupy(self, node: str, key: str) -> str:
        """Begin a job that the driver was not asked for."""
        folder, order = self._spool / key, self.order(key, (Share(node),))
        spool.submit(folder, json.encode(order), b"")
        quiet = (b"/", b"/dev/null", b"/dev/null", b"/dev/null")
        spool.begin(folder, self.command(key), quiet, dict(os.environb), 0o022)
        return key

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have the folder called something else."""
        elsewhere = self._spool.rename(self._spool.with_suffix(".away"))
        yield
        elsewhere.rename(self._spool)

    def forget(self, job: str) -> None:
        """Remove its folder, behind everybody's back."""
        spool.kill(self._spool / job)
        shutil.rmtree(self._spool / job)


BENCHES: dict[str, type[Bench]] = {"local": LocalBench, "wiki": WikiBench}

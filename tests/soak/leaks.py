"""Leak watch: one long array, and what the machine's processes hold while it runs.

python -m tests.soak.leaks --elements 1000000
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

from ostler.client.link import Link
from tests.e2e.machine_kit import Host, kill_leftovers
from tests.soak.growth import Growth, judge, table
from tests.soak.vitals import Vitals, take

SAMPLES = 400  # about so many in a run
EVERY = 0.25, 15.0  # seconds between two, at least and at most


class Watched:
    """One machine, one array, and samples of what is held against elements done."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.host = Host(folder, "--cpus", "2")
        self.samples: list[tuple[int, Vitals]] = []
        self.died: list[str] = []

    def run(self, elements: int, seconds: float) -> list[Growth]:
        """Run so many elements, for so many seconds at most (0: to the end); return growths."""
        self.host.ostler("up", *self.host.up_options, TMPDIR=str(self.scratch))
        pids = self.host.pids()
        ident = self.host.submit(
            "--array", f"0-{elements - 1}", "-o", "/dev/null", "--", "/bin/true"
        )
        began, pause, never = time.monotonic(), EVERY[0], Event()
        link = Link(str(self.host.state))
        try:
            while (done := _done(link, ident)) < elements:
                passed = time.monotonic() - began
                if seconds and passed > seconds:
                    self.host.ostler("cancel", ident)
                    break
                self.samples.append((done, take(self.host.state, self.scratch)))
                if done:
                    whole = min(passed / done * elements, 20 * passed)  # at first it is a guess
                    pause = min(max(whole / SAMPLES, EVERY[0]), EVERY[1])
                never.wait(pause)
        finally:
            link.close()
        if self.host.pids() != pids:
            self.died.append(f"{pids} were the daemons, and now {self.host.pids()}")
        return judge(self.samples)


def _done(link: Link, ident: str) -> int:
    """Return how many elements have ended."""
    rows = link.call("read", what="jobs", options={"all": True})["jobs"]
    row = next(row for row in rows if row["id"] == ident)
    return int(row["elements"]) if row["state"] == "done" else int(row["elements_done"])


def watch(elements: int, seconds: float) -> tuple[str, bool]:
    """Run the watch on a machine of its own; return its table, and whether all is well."""
    folder = Path(tempfile.mkdtemp(prefix="ostler-leaks-"))
    watched = Watched(folder)
    began = time.monotonic()
    try:
        rows = watched.run(elements, seconds)
        done = watched.samples[-1][0]
        passed = time.monotonic() - began
    finally:
        watched.host.down()
        kill_leftovers(watched.host.state)
        shutil.rmtree(folder)
    grows = [row.quantity for row in rows if not row.is_flat] + watched.died
    head = f"{done} of {elements} elements in {passed:.0f} s, {len(watched.samples)} samples"
    verdict = f"grows: {', '.join(grows)}" if grows else "flat"
    return f"{head}\n{table(rows)}\n{verdict}", not grows


def main(argv: list[str]) -> int:
    """Run by hand; print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--elements", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=0, help="judge what was seen by then")
    options = parser.parse_args(argv)
    told, is_well = watch(options.elements, 60 * options.minutes)
    print(told, flush=True)  # noqa: T201 - run by hand
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

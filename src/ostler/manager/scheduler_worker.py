"""`python -I -m ostler.manager.scheduler_worker MODULE:CLASS`: a scheduler that is a Python class.

The class is made once, without arguments; its method `plan(snapshot, now)` is given a
`schedule.snapshot.Snapshot` of its partitions and Unix seconds, and returns a
`schedule.proposal.Proposal`. What it prints goes to the manager's log when it fails.
"""

import os
import sys
from importlib import import_module
from typing import BinaryIO, Protocol

import msgspec
from msgspec.structs import replace

from ostler.schedule.proposal import Proposal, read_shown
from ostler.schedule.snapshot import Snapshot


class Planner(Protocol):
    """A scheduler as a class."""

    def plan(self, snapshot: Snapshot, now: float) -> Proposal:
        """Return what to start where, and why the rest waits."""


def serve(planner: Planner, given: BinaryIO, out: BinaryIO) -> None:
    """Answer each line until there are no more."""
    encode = msgspec.json.Encoder().encode
    for line in given:
        shown = read_shown(line)
        proposal = planner.plan(shown.snapshot, shown.now)
        out.write(encode(replace(proposal, number=shown.number)) + b"\n")
        out.flush()


def main() -> None:
    """Serve stdin and stdout with the class that is named."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the class prints is no answer
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(import_module(module), name)(), sys.stdin.buffer, out)


if __name__ == "__main__":
    main()

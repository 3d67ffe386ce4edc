"""One run: where it works, whom it compares, in which order, and what it finds."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.machine import Machine
from bench.peers import Peers
from bench.processes import Unavailable
from bench.record import Record, Sample
from bench.sizes import Sizes
from bench.table import number


class Contender(NamedTuple):
    """One of those compared in a row. once: measure one round; raises `Unavailable`."""

    name: str
    once: Callable[[], Sample]


def rotated(contenders: Sequence[Contender], by: int) -> list[Contender]:
    """Return them in another order for each round, so that nobody always follows the same one."""
    first = by % max(len(contenders), 1)  # there may be none left
    return [*contenders[first:], *contenders[:first]]


class Bench:
    """What rows work with.

    folder: new, on the file system to be measured; nothing in it is deleted before the end,
    because ext4 makes files slowly where some were deleted shortly before.
    """

    def __init__(self, folder: Path, sizes: Sizes, peers: Peers, record: Record) -> None:
        self.folder = folder
        self.sizes = sizes
        self.peers = peers
        self.record = record
        self.cpus = len(os.sched_getaffinity(0))  # that tasks can use
        self._made = 0

    def new_folder(self, name: str) -> Path:
        """Return an empty folder that nobody has used."""
        self._made += 1
        path = self.folder / f"{name}-{self._made}"
        path.mkdir()
        return path

    def machine(self, *up: str) -> Machine:
        """Return a machine of ours that is not up yet."""
        return Machine(self.new_folder("machine"), *up)

    def interleave(self, row: str, contenders: Sequence[Contender]) -> None:
        """Measure all contenders once in each round. Who cannot go on leaves, and that is noted."""
        left = list(contenders)
        for turn in range(self.sizes.rounds):
            for contender in rotated(left, turn):
                try:
                    sample = contender.once()
                except Unavailable as error:
                    self.record.drop(row, contender.name, str(error))
                    left.remove(contender)
                    say(f"{row}: {contender.name}: NOT MEASURED: {error}")
                else:
                    self.record.add(row, contender.name, sample)
                    say(f"{row} {turn + 1}/{self.sizes.rounds}: {contender.name}: {brief(sample)}")


def brief(sample: Sample) -> str:
    """Return a sample in one line."""
    return ", ".join(f"{number(value)} {measure}" for measure, value in sample.items())


def say(text: str) -> None:
    """Tell who waits how far it is; stdout is for the table."""
    print(text, file=sys.stderr, flush=True)

"""Checks under random harm: nodes that drain, crash and return, and kill -9 of anything."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from lab.account import Accounted, told
from lab.kit import Check, Ground
from ostler.agent import proc
from ostler.model.errors import OstlerError

MOST_AWAY = 7  # nodes that are not in order at the same time
PAUSE = 0.05, 0.5  # seconds between two harms
NEWBORN = 0.2  # seconds


class Weather:
    """What befalls nodes, from a seed: each has at most one harm, and recovers from it."""

    def __init__(self, at: Ground, rng: random.Random) -> None:
        self._at = at
        self._rng = rng
        self._away: dict[str, str] = {}  # node -> what befell it
        self.counts: Counter[str] = Counter()
        lab = at.lab.lab
        self._harms: dict[str, tuple[Callable[[list[str]], None], Callable[[list[str]], None]]] = {
            "drain": (self._drain, self._undrain),
            "crash": (lab.crash, lab.start),
            "kill": (lab.kill, lab.start),
            "freeze": (lab.freeze, lab.thaw),
            "cut": (lab.cut, lab.heal),
        }

    def _drain(self, nodes: list[str]) -> None:
        self._at.lab.ostler("nodes", "drain", *nodes, "--reason", "weather")

    def _undrain(self, nodes: list[str]) -> None:
        self._at.lab.ostler("nodes", "undrain", *nodes)

    def strike(self) -> None:
        """Harm some nodes in one way, or let some return."""
        if self._away and (len(self._away) >= MOST_AWAY or self._rng.random() < 0.5):
            self.relent(self._rng.sample(sorted(self._away), self._some(len(self._away))))
            return
        well = [node for node in self._at.nodes if node not in self._away]
        nodes = self._rng.sample(well, self._some(len(well)))
        harm = self._rng.choice(sorted(self._harms))
        self.counts[harm] += len(nodes)
        self._away |= dict.fromkeys(nodes, harm)
        self._harms[harm][0](nodes)

    def _some(self, most: int) -> int:
        return self._rng.randint(1, min(3, most))

    def relent(self, nodes: list[str] | None = None) -> None:
        """Let these nodes return, or all."""
        back: dict[str, list[str]] = {}
        for node in nodes if nodes is not None else sorted(self._away):
            back.setdefault(self._away.pop(node), []).append(node)
        for harm, some in back.items():
            self._harms[harm][1](some)


def nodes_come_and_go(at: Ground) -> str:
    """Two arrays, one of which may run again, under drains, crashes, kills, freezes and cuts."""
    weather = Weather(at, at.rng)
    plain = Accounted(at, at.elements - at.elements // 4)
    again = Accounted(at, at.elements // 4, again=True)
    while not (plain.ended() and again.ended()):
        weather.strike()
        at.rest(at.rng.uniform(*PAUSE))
    weather.relent()
    plain.await_end()
    again.await_end()
    harms = ", ".join(f"{count} {harm}" for harm, count in sorted(weather.counts.items()))
    return f"{told(plain.settle())}; with --requeue {told(again.settle())}; {harms}"


def kills(at: Ground) -> str:
    """An array under kill -9 of agents, supervisors, managers, zygotes and starters."""
    array = Accounted(at, max(1, at.elements // 4))
    members = [member.name for member in at.lab.lab.members()]
    count = 0
    while not array.ended():
        pids = _processes(at)
        for pid in at.rng.sample(pids, min(len(pids), at.rng.choice([1, 1, 2, 5, len(pids)]))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                count += 1
        with suppress(OstlerError):
            at.lab.lab.start(members)
        at.rest(at.rng.uniform(*PAUSE))
    return f"{told(array.settle())}; {count} processes killed"


def _processes(at: Ground) -> list[int]:
    """Return what of ours runs below the hosts: all that names its state folder.

    A task looks like its starter until its exec, and is none of ours after: the newborn are spared.
    """
    born_before = (time.clock_gettime(time.CLOCK_BOOTTIME) - NEWBORN) * os.sysconf("SC_CLK_TCK")
    found: list[int] = []
    for member in at.lab.lab.members():
        state = os.fsencode(member.state)
        below = proc.descendants(member.host_pid)
        ours = [pid for pid in below if state in proc.arguments(pid)]
        found += [pid for pid in ours if 0 < proc.start_time(pid) < born_before]
    return found


CHECKS = [
    Check("kill -9 of anything during an array", "issue 3", kills),
    Check("nodes come and go during an array", "issue 4", nodes_come_and_go),
]

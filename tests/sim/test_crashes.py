"""Whoever dies, at whatever step of a request's way: nothing of it is left, and all CPUs are free.

The machine is copied by fork(2) before each step. In the copy somebody dies there, and it goes on
until all is over: R-RMS-18 to 22 with every party crashed at each point.
"""

import logging
import os
from collections.abc import Callable

import pytest

from ostler.testing.cluster import SimCluster
from tests.sim.test_contexts import clean, leaks

SEED = os.environ.get("OSTLER_SEED")  # set: everybody dies everywhere, in another order of things
PATIENCE = 2_000.0  # virtual seconds in which all must be over


def _kill_starters(sim: SimCluster) -> None:
    host = sim.hosts["n01"]
    for number in [number for number, starter in host.starters.items() if starter.alive]:
        host.kill_starter(number)


def _crash(sim: SimCluster) -> None:
    sim.crash("n01")
    sim.clock.after(1.0, lambda: sim.boot("n01"))


PARTIES: dict[str, Callable[[SimCluster], None]] = {
    "manager": lambda sim: sim.kill_manager(),
    "agent": lambda sim: sim.kill_agent("n01"),
    "the agent that can make no context": lambda sim: sim.kill_agent("n02"),
    "starter": _kill_starters,
    "host": _crash,
}


@pytest.mark.parametrize("programs", [True, False] if SEED else [True])
def test_r_rms_18_to_22_nothing_is_left_whoever_dies_at_whatever_step(*, programs: bool) -> None:
    """A job of two nodes is undone for the one that fails, made on another, run and ended."""
    sim = SimCluster(int(SEED or 0), nodes=3)
    if programs:
        sim.configure("prolog", "/site/prolog")
        sim.configure("epilog", "/site/epilog")
    sim.hosts["n02"].no_contexts = True
    sim.submit(nodes=2, tasks=2, cpus=4, seconds=1, requeue=True)
    names = sorted(PARTIES)
    at = 0
    while not clean(sim):
        victims = names if SEED else [names[at % len(names)]]
        for victim in victims:
            assert not (found := _fate(sim, PARTIES[victim])), f"{victim} dies at {at}: {found}"
        sim.clock.step()
        at += 1
    assert at > 40


def _fate(sim: SimCluster, kill: Callable[[SimCluster], None]) -> str:
    """Return what is wrong in the end if somebody dies now; empty if nothing is."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        logging.disable()
        told = "the copy died"
        try:
            kill(sim)
            sim.run_until(lambda: clean(sim), seconds=PATIENCE)
            told = ""
        except BaseException as error:  # noqa: BLE001 - pytest must not see it twice
            told = f"{error!r}; {leaks(sim)}"
        finally:
            os.write(writable, told.encode()[:4_000])
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as file:
        told = file.read().decode()
    os.waitpid(child, 0)
    return told

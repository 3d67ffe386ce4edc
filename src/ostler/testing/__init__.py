"""The public test kit: whole machines in one process, in virtual time, with faults by script.

SimCluster   managers, agents, clients and a net between them, on the real rules of the core
VirtualClock seconds that pass only when something happens
FakeNet      connections that delay, break and are cut
run_history  one random history from a seed, with every rule checked on the way
play         events through the core alone
"""

from ostler.testing.clock import VirtualClock
from ostler.testing.cluster import ANN, BOB, ROOT, SimCluster
from ostler.testing.history import run_history
from ostler.testing.ledger import Broken
from ostler.testing.net import FakeNet
from ostler.testing.play import play
from ostler.testing.tasks import make_spec

__all__ = [
    "ANN",
    "BOB",
    "ROOT",
    "Broken",
    "FakeNet",
    "SimCluster",
    "VirtualClock",
    "make_spec",
    "play",
    "run_history",
]

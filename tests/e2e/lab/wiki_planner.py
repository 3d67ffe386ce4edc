"""A scheduler of the tests' own that plans a real lab over WIKI, as Maui would."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ostler.drivers.wiki import WikiDriver
from ostler.model.foreign import Did, ForeignState, NodeState, Share, Start
from tests.e2e.lab.kit import InLab
from tests.e2e.machine_kit import eventually
from tests.e2e.test_pages import commands


class Planner:
    """First come, first served, on whatever node has room: a loop as a WIKI scheduler runs it."""

    def __init__(self, driver: WikiDriver) -> None:
        self.driver = driver
        self.started: list[str] = []
        self.refused: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.05):
            free = {
                node.name: node.cpus - (node.used_cpus or 0)
                for node in self.driver.list_nodes().nodes
                if node.state is NodeState.UP
            }
            for job in self.driver.list_jobs().jobs:
                node = next((n for n, cpus in sorted(free.items()) if cpus >= job.tasks), "")
                if job.state is not ForeignState.IDLE or not node:
                    continue
                did = self.driver.start(Start("t", (Share(node, job.tasks),), id=job.id))
                (self.started if did.did is Did.ACCEPTED else self.refused).append(job.id)
                free[node] -= job.tasks


@contextmanager
def planning(host: InLab) -> Iterator[Planner]:
    """Have the lab planned over WIKI, by what the page tells people to type."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    for line in commands("docs/howto/maui.md").splitlines():
        host.ostler(*line.replace("7321", str(port)).split()[1:])
    key = host.state / "wiki-key"
    eventually("it listens", lambda: key.exists() and _listens(port))
    planner = Planner(WikiDriver({"port": str(port), "key-file": str(key)}))
    thread = threading.Thread(target=planner.run)
    thread.start()
    try:
        yield planner
    finally:
        planner.stop.set()
        thread.join()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0

"""What an agent finds on the disk: a journal, and the spool of a starter that is no more."""

import os
from pathlib import Path

from ostler.agent import proc, spool
from ostler.agent.journal import Handed, Journal
from ostler.agent.spool import Spool
from tests.e2e.agent.kit import Job, Node

GONE = ("s1-1-1", 4_000_000, 1)  # name, pid, start time of a starter that is no more


def journal(node: Node, boot_id: str = "") -> Journal:
    os.makedirs(node.state / "node" / "spool", exist_ok=True)
    os.makedirs(node.state / "node" / "spool.b", exist_ok=True)
    return Journal(str(node.state / "node" / "journal"), boot_id or proc.boot_id())


def accepted(node: Node, job: Job, *, handed: bool = True, boot_id: str = "") -> None:
    """Write that a share was accepted, and given to a starter that is gone."""
    book = journal(node, boot_id)
    book.accept(job.launch, 100.0)
    if handed:
        book.hand(Handed(job.alloc, *GONE))
    book.close()


def spooled(node: Node, job: Job, *records: tuple[object, ...], boot_id: str = "") -> Path:
    """Write the spool of that starter, and return its path."""
    header = {
        "name": GONE[0],
        "pid": GONE[1],
        "start_time": GONE[2],
        "boot_id": boot_id or proc.boot_id(),
        "uid": os.getuid(),
        "state": os.fsencode(node.state),
        "groups": [],
    }
    path = node.state / "node" / "spool" / GONE[0]
    file = Spool(os.fsencode(path), header)
    order = {"alloc": job.alloc, "at": 100.0, "placement": {"node": "n1", "tasks": 1}}
    file.add(spool.ACCEPTED, {**order, "is_slot": job.launch.chunk is not None})
    for kind, *values in records:
        assert isinstance(kind, int)
        file.add(kind, *values)
    file.close()
    return path

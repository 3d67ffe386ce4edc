"""A starter that dies right after a spawn, and the inquest, in a process of their own.

python -m tests.e2e.inquest_scene FOLDER prints the kind of the verdict, or nothing if the task had
gone before anybody could look. The task is one that ends just then and has much memory to give
back: until that is done it shows no environment, and is not yet a zombie either.
"""

import asyncio
import mmap
import os
import signal
import sys
import time
from pathlib import Path

from ostler.agent import inquest, proc, spool
from ostler.agent.linux import become_subreaper
from ostler.agent.reaper import Reaper
from ostler.agent.spool import Spool

ALLOCATION = 7
MUCH = 512 << 20  # bytes


def _task(ready: int, go: int) -> None:
    """Be the task: fill memory, say so, and end when told to."""
    os.setpgid(0, 0)
    memory = mmap.mmap(-1, MUCH)
    for at in range(0, MUCH, mmap.PAGESIZE):
        memory[at] = 1
    os.write(ready, b"%d" % os.getpid())
    os.read(go, 1)
    os._exit(0)


def _starter(folder: Path, name: str, ready: int, go: int) -> None:
    """Be the starter: note what is about to be started, start it, and die before its pid is noted."""
    os.setsid()
    pid = os.getpid()
    header: dict[str, object] = {
        "name": name,
        "pid": pid,
        "start_time": proc.start_time(pid),
        "boot_id": proc.boot_id(),
        "state": os.fsencode(folder),
        "groups": [],
    }
    spooled = Spool(os.fsencode(folder / "node/spool" / name), header)
    spooled.add(spool.ACCEPTED, {"alloc": ALLOCATION, "is_slot": True})
    spooled.add(spool.INTENT, 0, 3, 1, time.time())
    if not os.fork():
        _task(ready, go)
    os.kill(pid, signal.SIGKILL)


async def scene(folder: Path) -> str:
    """Return what the inquest finds about the starter's share."""
    become_subreaper()
    for name in ("spool", "spool.b"):
        (folder / "node" / name).mkdir(parents=True)
    (ready, filled), (go, told) = os.pipe(), os.pipe()
    starter = os.fork()
    if not starter:
        _starter(folder, "s", filled, go)
    task = int(os.read(ready, 32))
    reaper = Reaper(str(folder))
    os.write(told, b".")
    while proc.environment(task):
        pass  # for so short a time no event tells of it
    if proc.is_zombie(task):
        return ""
    path = str(folder / "node/spool/s")
    verdict = await inquest.inquire(path, ALLOCATION, reaper, covered=True)
    reaper.close()
    return type(verdict).__name__


if __name__ == "__main__":
    print(asyncio.run(scene(Path(sys.argv[1]))))  # noqa: T201 - what the test reads

"""A job in another resource manager that is a node of the machine for a while.

It makes a state folder of its own below that of the machine, whose socket is that of the manager,
and runs an agent there. It is a job of the machine's owner: nobody else may bring a node. Whatever
runs below ends with it, because its resource manager ends all processes of a job.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import suppress

from ostler.agent import supervisor
from ostler.model.features import POOL
from ostler.wire.supervise import write_json


def main(argv: list[str] | None = None) -> int:
    """Be a node until told to end, by the signal for that; return the exit status if it cannot."""
    parser = argparse.ArgumentParser(prog="ostler.agent.pilot")
    parser.add_argument("--machine", required=True, help="state folder of the machine")
    parser.add_argument("--node", required=True, help="what this node is called")
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--memory", type=int, default=0, help="bytes; 0: as the host has it")
    parser.add_argument("--seconds", type=float, required=True, help="for how long it is there")
    given = parser.parse_args(argv)
    folder = make_folder(given.machine, given.node, os.environ.get("OSTLER_JOB", str(os.getpid())))
    told: dict[str, object] = {"daemons": ["agent"], "node": given.node, "cpus": given.cpus}
    told |= {"gpus": 0, "features": [POOL], "until": time.time() + given.seconds}
    if given.memory:
        told["memory"] = given.memory
    write_json(os.path.join(folder, "machine.json"), told)
    os.symlink(os.path.join(given.machine, "sock"), os.path.join(folder, "sock"))
    status = supervisor.main(["--state", folder])
    if status == 0:  # it was told to end: to its resource manager a status of 0 would be a success
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
    return status


def make_folder(machine: str, node: str, job: str) -> str:
    """Return a new state folder; those of jobs before that have ended are taken away."""
    above = os.path.join(machine, "pilots")
    os.makedirs(above, mode=0o700, exist_ok=True)
    folder = os.path.join(above, f"{node}.{job}")
    for name in os.listdir(above):
        if name.rpartition(".")[0] == node and _is_over(os.path.join(above, name)):
            shutil.rmtree(os.path.join(above, name), ignore_errors=True)
    for path in (folder, os.path.join(folder, "log")):
        os.mkdir(path, 0o700)
    return folder


def _is_over(folder: str) -> bool:
    """Tell whether no supervisor holds a folder."""
    with suppress(OSError), open(os.path.join(folder, "lock"), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())

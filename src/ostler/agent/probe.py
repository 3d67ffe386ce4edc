"""What this node has, and what it cannot enforce and why."""

import os
import socket

import msgspec
from msgspec import Struct

from ostler.model.errors import UsageError
from ostler.model.resources import NodeFacts
from ostler.wire.cgroup import shortcomings as cgroup_shortcomings


class Machine(Struct, frozen=True):
    """What `ostler up` was told, from STATE/machine.json. None: probe it."""

    cpus: int | None = None
    memory: int | None = None  # bytes
    gpus: int | None = None
    generic: dict[str, int] = {}
    features: tuple[str, ...] = ()
    system: bool = False
    node: str = ""
    uid_min: int = 1000
    until: float = 0.0  # Unix seconds at which this node ends; 0: never


def read_machine(state: str) -> Machine:
    """Return the declared sizes of a state folder; raise `UsageError` if the file is no such."""
    path = os.path.join(state, "machine.json")
    try:
        with open(path, "rb") as file:
            data = file.read()
        return msgspec.json.decode(data, type=Machine)
    except FileNotFoundError:
        return Machine()
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint="run `ostler up` again") from None


def node_name(machine: Machine) -> str:
    """Return what this node is called."""
    return machine.node or socket.gethostname().partition(".")[0] or "localhost"


def facts(machine: Machine) -> NodeFacts:
    """Return what this node has to give; declared sizes replace what is found."""
    cpus = sorted(os.sched_getaffinity(0)) if machine.cpus is None else range(machine.cpus)
    gpus = found_gpus() if machine.gpus is None else range(machine.gpus)
    return NodeFacts(
        cpus=tuple(cpus),
        memory=found_memory() if machine.memory is None else machine.memory,
        gpus=tuple(gpus),
        generic=dict(machine.generic),
        declared=machine.cpus is not None,
        features=machine.features,
        until=machine.until,
    )


def found_memory() -> int:
    """Return the bytes of memory of this host, or of the control group around us if that is less.

    Groups of version 1 and 2 are looked at where containers mount them.
    """
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    paths = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    for path in paths:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def found_gpus() -> list[int]:
    """Return the numbers of NVIDIA GPUs by their device files; no driver is loaded for it."""
    try:
        names = os.listdir("/dev")
    except OSError:
        return []
    return sorted(int(n[6:]) for n in names if n.startswith("nvidia") and n[6:].isdigit())


def shortcomings(machine: Machine) -> list[str]:
    """Return one sentence for each thing that this node cannot enforce, with the reason."""
    found = list(cgroup_shortcomings())
    if machine.cpus is not None and machine.cpus > len(os.sched_getaffinity(0)):
        here = len(os.sched_getaffinity(0))
        found.append(
            f"CPUs are counted, not kept apart: {machine.cpus} are declared, the host has {here}"
        )
    if machine.system and os.geteuid() != 0:
        found.append("no tasks of other users: the agent does not run as root")
    return found


def load(state: str) -> float:
    """Return how many processes wanted a CPU in the last minute; in a lab, what STATE/load says."""
    try:
        with open(os.path.join(state, "load"), encoding="ascii") as file:
            return float(file.read())
    except (OSError, ValueError):
        return os.getloadavg()[0]

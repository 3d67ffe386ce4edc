"""The fields of WIKI's nodes and jobs, as values. Times in Unix seconds, memory in bytes."""

import re
from collections import Counter

from msgspec import Struct

from ostler.wire.wiki import Malformed
from ostler.wire.wiki_words import Fields, escape

_MB = 1 << 20
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,16})(?:\.0*)?\s*")
_LOAD = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_CLASS = re.compile(r"\[([^\[\]:]{1,200})(?::[0-9]{1,9})?\]")
_MOST = 1 << 53

# States as Maui knows them; it is particular about case.
NODE_WORDS = (
    "Idle", "Running", "Busy", "Down", "Draining", "Drain", "Drained", "Flush", "Reserved",
    "Unknown", "None",
)  # fmt: skip
ACTIVE = ("Starting", "Running", "Suspended")
ENDED = ("Completed", "Removed")
VACATED = "Vacated"  # it has left its nodes, and Maui has it wait again
JOB_WORDS = ("Idle", "Hold", "Unknown", *ACTIVE, VACATED, *ENDED)


class Node(Struct, frozen=True, omit_defaults=True):
    """One node of GETNODES."""

    name: str
    state: str
    cpus: int = 0  # configured
    free_cpus: int | None = None  # None: not told
    memory: int = 0  # bytes, configured; 0: not told
    free_memory: int | None = None
    classes: tuple[str, ...] = ()  # queues that it serves
    features: tuple[str, ...] = ()
    os: str = ""
    arch: str = ""
    partition: str = ""
    load: float | None = None
    updated: int = 0


class Job(Struct, frozen=True, omit_defaults=True):
    """One job of GETJOBS. Memory, CPUs and classes are those of one task."""

    id: str
    state: str
    user: str = ""
    group: str = ""
    tasks: int = 1
    time_limit: int = 0  # seconds; 0: not told
    submitted_at: int = 0
    not_before: int = 0
    started_at: int = 0
    ended_at: int = 0
    updated: int = 0
    task_list: tuple[str, ...] = ()  # a node's name for each task
    host_list: tuple[str, ...] = ()
    nodes: int = 0
    tasks_per_node: int = 0
    cpus: int = 1
    memory: int = 0
    node_memory: int = 0  # that a node must have
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    os: str = ""
    arch: str = ""
    project: str = ""
    command: str = ""
    message: str = ""  # COMMENT, or why it was refused: for people


def format_node(node: Node) -> tuple[str, dict[str, str]]:
    """Return the record of a node. STATE is first: Maui takes the first word that reads so."""
    count = node.cpus if node.free_cpus is None else node.free_cpus
    free = node.memory if node.free_memory is None else node.free_memory
    return node.name, {
        "STATE": node.state,
        "UPDATETIME": _told(node.updated),
        "CPROC": str(node.cpus),
        "APROC": str(count),
        "CMEMORY": _told(node.memory // _MB),
        "AMEMORY": str(free // _MB) if node.memory else "",
        "CCLASS": "".join(f"[{escape(name)}:{max(1, node.cpus)}]" for name in node.classes),
        "ACLASS": "".join(f"[{escape(name)}:{count}]" for name in node.classes),
        "OS": escape(node.os),
        "ARCH": escape(node.arch),
        "FEATURE": _list(node.features),
        "PARTITION": escape(node.partition),
        "CPULOAD": "" if node.load is None else f"{max(0.0, node.load):.2f}",
    }


def parse_node(name: str, fields: Fields) -> Node:
    """Return the node that a record tells of."""
    free = fields.get("APROC")
    free_memory = fields.get("AMEMORY")
    load = fields.get("CPULOAD", "")
    cpus = _number(fields, "CPROC") if fields.get("CPROC") else 1
    return Node(
        name=name,
        state=fields.get("STATE", ""),
        cpus=cpus,
        free_cpus=_number(fields, "APROC") if free else None,
        memory=_number(fields, "CMEMORY", _MOST // _MB) * _MB,
        free_memory=_number(fields, "AMEMORY", _MOST // _MB) * _MB if free_memory else None,
        classes=_classes(fields.get("CCLASS", "")),
        features=_names(fields.get("FEATURE", "") or fields.get("FEATURES", "")),
        os=fields.get("OS", ""),
        arch=fields.get("ARCH", ""),
        partition=fields.get("PARTITION", ""),
        load=float(load) if _LOAD.fullmatch(load) else None,
        updated=_number(fields, "UPDATETIME"),
    )


def format_job(job: Job) -> tuple[str, dict[str, str]]:
    """Return the record of a job."""
    return job.id, {
        "STATE": job.state,
        "UPDATETIME": _told(job.updated),
        "UNAME": escape(job.user),
        "GNAME": escape(job.group),
        "TASKS": str(job.tasks),
        "WCLIMIT": _told(job.time_limit),
        "QUEUETIME": _told(job.submitted_at),
        "STARTDATE": _told(job.not_before),
        "STARTTIME": _told(job.started_at),
        "COMPLETETIME": _told(job.ended_at),
        "TASKLIST": _list(job.task_list),
        "HOSTLIST": _list(job.host_list),
        "NODES": _told(job.nodes),
        "TASKPERNODE": _told(job.tasks_per_node),
        "DPROCS": str(job.cpus),
        "DMEM": _told(-(-job.memory // _MB)),
        "RMEM": _told(-(-job.node_memory // _MB)),
        "RCLASS": "".join(f"[{escape(name)}:1]" for name in job.classes),
        "RFEATURES": _list(job.features),
        "PARTITIONMASK": _list(job.partitions),
        "ROPSYS": escape(job.os),
        "RARCH": escape(job.arch),
        "ACCOUNT": escape(job.project),
        "EXEC": escape(job.command),
        "COMMENT": escape(job.message),
    }


def parse_job(name: str, fields: Fields) -> Job:
    """Return the job that a record tells of."""
    return Job(
        id=name,
        state=fields.get("STATE", ""),
        user=fields.get("UNAME", "")[:200],
        group=fields.get("GNAME", "")[:200],
        tasks=_number(fields, "TASKS") or 1,
        time_limit=_number(fields, "WCLIMIT"),
        submitted_at=_number(fields, "QUEUETIME"),
        not_before=_number(fields, "STARTDATE"),
        started_at=_number(fields, "STARTTIME"),
        ended_at=_number(fields, "COMPLETETIME") or _number(fields, "COMPLETIONTIME"),
        updated=_number(fields, "UPDATETIME"),
        task_list=_names(fields.get("TASKLIST", "")),
        host_list=_names(fields.get("HOSTLIST", "")),
        nodes=_number(fields, "NODES"),
        tasks_per_node=_number(fields, "TASKPERNODE"),
        cpus=_number(fields, "DPROCS") or 1,
        memory=_number(fields, "DMEM", _MOST // _MB) * _MB,
        node_memory=_number(fields, "RMEM", _MOST // _MB) * _MB,
        classes=_classes(fields.get("RCLASS", "")),
        features=_names(fields.get("RFEATURES", "")),
        partitions=_names(fields.get("PARTITIONMASK", "")),
        os=fields.get("ROPSYS", ""),
        arch=fields.get("RARCH", ""),
        project=fields.get("ACCOUNT", "")[:200],
        command=" ".join(filter(None, (fields.get("EXEC", ""), fields.get("ARGS", ""))))[:4_096],
        message=(fields.get("REJMESSAGE", "") or fields.get("COMMENT", ""))[:1_000],
    )


def tasks_of(task_list: tuple[str, ...]) -> dict[str, int]:
    """Return how many tasks each node has, in the order of its first one."""
    return dict(Counter(task_list))


def _number(fields: Fields, key: str, most: int = _MOST) -> int:
    """Return a count; 0 where it is absent, empty or negative, which all mean: none."""
    text = fields.get(key, "")
    if not text:
        return 0
    found = _NUMBER.fullmatch(text)
    if found is None or int(found[1]) > most:
        raise Malformed(f"{key}={text[:40]!r} is no number")
    return max(0, int(found[1]))


def _told(value: int) -> str:
    return str(value) if value > 0 else ""


def _list(names: tuple[str, ...]) -> str:
    """Return names with colons between; these are no part of the names."""
    return ":".join(name.replace(":", "") for name in map(escape, names) if name)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(":") if name)


def _classes(text: str) -> tuple[str, ...]:
    return tuple(_CLASS.findall(text)) if text.startswith("[") else _names(text)

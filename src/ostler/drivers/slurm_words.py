"""Slurm's words in ours: pure functions over what its commands write.

Users choose names and comments, with any characters, newlines too. So what separates fields is a
secret of each call, and what follows a text of theirs is never taken for a field.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ostler.drivers.begun import TWICE
from ostler.model.errors import UsageError
from ostler.model.foreign import End, ForeignJob, ForeignNode, ForeignState, NodeState, Share
from ostler.model.limits import MAX_COMMAND, MAX_FEATURES, MAX_NAME, MAX_SENTENCE
from ostler.model.nodeset import unfold
from ostler.model.states import Result

IDLE, HELD, STARTING = ForeignState.IDLE, ForeignState.HELD, ForeignState.STARTING
RUNNING, SUSPENDED, ENDING = ForeignState.RUNNING, ForeignState.SUSPENDED, ForeignState.ENDING

JOB_STATES: dict[str, ForeignState | str] = {
    "PENDING": IDLE,
    "REQUEUED": IDLE,
    "REQUEUE_FED": IDLE,
    "REQUEUE_HOLD": HELD,
    "RESV_DEL_HOLD": HELD,
    "SPECIAL_EXIT": HELD,
    "CONFIGURING": STARTING,
    "POWER_UP_NODE": STARTING,
    "RUNNING": RUNNING,
    "RESIZING": RUNNING,
    "SIGNALING": RUNNING,
    "STOPPED": SUSPENDED,
    "SUSPENDED": SUSPENDED,
    "COMPLETING": ENDING,
    "STAGE_OUT": ENDING,
    "COMPLETED": Result.SUCCESS,
    "FAILED": Result.FAILED,
    "CANCELLED": Result.CANCELLED,
    "PREEMPTED": Result.CANCELLED,
    "REVOKED": Result.CANCELLED,
    "TIMEOUT": Result.TIMEOUT,
    "DEADLINE": Result.TIMEOUT,
    "OUT_OF_MEMORY": Result.MEMORY,
    "NODE_FAIL": Result.LOST,
    "BOOT_FAIL": Result.LOST,
    "LAUNCH_FAILED": Result.LOST,
}
UP, DRAINING, DOWN = NodeState.UP, NodeState.DRAINING, NodeState.DOWN
NODE_STATES = {
    "IDLE": UP,
    "MIXED": UP,
    "ALLOCATED": UP,
    "COMPLETING": UP,
    "PLANNED": UP,
    "CLOUD": UP,
    "DYNAMIC_NORM": UP,
    "DYNAMIC_FUTURE": UP,
    "PERFCTRS": UP,
    "POWERED_DOWN": UP,  # Slurm wakes it for a job
    "POWERING_UP": UP,
    "POWER_UP": UP,
    "RESERVED": DRAINING,
    "MAINTENANCE": DRAINING,
    "MAINT": DRAINING,
    "DRAIN": DRAINING,
    "DRAINED": DRAINING,
    "DRAINING": DRAINING,
    "FAIL": DRAINING,
    "FAILING": DRAINING,
    "BLOCKED": DRAINING,
    "POWER_DOWN": DRAINING,
    "POWERING_DOWN": DRAINING,
    "REBOOT_REQUESTED": DRAINING,
    "REBOOT_ISSUED": DRAINING,
    "REBOOT": DRAINING,
    "DOWN": DOWN,
    "ERROR": DOWN,
    "FUTURE": DOWN,
    "INVAL": DOWN,
    "INVALID_REG": DOWN,
    "NOT_RESPONDING": DOWN,
    "NO_RESPOND": DOWN,
}
WORST = (NodeState.UP, NodeState.UNKNOWN, NodeState.DRAINING, NodeState.DOWN)
SUFFIX = {"*": "NOT_RESPONDING"}  # of a node's state; the others repeat what a word says

# What `squeue --Format` is asked for. Texts that users choose come last.
FIELDS = (
    *("JobArrayID", "JobID", "State", "Reason", "ReasonList", "UserName", "NodeList", "ReqNodes"),
    *("NumNodes", "NumCPUs", "NumTasks", "cpus-per-task", "tres-alloc", "tres-per-node"),
    *("TimeLimit", "SubmitTime", "EligibleTime", "StartTime", "EndTime", "exit_code"),
    *("PriorityLong", "Partition", "Account", "restartcnt", "Feature"),
    *("Comment", "Name", "Command"),
)
NOTHING = frozenset({"", "(null)", "N/A", "n/a", "None", "NONE", "Unknown", "NOT_SET", "INVALID"})
TOKEN = re.compile(r"[A-Za-z0-9_.@+:-]{1,100}")  # of a `Start`
NOT_LAUNCHED = 53  # Slurm's stand-in for a signal where it could not start the job
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}

Row = Mapping[str, str]


def squeue_format(separator: str) -> str:
    """Return what `squeue --Format` takes, each field followed by the separator."""
    return ",".join(f"{name}:{separator}" for name in FIELDS)


def rows(text: str, separator: str, fields: Sequence[str]) -> list[Row]:
    """Return the fields of each record, by name; raise `ValueError` if one is not whole.

    A record is so many fields, each followed by the separator, and a newline.
    """
    parts = text.split(separator)
    if len(parts) % len(fields) != 1 or parts[-1].strip():
        raise ValueError(f"{len(parts) - 1} fields, which are no whole records of {len(fields)}")
    starts = range(0, len(parts) - 1, len(fields))
    return [
        dict(zip(fields, [part.strip() for part in parts[at : at + len(fields)]], strict=True))
        for at in starts
    ]


def said(text: str, most: int = MAX_NAME) -> str:
    """Return a text of Slurm's in one line, empty for its words for nothing."""
    return "" if text in NOTHING else " ".join(text.split())[:most]


def number(text: str) -> int:
    """Return a count, 0 where none is told; the lower end of a range."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def at_time(text: str) -> float | None:
    """Return Unix seconds, None where no time is told."""
    return float(text) if re.fullmatch(r"\d{1,12}", text) and text != "0" else None


def size(text: str) -> int:
    """Return bytes of `64M`, `1.5G` or `100`, which are megabytes."""
    found = re.fullmatch(r"([0-9.]+)([KMGTP]?)[cn]?", text)
    return int(float(found[1]) * UNITS[found[2] or "M"]) if found else 0


def duration(text: str) -> int:
    """Return seconds of `1-02:03:04`, `10:00` or `UNLIMITED`, which is 0."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not found:
        return 0
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def names(text: str) -> tuple[str, ...]:
    """Return the nodes of `n[1-3,7],m`."""
    with suppress(UsageError):
        return tuple(unfold(text)) if text not in NOTHING and " " not in text else ()
    return ()


def token_of(comment: str) -> str:
    """Return a comment if it can be a token, else nothing."""
    return comment if TOKEN.fullmatch(comment) else ""


def job_of(row: Row) -> ForeignJob | End:
    """Return a job of squeue: one that has ended as the proof of it."""
    word = row["State"]
    meaning = JOB_STATES.get(word, ForeignState.UNKNOWN)
    if not isinstance(meaning, ForeignState):
        return _end_of(row, str(meaning))
    reason = row["ReasonList"].strip("()") if meaning is IDLE else row["Reason"]
    if meaning is IDLE and row["Reason"].startswith(("JobHeld", "JobHold")):
        meaning = HELD
    nodes = names(row["NodeList"])
    tasks, cpus = max(1, number(row["NumTasks"])), max(1, number(row["NumCPUs"]))
    each = max(1, number(row["cpus-per-task"]))
    if tasks * each != cpus:  # whole nodes, or whole cores of several threads
        tasks, each = (tasks, cpus // tasks) if cpus % tasks == 0 else (cpus, 1)
    has = dict(part.split("=", 1) for part in row["tres-alloc"].split(",") if "=" in part)
    memory, gpus, generic = size(has.get("mem", "")), *_gres(row, has)
    started = meaning not in (IDLE, HELD)
    return ForeignJob(
        id=row["JobArrayID"],
        state=meaning,
        user=row["UserName"],
        incarnation=_incarnation(row),
        token=token_of(row["Comment"]),
        name=said(row["Name"]),
        project=said(row["Account"]),
        queue=said(row["Partition"]),
        tasks=tasks,
        cpus=each,
        memory=memory // tasks,
        gpus=-(-gpus // tasks),
        nodes=number(row["NumNodes"]),
        features=(said(row["Feature"]),) if said(row["Feature"]) else (),
        nodelist=names(row["ReqNodes"]),
        time_limit=duration(row["TimeLimit"]),
        priority=min(number(row["PriorityLong"]), 1 << 53),
        submitted_at=at_time(row["SubmitTime"]) or 0.0,
        not_before=0.0 if started else at_time(row["EligibleTime"]) or 0.0,
        started_at=at_time(row["StartTime"]) if started else None,
        shares=spread(nodes, tasks, cpus, memory, gpus, generic) if started else (),
        command=said(row["Command"], MAX_COMMAND),
        reason=said(reason, MAX_SENTENCE),
        native_state=word[:MAX_NAME],
    )


def _incarnation(row: Row) -> str:
    """Return when it was submitted, which Slurm forgets of a job that was requeued."""
    return row["SubmitTime"] if row["restartcnt"] == "0" and at_time(row["SubmitTime"]) else ""


def _gres(row: Row, has: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """Return GPUs and other generic resources of the whole job."""
    found = {
        name.removeprefix("gres/"): number(count)
        for name, count in has.items()
        if name.startswith("gres/") and ":" not in name
    }
    if not found:  # not among what is counted: what each node was asked for
        nodes = max(1, number(row["NumNodes"]))
        found = {name: count * nodes for name, count in generic(row["tres-per-node"]).items()}
    return found.pop("gpu", 0), found


def generic(text: str) -> dict[str, int]:
    """Return counts of `gpu:tesla:2(S:0-1),gres:fast:1,licence:big`, all types of one name together.

    >>> generic("gpu:a:2(S:0-1),gpu:b:1,gres/fast:3")
    {'gpu': 3, 'fast': 3}
    """
    found: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        name, *more = part.removeprefix("gres:").removeprefix("gres/").split(":")
        if name and part not in NOTHING:
            count = more[-1] if more and more[-1][:1].isdigit() else "1"
            units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(count[-1], 1)
            found[name[:MAX_NAME]] = found.get(name[:MAX_NAME], 0) + number(count) * units
    return found


def spread(
    nodes: Sequence[str], tasks: int, cpus: int, memory: int, gpus: int, more: Mapping[str, int]
) -> tuple[Share, ...]:
    """Return what a job has on each node: evenly, as squeue tells only the whole."""

    def part(whole: int, at: int) -> int:
        return whole // len(nodes) + (at < whole % len(nodes))

    return tuple(
        Share(
            node,
            max(1, part(tasks, at)),
            max(1, part(cpus, at)),
            part(memory, at),
            part(gpus, at),
            {name: part(count, at) for name, count in more.items() if part(count, at)},
        )
        for at, node in enumerate(nodes)
    )


def _end_of(row: Row, result: str) -> End:
    status = number(row["exit_code"])
    code = f"{status >> 8}:{status & 0x7F}"
    result, reason = judged(result, code, said(row["Reason"], MAX_SENTENCE))
    return End(
        id=row["JobArrayID"],
        result=result,
        proof=f"slurmctld: {row['State']} {code}".rstrip(),
        incarnation=_incarnation(row),
        token=token_of(row["Comment"]),
        user=row["UserName"],
        exit_status=exit_status(code, str(result)),
        signal=exit_signal(code),
        started_at=at_time(row["StartTime"]) if names(row["NodeList"]) else None,
        ended_at=at_time(row["EndTime"]) or 0.0,
        reason=reason,
    )


def judged(result: str, code: str, reason: str = "") -> tuple[str, str]:
    """Return the result and reason of an end: a second run that cannot end as the first is lost."""
    if exit_signal(code) != TWICE:
        return result, reason
    return Result.LOST, "it had begun before, and left no note of how that ended"


def exit_status(code: str, result: str) -> int | None:
    """Return the status of `3:0`; None where a signal or nothing is told."""
    if number(code.partition(":")[2]) or (code == "0:0" and result != Result.SUCCESS):
        return None
    return number(code)


def exit_signal(code: str) -> int:
    """Return the signal of `0:9`."""
    signal = number(code.partition(":")[2])
    return 0 if signal == NOT_LAUNCHED else signal


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────


def nodes_of(text: str) -> list[ForeignNode]:
    """Return the nodes of `scontrol show node --oneliner`; raise `ValueError` for another text."""
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("No nodes"):
        return []
    return [_node_of(line) for line in lines]


def _node_of(line: str) -> ForeignNode:
    known, _, rest = line.partition(" Reason=")
    has: dict[str, str] = {}
    for key, value in re.findall(r"(?:^| )([A-Za-z/]+)=(\S*)", known):
        has.setdefault(key, value)
    if "NodeName" not in has or "State" not in has:
        raise ValueError(f"no node: {line[:100]}")
    words = node_words(has["State"])
    state = max((NODE_STATES.get(word, NodeState.UNKNOWN) for word in words), key=WORST.index)
    reason = said(rest.partition(" Comment=")[0], MAX_SENTENCE)
    if not reason and state is not NodeState.UP:
        reason = f"Slurm says {has['State']}"
    gres = generic(has.get("Gres", ""))
    queues = [said(part) for part in has.get("Partitions", "").split(",") if said(part)]
    tags = [said(part) for part in has.get("ActiveFeatures", "").split(",") if said(part)]
    memory = number(has.get("RealMemory", "")) - number(has.get("MemSpecLimit", ""))
    return ForeignNode(
        name=has["NodeName"],
        state=state,
        cpus=number(has.get("CPUEfctv") or has.get("CPUTot", "")),
        memory=max(0, memory) << 20,
        gpus=gres.pop("gpu", 0),
        generic=gres,
        features=tuple(tags[:MAX_FEATURES]),
        used_cpus=number(has["CPUAlloc"]) if "CPUAlloc" in has else None,
        queues=tuple(queues),
        reason="" if state is NodeState.UP else reason,
        native_state=has["State"][:MAX_NAME],
        host=said(has.get("NodeHostName", "")),
    )


def node_words(state: str) -> list[str]:
    """Return the words of `IDLE*+DRAIN`, its signs as words too."""
    found = []
    for part in state.split("+"):
        word = part.rstrip("*~#!%$@^-")
        found += [word, *(SUFFIX[sign] for sign in part[len(word) :] if sign in SUFFIX)]
    return found

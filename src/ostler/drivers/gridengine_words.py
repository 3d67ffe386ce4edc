"""Grid Engine's words in ours: pure functions over what its commands and its accounts say."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ostler.model.foreign import End, ForeignJob, ForeignNode, ForeignState, NodeState, Share
from ostler.model.limits import MAX_NAME, MAX_SENTENCE
from ostler.model.ranges import parse_ranges
from ostler.model.states import Result

Clock = Callable[[str], float | None]  # reads a time as the commands write it

JOB_STATES: dict[str, ForeignState | str] = {
    **dict.fromkeys(("qw", "Rq"), ForeignState.IDLE),
    **dict.fromkeys(("hqw", "hRwq", "Eqw", "Ehqw", "EhRqw"), ForeignState.HELD),
    **dict.fromkeys(("t", "Rt"), ForeignState.STARTING),
    **dict.fromkeys(("r", "hr", "Rr"), ForeignState.RUNNING),
    **dict.fromkeys(("s", "ts", "S", "tS", "T", "tT"), ForeignState.SUSPENDED),
    **dict.fromkeys(("Rs", "Rts", "RS", "RtS", "RT", "RtT"), ForeignState.SUSPENDED),
    **dict.fromkeys(
        ("dr", "dt", "dRr", "dRt", "ds", "dS", "dT", "dRs", "dRS"), ForeignState.ENDING
    ),
    "z": ForeignState.ENDING,  # it has ended: the accounts are to tell how
}
NODE_STATES = {
    "-": NodeState.UP,  # no letter
    "a": NodeState.DRAINING,  # load above its threshold
    "A": NodeState.DRAINING,
    "C": NodeState.DRAINING,  # by calendar
    "D": NodeState.DRAINING,
    "d": NodeState.DRAINING,  # disabled
    "s": NodeState.DRAINING,  # suspended
    "S": NodeState.DRAINING,
    "o": NodeState.DRAINING,  # of a queue that is being deleted
    "P": NodeState.DRAINING,
    "c": NodeState.DOWN,  # its configuration is ambiguous
    "E": NodeState.DOWN,
    "u": NodeState.DOWN,  # its daemon does not answer
}
WORST = (NodeState.UP, NodeState.UNKNOWN, NodeState.DRAINING, NodeState.DOWN)
UNITS = {"": 1, "k": 1000, "K": 1 << 10, "m": 10**6, "M": 1 << 20, "g": 10**9, "G": 1 << 30}
UNITS |= {"t": 10**12, "T": 1 << 40}
_ILLEGAL = dict.fromkeys({*range(32)} - {9, 10, 13})  # control characters, which no XML holds
_SIGN = "+"  # stands between a job's name and its token, in what Grid Engine calls its name


class NotXml(ValueError):
    """What came is no answer."""


def xml(text: str, root: str) -> ET.Element:
    """Return an answer's element; raise `NotXml`. root: what it must be."""
    try:
        found = ET.fromstring(text.translate(_ILLEGAL))  # noqa: S314 - the master's own
    except ET.ParseError as error:
        raise NotXml(f"no XML: {error}: {text[:100]!r}") from None
    if found.tag != root:
        raise NotXml(f"<{found.tag}> where <{root}> was expected")
    return found


def size(text: str) -> int:
    """Return bytes of `23.5G`."""
    found = re.fullmatch(r"([0-9.]+)([kKmMgGtT]?)", text)
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def duration(text: str) -> int:
    """Return seconds of `600` or `1:00:00`; 0 for what has no end."""
    parts = text.split(":")
    if not all(re.fullmatch(r"\d+(\.\d*)?", part) for part in parts):
        return 0
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + float(part)
    return int(seconds)


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def name_for(name: str, token: str) -> str:
    """Return what a job of ours is called: the one text of it that the accounts keep.

    >>> name_for("my job", "m-1")
    'my_job+m-1'
    """
    clean = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[: MAX_NAME // 2] or "ostler"
    return f"{'' if clean[0].isalpha() else 'j'}{clean}{_SIGN}{token}"


def token_of(name: str) -> tuple[str, str]:
    """Return a job's own name and its token; the token is empty if it is none of ours."""
    own, sign, token = name.rpartition(_SIGN)
    return (own[:MAX_NAME], token[:MAX_NAME]) if sign else (name[:MAX_NAME], "")


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Gone:
    """A job that qstat remembers as ended, without saying how."""

    id: str
    user: str
    name: str
    incarnation: str = ""


_SUBMITTED = re.compile(
    r"<JB_job_number>(\d+)</JB_job_number>.*?<JB_submission_time>(\d+)</JB_submission_time>",
    re.DOTALL,
)


def submissions_of(text: str) -> dict[str, str]:
    """Return the incarnations of the jobs of `qstat -xml -j`, by number."""
    return dict(_SUBMITTED.findall(text))


def jobs_of(text: str, clock: Clock) -> list[ForeignJob | Gone]:
    """Return the jobs of `qstat -xml -r -g dt -s prsz`; raise `NotXml`.

    A job with several slots has a line for each.
    """
    root = xml(text, "job_info")
    if root.find("queue_info") is None or root.find("job_info") is None:
        raise NotXml("qstat's answer has no list")
    lines: dict[str, list[ET.Element]] = {}
    gone: list[ForeignJob | Gone] = []
    for line in root.iter("job_list"):
        number, task = _text(line, "JB_job_number"), _text(line, "tasks")
        if not number.isdigit():
            raise NotXml(f"a job without a number: {number!r}")
        if _text(line, "state") == "z":
            user, name = _text(line, "JB_owner"), _name(line)
            when = _incarnation(line, clock)
            gone += [Gone(ident, user, name, when) for ident in _ids(number, task)]
        else:
            lines.setdefault(f"{number}.{task}" if task else number, []).append(line)
    return [*(_job_of(ident, each, clock) for ident, each in lines.items()), *gone]


def _incarnation(line: ET.Element, clock: Clock) -> str:
    """Return when a job was submitted, which is told of those that wait or have ended."""
    submitted = clock(_text(line, "JB_submission_time"))
    return str(int(submitted)) if submitted else ""


def _text(line: ET.Element, tag: str) -> str:
    return (line.findtext(tag) or "").strip()


def _name(line: ET.Element) -> str:
    return " ".join((_text(line, "full_job_name") or _text(line, "JB_name")).split())


def _ids(number: str, tasks: str) -> list[str]:
    """Return the ids of `1-5:2,9` of a job's tasks."""
    if not tasks:
        return [number]
    try:
        spans = parse_ranges(tasks)
    except ValueError:
        return []
    return [f"{number}.{task}" for low, high in spans for task in range(low, high + 1)][:100_000]


def _job_of(ident: str, lines: list[ET.Element], clock: Clock) -> ForeignJob:
    first = next((line for line in lines if _text(line, "master") == "MASTER"), lines[0])
    word = _text(first, "state")
    state = JOB_STATES.get(word, ForeignState.UNKNOWN)
    asked = {each.get("name"): (each.text or "").strip() for each in first.iter("hard_request")}
    pe = first.find("granted_pe")
    pe = first.find("requested_pe") if pe is None else pe
    slots = _count(pe.text or "") if pe is not None else _count(_text(first, "slots"))
    places = Counter(
        host for line in lines if (host := _text(line, "queue_name").rpartition("@")[2])
    )
    if sum(places.values()) > slots and len(places) > 1:  # the master has no slot of its own
        places[_text(first, "queue_name").rpartition("@")[2]] -= 1
    name, token = token_of(_name(first))
    began = clock(_text(first, "JAT_start_time"))
    where = asked.get("hostname", "")
    return ForeignJob(
        id=ident,
        state=ForeignState(state),
        user=_text(first, "JB_owner"),
        incarnation=_incarnation(first, clock),
        token=token,
        name=name,
        queue=_text(first, "queue_name").rpartition("@")[0] or asked.get("qname", ""),
        tasks=max(1, slots),
        nodelist=(where,) if re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", where) else (),
        time_limit=duration(asked.get("h_rt", "")),
        submitted_at=clock(_text(first, "JB_submission_time")) or 0.0,
        started_at=began,
        shares=tuple(Share(host, count, count) for host, count in places.items() if count > 0),
        reason=REASONS.get(word[:1] if word[:1] in "hE" else word, ""),
        native_state=word[:MAX_NAME],
    )


REASONS = {
    "qw": "qw: it waits in a queue of Grid Engine",
    "h": "it is held: qrls releases it",
    "E": "a start of it failed: qstat -explain E -j says why, qmod -cj lets it be tried again",
}


def _count(text: str) -> int:
    found = re.match(r"\s*(\d+)", text)
    return int(found[1]) if found else 1


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────


def nodes_of(text: str) -> list[ForeignNode]:
    """Return the hosts of `qhost -xml -q`; raise `NotXml`. Their CPUs are slots of queues."""
    hosts = xml(text, "qhost").findall("host")
    if not any(host.get("name") == "global" for host in hosts):
        raise NotXml("qhost's answer has no list")
    return [_node_of(host) for host in hosts if host.get("name") != "global"]


def _node_of(host: ET.Element) -> ForeignNode:
    has = {each.get("name"): (each.text or "").strip() for each in host.findall("hostvalue")}
    slots = used = 0
    states, queues, words = [], [], []
    for queue in host.findall("queue"):
        its = {each.get("name"): (each.text or "").strip() for each in queue.iter("queuevalue")}
        letters = its.get("state_string", "")
        slots += _count(its.get("slots", "0"))
        used += _count(its.get("slots_used", "0"))
        queues.append(queue.get("name") or "")
        words += [letters] if letters else []
        states.append(
            max(
                (NODE_STATES.get(letter, NodeState.UNKNOWN) for letter in letters or "-"),
                key=WORST.index,
            )
        )
    state = min(states, key=WORST.index, default=NodeState.DOWN)  # one queue that takes jobs is one
    word = words[0] if words and state is not NodeState.UP else "-"
    reason = "" if state is NodeState.UP else f"all its queues are in state {', '.join(words)}"
    if not queues:
        reason = "no queue has slots there"
    if has.get("arch_string", "-") == "-":
        state, reason, word = NodeState.DOWN, "its execution daemon does not report", "u"
    return ForeignNode(
        name=host.get("name") or "",
        state=state,
        cpus=slots,
        memory=size(has.get("mem_total", "")),
        used_cpus=used,
        queues=tuple(name[:MAX_NAME] for name in queues if name),
        reason=reason[:MAX_SENTENCE],
        native_state=word[:MAX_NAME],
        host=host.get("name") or "",
    )


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────

FIELDS = 43  # of a line of the accounts, at least
_AGAIN = (24, 25)  # `failed`: it was moved or started again, so this is no end
_TIME = (37,)  # `failed`: above its time limit


def ends_of(lines: Iterable[str]) -> Iterator[End]:
    """Yield the proofs in lines of the accounting file, as accounting(5) lays them out."""
    for line in lines:
        parts = line.split(":")
        if line.startswith("#") or len(parts) < FIELDS or not parts[5].isdigit():
            continue
        failed, status = _count(parts[11]), _count(parts[12])
        if failed in _AGAIN or parts[41] not in ("NONE", ""):  # or a part of a parallel job
            continue
        signal = status - 128 if failed == 100 and status > 128 else 0
        task = _count(parts[35])
        _, token = token_of(parts[4])
        limit = re.search(r"\bh_rt=([0-9:.]+)", parts[39])
        began, over = float(_count(parts[9])), float(_count(parts[10]))
        late = bool(limit) and over - began >= duration(limit[1] if limit else "")
        yield End(
            id=f"{parts[5]}.{task}" if task else parts[5],
            result=_result(failed, status, signal, late=late),
            proof=f"accounts: failed {failed}, exit_status {status}",
            incarnation=parts[8],
            token=token,
            user=parts[3],
            exit_status=None if signal or failed not in (0, 100) else status,
            signal=signal,
            started_at=began or None,
            ended_at=over,
            reason="" if failed in (0, 100) else f"Grid Engine's failure {failed}",
        )


def _result(failed: int, status: int, signal: int, *, late: bool) -> str:
    if failed in _TIME or (signal and late):
        return Result.TIMEOUT
    if failed == 100:
        return Result.FAILED
    if failed:
        return Result.LOST
    return Result.FAILED if status else Result.SUCCESS

"""What qsub is told, and what its complaints mean: pure functions."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ostler.drivers.contract import Trouble
from ostler.drivers.gridengine_words import name_for
from ostler.drivers.programs import FILES, Answer
from ostler.model.foreign import Did, ForeignJob, Outcome, Start
from ostler.model.limits import MAX_SENTENCE

# Wrappers of commands: Grid Engine runs one command, has no umask, and cuts words at newlines.
_ONE = 'umask %03o; exec "$@"'
_MANY = (
    "umask %03o; exec 3<&0; n=0; all=; while [ $n -lt %d ]; do"
    ' OSTLER_RANK=$n "$@" <&3 3<&- & all="$all $!"; n=$((n + 1)); done;'
    ' end=0; for one in $all; do wait "$one" || { its=$?; [ $end -ne 0 ] || end=$its; }; done;'
    " exit $end"
)

_VALUED = frozenset({"-l", "-q", "-P", "-p", "-m", "-M", "-R", "-ckpt", "-js", "-ac", "-binding"})
_PLAIN = frozenset({"-soft", "-hard", "-notify"})
NEVER = (
    "does not exist",
    "unknown queue",
    "unknown resource",
    "no access",
    "denied",
    "not allowed",
)
UNHEARD = (
    *("unable to send message", "got select error", "can't connect", "commlib error"),
    *("unable to contact", "Unable to initialize environment", "not registered"),
)


@dataclass(frozen=True)
class Asked:
    """What the administrator has set for all jobs."""

    pe: str = "smp"
    memory: str = ""
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """Return it; raise `ValueError`."""
        options = tuple(shlex.split(settings.get("options", "")))
        if wrong := unfit_option(options):
            raise ValueError(f"options: {wrong} cannot be given to each job")
        return cls(settings.get("pe") or "smp", settings.get("memory", ""), options)


def unfit_option(words: Sequence[str]) -> str:
    """Return the first of a user's options that would make another job of it; else nothing."""
    value = False  # is due
    for word in words:
        if not value and word not in _VALUED and word not in _PLAIN:
            return word
        value = not value and word in _VALUED
    return ""


def unfit(order: Start) -> str:
    """Return why an order can never be carried out; nothing if it can."""
    if order.id:
        return f"job {order.id} is Grid Engine's own: Grid Engine starts it"
    if len(order.shares) != 1:
        return "a job in Grid Engine gets one host"
    if order.script and order.shares[0].tasks > 1:
        return "a script of several tasks cannot be run in Grid Engine"
    if order.script and any(b"\n" in word for word in order.argv):
        return "Grid Engine cuts the arguments of a script at newlines"
    if wrong := unfit_option(order.options):
        return f"option {wrong} would make another job of it"
    if any(set(path) & set(b":,\n$") for path in (order.output, order.error, order.input)):
        return "Grid Engine takes no paths with : , $ or newlines"
    return ""


def other_than(order: Start, job: ForeignJob) -> bool:
    """Tell whether a job is another than what is ordered."""
    share = order.shares[0]
    return job.nodelist != (share.node,) or job.tasks * job.cpus != share.cpus


def environment(env: bytes) -> dict[str, str]:
    """Return a job's environment as a mapping."""
    pairs = (pair.partition(b"=") for pair in env.split(b"\0") if pair)
    return {
        name.decode(errors="surrogateescape"): value.decode(errors="surrogateescape")
        for name, _, value in pairs
        if name
    }


def command_of(order: Start, asked: Asked) -> tuple[list[str | bytes], list[str | bytes]]:
    """Return what qsub is told: its options, and the command that follows them."""
    share = order.shares[0]
    command: list[str | bytes] = ["qsub", *asked.options, *order.options, "-hard"]
    command += ["-V", "-r", "n", "-N", name_for(order.name, order.token), "-wd", order.cwd]
    command += ["-o", order.output, "-i", order.input]
    command += ["-e", order.error] if order.error else ["-j", "y"]
    command += ["-l", f"h={share.node}"]
    command += ["-pe", asked.pe, str(share.cpus)] if share.cpus > 1 else []
    command += ["-l", f"h_rt={order.time_limit}"] if order.time_limit else []
    if asked.memory and share.memory:
        command += ["-l", f"{asked.memory}={-(-share.memory // share.cpus // 1024)}K"]
    command += ["-q", order.queue] if order.queue else []
    command += ["-P", order.project] if order.project else []
    tail: list[str | bytes] = [f"/dev/fd/{FILES[0]}"]
    return [*command, "-C", ""], [*tail, *order.argv] if order.script else tail


def script_of(order: Start) -> bytes:
    """Return the script that qsub is given for an order: the user's, or one with its command."""
    if order.script:
        return order.script
    words = b" ".join(b"'" + word.replace(b"'", b"'\\''") + b"'" for word in order.argv)
    tasks = order.shares[0].tasks
    text = _ONE % order.umask if tasks == 1 else _MANY % (order.umask, tasks)
    return b"#!/bin/sh\nset -- " + words + b"\n" + text.encode() + b"\n"


def refusal(answer: Answer, *, heard: bool) -> Outcome | None:
    """Return what it means that qsub failed; None if it did not.

    heard: else nothing was to be submitted anyway. Raises `Trouble` if nobody heard it.
    """
    text = answer.complaint
    if any(phrase in text for phrase in UNHEARD):
        if heard and "connection refused" not in text.lower():
            return Outcome(Did.UNKNOWN, text=text[:MAX_SENTENCE])
        raise Trouble(f"qsub: {text}")
    if not answer.status:
        return None
    text = re.sub(r"^Unable to run job: |\s*Exiting\.$", "", text)
    never = any(phrase in text for phrase in NEVER)
    return Outcome(Did.NEVER if never else Did.REFUSED, text=text[:MAX_SENTENCE])


def outcome(answer: Answer, job: str) -> Outcome:
    """Return what qdel and qmod have said of a job."""
    text = answer.complaint[:MAX_SENTENCE]
    if any(phrase in text for phrase in UNHEARD):
        return Outcome(Did.UNKNOWN, job, text=text)
    if "does not exist" in text:
        return Outcome(Did.ALREADY, job, text=text)
    if answer.status or "denied" in text:
        return Outcome(Did.NEVER if "denied" in text else Did.REFUSED, job, text=text)
    return Outcome(Did.ACCEPTED, job, text="" if job in text else text)

"""What sbatch is told, and what its complaints mean: pure functions."""

import os
import re
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence

from ostler.drivers.begun import noted, quoted
from ostler.drivers.contract import Trouble
from ostler.drivers.programs import FILES, local_time
from ostler.model.foreign import Did, Outcome, Start
from ostler.model.limits import MAX_SENTENCE

# What sets "$@" of a script that runs it: Slurm runs what it is given once, and we run a command for
# each task.
_SCRIPT = b"""
_script=$_notes.script; [ "$_folder" ] || _script=$(_sys mktemp) || exit
( umask 077; _sys base64 -d >"$_script" && _sys chmod 700 "$_script" ) <<'END' || exit
%s
END
set -- "$_script" "$@"
"""
_MANY = b"""
set -- %s --ntasks="$SLURM_NTASKS" --cpus-per-task=%d --kill-on-bad-exit=0 /bin/sh -c '
OSTLER_RANK=$SLURM_PROCID; export OSTLER_RANK; exec "$@"' sh "$@"
"""
_MANY_SCRIPTS = b"""
OSTLER_SCRIPT=%s; export OSTLER_SCRIPT
set -- %s --ntasks="$SLURM_NTASKS" --cpus-per-task=%d --kill-on-bad-exit=0 /bin/sh -c '
OSTLER_RANK=$SLURM_PROCID; export OSTLER_RANK
f=$(mktemp) || exit; trap "rm -f $f" 0
echo "$OSTLER_SCRIPT" | base64 -d >"$f" && chmod 700 "$f" && unset OSTLER_SCRIPT && "$f" "$@"' sh "$@"
"""
NOWHERE = b"/dev/null/none"  # no folder can be there
RUNS = b"${SLURM_RESTART_COUNT:-0}"  # of a job that Slurm has requeued
MOST_SCRIPT = 90_000  # bytes of one that several tasks run: it travels in their environment
# What sbatch complains of that no waiting mends.
NEVER = (
    *("Invalid account", "Invalid partition", "Invalid qos", "Invalid feature"),
    *("Invalid generic resource", "Invalid license", "not permitted", "unrecognized option"),
    *("invalid option", "requires an argument", "DOS line breaks"),
    *("Access/permission denied", "Pathname of a file", "Script is empty", "Invalid --"),
)
# It was not told whether the controller has heard of it.
UNSURE = ("timed out", "Zero Bytes", "Unexpected message", "connection reset", "Connection reset")
# It was not heard at all.
UNHEARD = ("Unable to contact", "Communication connection failure", "authentication", "Munge")
SOON = 3.0  # seconds: Slurm starts batch jobs from a loop that turns once a second
NEVER_SEEN = (
    366 * 86_400.0
)  # seconds: while jobs with a --begin wait, 22.05 says 2318 of idle nodes
OVER = ("already completing or completed", "already finished", "Job/step already")


def says(text: str, phrases: Iterable[str]) -> bool:
    """Tell whether one of the phrases stands in a text."""
    return any(phrase in text for phrase in phrases)


def without_directives(script: bytes) -> bytes:
    """Return a script in which sbatch finds no options: what they say has been read by us.

    Only lines before the first command are read by it, and all of those are comments.
    """
    if not script.startswith(b"#!"):
        script = b"#!/bin/sh\n" + script
    lines = script.split(b"\n")
    for at, line in enumerate(lines):
        if line.strip() and not line.startswith(b"#"):
            break
        if line.startswith(b"#SBATCH"):
            lines[at] = b"# " + line[1:]
    return b"\n".join(lines)


_VALUED = frozenset("AbBcCdDeFGiJLmMnNopqStwx")  # short options of sbatch that take a value
_PLAIN = frozenset({"-O", "-s", "-k", "-Q"})
_OURS = ("array", "wait", "wrap", "uid", "gid", "test-only", "parsable", "help", "usage", "version")


def unfit(words: Sequence[str]) -> str:
    """Return the first of a user's options that would make another job of it; else nothing."""
    value = False  # of the option before
    for word in words:
        name = word[2:].partition("=")[0]
        if word.startswith("--"):
            if not name or any(ours.startswith(name) for ours in _OURS):
                return word
            value = "=" not in word
        elif word.startswith("-") and len(word) > 1:
            if word[1] not in _VALUED and word not in _PLAIN:
                return word
            value = word not in _PLAIN and len(word) == 2
        elif not value:
            return word
        else:
            value = False
    return ""


def script_of(order: Start, srun: str, notes: str, options: Sequence[str] = ()) -> bytes:
    """Return what sbatch is given for an order.

    srun: where that program is. notes: the path of its notes; empty: it can have none. options: the
    administrator's. Raises `ValueError` if it cannot be done.
    """
    if b"\r\n" in order.script:
        raise ValueError("the lines of the script end as in DOS; write it with newlines alone")
    path = quoted(os.fsencode(notes)) + b"." + RUNS if notes else NOWHERE
    passes = _passed([*options, *order.options])
    return noted(path, _before(order, srun), strict=order.again, passes=passes)


def _before(order: Start, srun: str) -> bytes:
    tasks, each = size_of(order)
    program = quoted(os.fsencode(srun))
    if not order.script:
        return b"" if tasks == 1 else _MANY % (program, each)
    script = b64encode(without_directives(order.script))
    if tasks == 1:
        return _SCRIPT % b"\n".join(script[at : at + 76] for at in range(0, len(script), 76))
    if len(order.script) > MOST_SCRIPT:
        raise ValueError(f"a script of several tasks may have {MOST_SCRIPT} bytes in Slurm")
    return _MANY_SCRIPTS % (script, program, each)


def _passed(words: Sequence[str]) -> str:
    """Return the signal that is for the batch script alone, of `--signal=B:USR1@60`; else nothing."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        value = following if word == "--signal" else word.removeprefix("--signal=")
        found = re.fullmatch(r"R?BR?:(?:SIG)?([A-Z0-9]+)(@\d+)?", value)
        if found and (word == "--signal" or value != word):
            return found[1]
    return ""


def environment(env: bytes) -> bytes:
    """Return what a job gets of an environment: not how often the job around it was requeued."""
    pairs = env.split(b"\0")
    return b"\0".join(p for p in pairs if not p.startswith(b"SLURM_RESTART_COUNT=")) or b"\0"


def size_of(order: Start) -> tuple[int, int]:
    """Return how many tasks an order has, and the CPUs of each."""
    tasks = sum(share.tasks for share in order.shares)
    return tasks, -(-sum(share.cpus for share in order.shares) // tasks)


def command_of(order: Start, options: Sequence[str]) -> list[str | bytes]:
    """Return what sbatch is told, but for the script. options: the administrator's."""
    shares = order.shares
    tasks, each = size_of(order)
    even = len({share.tasks for share in shares}) == 1
    command: list[str | bytes] = ["sbatch", *options, *order.options]
    command += ["--parsable", "--no-requeue", "--ignore-pbs", "--propagate=NONE"]
    command += ["--open-mode=truncate", f"--export-file={FILES[0]}", f"--comment={order.token}"]
    command += [f"--nodes={len(shares)}", "--nodelist=" + ",".join(s.node for s in shares)]
    command += [f"--ntasks={tasks}", f"--cpus-per-task={each}"]
    command += [f"--ntasks-per-node={shares[0].tasks}"] if even else []
    if memory := max(-(-share.memory // max(1, share.cpus)) for share in shares):
        command.append(f"--mem-per-cpu={-(-memory // 1024)}K")
    names = {"gpu": max(share.gpus for share in shares)}
    for share in shares:
        for name, count in share.generic.items():
            names[name] = max(names.get(name, 0), count)
    if gres := ",".join(f"{name}:{count}" for name, count in names.items() if count):
        command.append(f"--gres={gres}")
    if order.time_limit:
        command.append(f"--time={minutes(order.time_limit)}")
    command += [f"--partition={order.queue}"] if order.queue else []
    command += [f"--account={order.project}"] if order.project else []
    command += [f"--job-name={order.name or 'ostler'}", b"--chdir=" + order.cwd]
    command += [b"--output=" + _path(order.output), b"--input=" + _path(order.input)]
    command += [b"--error=" + _path(order.error)] if order.error else []
    return command


def tail(order: Start) -> list[str | bytes]:
    """Return what follows the options: the script, which is given, and its arguments."""
    return [f"/dev/fd/{FILES[1]}", *order.argv]


def _path(path: bytes) -> bytes:
    """Return a path as sbatch takes it: without patterns."""
    return path.replace(b"%", b"%%")


def minutes(seconds: int) -> str:
    """Return a time limit in minutes, rounded up."""
    return str(-(-seconds // 60)) if seconds else "UNLIMITED"


def refusal(text: str, *, heard: bool) -> Outcome:
    """Return what it means that sbatch failed. heard: else nothing was to be submitted anyway."""
    short = text[:MAX_SENTENCE]
    if says(text, UNHEARD) or (says(text, UNSURE) and not heard):
        raise Trouble(f"sbatch: {short}")
    if says(text, UNSURE):
        return Outcome(Did.UNKNOWN, text=short)
    return Outcome(Did.NEVER if says(text, NEVER) else Did.REFUSED, text=short)


def later(text: str) -> str:
    """Return what Slurm says of a start that is not to be now, from `sbatch --test-only`."""
    _, found, rest = text.partition(" to start at ")
    when = local_time(rest.partition(" ")[0]) if found else None
    is_later = when is not None and SOON < when - time.time() < NEVER_SEEN
    return text[:MAX_SENTENCE] if is_later else ""

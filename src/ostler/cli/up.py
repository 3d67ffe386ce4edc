"""`ostler up`: make this host a machine, and say what it has and cannot do."""

import json
import os
import select
import signal
import time
from typing import Any

from ostler.cli.ask import named_numbers, number, size, state_of, words
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, say
from ostler.cli.status import machine_text
from ostler.client.link import Link
from ostler.client.place import exists, supervisor
from ostler.model.errors import NotNow, OstlerError, Refused, UsageError
from ostler.model.features import check_features
from ostler.wire.supervise import launch_supervisor

Told = dict[str, Any]

PATIENCE = 60.0  # seconds until the machine must answer
_STEP = 0.05
_EXCUSES = 1.5  # seconds in which a manager that answers may say that it cannot start yet
_LOG_LINES = 5  # shown of each log when it does not come up
_SIZES = ("cpus", "memory", "gpus", "generic", "features")


class CannotStart(NotNow):
    """The manager answers, and says why it cannot start."""

    def __init__(self, why: OstlerError) -> None:
        super().__init__(why.message, expected=why.expected, hint=why.hint)
        self.why = why


def main(given: Given) -> int:
    """Start the machine; say so if it is up already."""
    told = _told(given)
    state = state_of(given, new=True, system=told["system"])
    if told["system"] and os.geteuid() != 0:
        raise Refused("only root can start a machine for all users", hint="leave out --system")
    status = bring_up(state, told, quiet=given.flag("quiet"))
    if given.flag("json"):
        say(json_text(status))
    elif not given.flag("quiet"):
        say(machine_text(status))
    return _stay(state) if given.flag("foreground") else 0


def _told(given: Given) -> Told:
    """Return what the command line declares."""
    told: Told = {"system": given.flag("system")}
    for key in ("cpus", "gpus"):
        if (text := given.text(f"declared_{key}")) is not None:
            told[key] = number(f"--{key}", text, 1_000_000)
    if told.get("cpus") == 0:
        raise UsageError("--cpus cannot be 0", hint="leave it out to offer what this host has")
    if (text := given.text("declared_memory")) is not None:
        told["memory"] = size("--memory", text)
    if texts := given.many("declared_generic"):
        told["generic"] = named_numbers("--generic", texts)
    if (text := given.text("declared_features")) is not None:
        told["features"] = words(text)
        check_features(told["features"])
    return told


def bring_up(state: str, told: Told, *, quiet: bool = False) -> Told:
    """Return the status of the machine, started if it was not; raise `Refused` or `NotNow`."""
    if not supervisor(state):
        prepare(state, told)
        try:
            launch_supervisor(state)
        except NotNow:
            if not supervisor(state):  # else another `up` was quicker
                raise
        else:
            return _started(state)
    _check_same(state, told)
    status = await_status(state)
    if not quiet:
        complain(f"already up at {state}, supervisor {supervisor(state)}")
    return status


def _started(state: str) -> Told:
    """Return the status of what was just started; end it if its manager says that it cannot."""
    try:
        return await_status(state)
    except CannotStart as error:
        from ostler.cli.down import end_supervisor

        if pid := supervisor(state):
            end_supervisor(pid)
        raise error.why from None


def prepare(state: str, told: Told) -> None:
    """Make the folder and write what was declared; raise `NotNow` if it cannot be written.

    What an earlier `up` declared stays as long as `down` has not taken it away and nothing else
    is declared: then this is a machine that goes on.
    """
    mode = 0o755 if told.get("system") else 0o700
    path = f"{state}/machine.json"
    try:
        os.makedirs(os.path.dirname(state), exist_ok=True)
        os.makedirs(state, mode, exist_ok=True)
        info = os.stat(state)
        if info.st_uid != os.geteuid():
            raise Refused(f"{state} belongs to somebody else", hint="name another with --state DIR")
        before = read_told(state)
        if info.st_mode & 0o077 and not told.get("system"):
            if not before and {*os.listdir(state)} - {"lost+found"}:
                raise Refused(
                    f"{state} is open to others and holds what is not Ostler's",
                    expected="a folder that is new, or empty, or a machine's",
                    hint=f"name one below it: --state {state.rstrip('/')}/ostler",
                )
            os.chmod(state, mode)
        kept = before if not any(key in told for key in _SIZES) else {}
        new = {"node": os.uname().nodename.partition(".")[0], **kept, **told}
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(new, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise NotNow(
            f"the state folder {state} cannot be written: {error.strerror}",
            hint="make room there, or name another with --state DIR",
        ) from None


def read_told(state: str) -> Told:
    """Return what the machine was told by its `up`; empty if nothing or nonsense."""
    try:
        with open(f"{state}/machine.json", encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_same(state: str, told: Told) -> None:
    """Raise `Refused` if other sizes are asked for than the running machine was told."""
    before = read_told(state)
    for key in _SIZES:
        if key in told and told[key] != before.get(key):
            was = f"with --{key} {before[key]}" if before.get(key) else f"without --{key}"
            raise Refused(
                f"a machine is already up at {state}, started {was}",
                hint="stop it first with `ostler down`, or name another folder with --state DIR",
            )


def await_status(state: str, patience: float = PATIENCE) -> Told:
    """Return the status once manager and agent answer; raise `NotNow` with the end of the logs.

    Raises `CannotStart` when the manager itself keeps saying why it cannot.
    """
    end = time.monotonic() + patience
    why = "nothing answers"
    excused = 0  # times in a row that the manager said so
    appeared = False
    while time.monotonic() < end:
        alive = supervisor(state) != 0
        if appeared and not alive:
            why = "its supervisor has ended"
            break
        appeared = appeared or alive
        if exists(f"{state}/sock"):
            try:
                status = _status(state)
            except CannotStart as error:
                excused += 1
                why = str(error)
                if excused * _STEP > _EXCUSES:
                    raise
            except (OstlerError, OSError) as error:
                why, excused = str(error), 0
            else:
                if _complete(status):
                    return status
                why = "its agent has not connected"
        time.sleep(_STEP)  # there is no event: files and sockets come and go meanwhile
    raise NotNow(
        f"the machine at {state} did not come up: {why}{_log_ends(state)}",
        hint=f"see {state}/log",
    )


def _status(state: str) -> Told:
    link = Link(state, patience=1.0)
    try:
        status: Told = link.call("read", what="status")
    except OstlerError as error:
        raise CannotStart(error) from None
    finally:
        link.close()
    return status


def _complete(status: Told) -> bool:
    """Say whether the manager knows of a node here that runs."""
    return any(node.get("status") == "running" for node in status.get("nodes") or [])


def _log_ends(state: str) -> str:
    """Return the last lines of each log, indented."""
    text = ""
    for name in ("supervisor", "manager", "agent"):
        try:
            with open(f"{state}/log/{name}.log", encoding="utf-8", errors="replace") as file:
                lines = file.read()[-4096:].splitlines()[-_LOG_LINES:]
        except OSError:
            continue
        text += "".join(f"\n    {name}: {line}" for line in lines)
    return text


def _stay(state: str) -> int:
    """Wait for an interruption, then stop the machine; or for the machine's end."""
    from ostler.cli.down import stop

    stopping: list[int] = []
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda n, _frame: stopping.append(n))
    while not stopping and (pid := supervisor(state)):
        try:
            ended = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(into)
        try:
            select.select([ended, out], [], [])
        finally:
            signal.set_wakeup_fd(-1)
            for fd in (ended, out, into):
                os.close(fd)
    if stopping:
        stop(state, "kill")
        return 0
    raise NotNow(f"the machine at {state} was stopped by somebody else")

"""`ostler down`: stop the machine, with or without what runs on it."""

import os
import select
import signal
from contextlib import suppress

from ostler.cli.ask import state_of
from ostler.cli.awaited import Rows, answer_of
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, say
from ostler.cli.status import NO_LONGER
from ostler.client.link import Link, connect
from ostler.client.place import supervisor
from ostler.model.errors import NotNow, UsageError
from ostler.model.nodeset import in_short
from ostler.wire.frames import frame
from ostler.wire.pack import pack
from ostler.wire.streams import FOLDER

_PATIENCE = 60.0  # seconds for the daemons to end
_ANSWER = 5.0  # seconds for a manager that may be dead to come back


def main(given: Given) -> int:
    """Stop the machine; refused while jobs run, unless told what to do with them."""
    chosen = [how for how in ("wait", "kill", "leave") if given.flag(how)]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} contradict each other")
    state = state_of(given)
    left = stop(state, chosen[0] if chosen else "refuse")
    if given.flag("json"):
        say(json_text({"state": state, "up": False, "left": left}))
    elif not given.flag("quiet"):
        say(f"down: {state}")
    return 0


def stop(state: str, how: str) -> Rows:
    """Stop the machine at `state`; raise `Refused` while jobs run, `NotNow` if none is up.

    Returns the nodes where what was to end goes on, as nobody there could be told.
    """
    left = _ask(state, how)
    pid = supervisor(state)
    if pid:
        end_supervisor(pid)
        _end_relays(f"{state}/{FOLDER}")
    elif left is None:
        raise NotNow(f"no machine is up at {state}")
    if how != "leave":  # what `up` was told is over; the next one probes anew
        with suppress(OSError):
            os.unlink(f"{state}/machine.json")
    if left:
        names = in_short(str(row["name"]) for row in left)
        complain(
            f"{names} could not be told: jobs there end when the machine is up and hears of them"
        )
    return left or []


def _ask(state: str, how: str) -> Rows | None:
    """Let the manager prepare; return the nodes it could not tell, None if it does not answer.

    A dead one is not waited for long.
    """
    try:
        link = Link(state, patience=_ANSWER)
    except NotNow as error:
        if not supervisor(state):
            return None
        if how in ("refuse", "wait"):
            error.hint = "stop the rest with `ostler down --leave` or --kill"
            raise
        complain(f"{error.message}; the rest is stopped without it")
        return None
    try:
        return _answer(link, how)
    except NotNow as error:
        if how != "leave":
            raise
        # It cannot even write down that it stops; nothing of what runs depends on that.
        complain(f"{error.message}; it is stopped all the same, and what runs goes on")
        return None
    finally:
        link.close()


def _answer(link: Link, how: str) -> Rows:
    """Wait until nothing stands in the way, and say whom that waits for."""
    number = link.send("shutdown", how=how)

    def look() -> Rows:
        awaited: Rows = link.call("read", what="status")["machine"].get("awaited") or []
        return awaited

    left: Rows = answer_of(link, number, look, NO_LONGER).get("left") or []
    return left


def _end_relays(folder: str) -> None:
    """Let relays go that only wait for somebody to read what ended jobs have left."""
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                sock = connect(f"{folder}/{name}")
                sock.send(frame(pack({"type": "quit"})))
                sock.close()


def end_supervisor(pid: int) -> None:
    """Tell the supervisor to end, and wait until it has."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        os.kill(pid, signal.SIGTERM)
        if not select.select([ended], [], [], _PATIENCE)[0]:
            raise NotNow(
                f"the supervisor, process {pid}, does not end",
                hint=f"kill -9 {pid}; jobs go on, and `ostler up` takes them back",
            )
    except PermissionError:
        raise NotNow(f"the supervisor, process {pid}, belongs to somebody else") from None
    except ProcessLookupError:
        pass
    finally:
        os.close(ended)

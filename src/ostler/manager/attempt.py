"""One attempt at an errand, in a process of its own: a program, a mail or a webhook."""

import os
import signal
import socket
from typing import NamedTuple

from ostler.manager import run_as
from ostler.model.errand import Hook, Mail, Outcome, Program
from ostler.model.errors import Refused

DEADLINE = 40  # seconds for a mail or a webhook


class Found(NamedTuple):
    """How it ended. output: the last of what a program wrote, for the log."""

    result: Outcome
    exit_status: int | None = None
    reason: str = ""
    output: str = ""


def attempt_at(work: Program | Mail | Hook, place: run_as.Place, lifeline: int) -> Found:
    """Do it, and return how it ended. lifeline: readable when whoever wants to know is gone."""
    if isinstance(work, Program):
        from ostler.manager.program import run

        try:
            who = run_as.identity(work.user, place)
        except Refused as error:
            return Found(Outcome.HOPELESS, None, str(error))
        return run(work, who, run_as.environment(who, place), lifeline)
    signal.alarm(DEADLINE)  # ends this process, whatever it waits for
    run_as.become(work.uid, work.gid, place)
    try:
        if isinstance(work, Mail):
            from ostler.manager.mail import send

            return send(work, f"ostler@{socket.gethostname()}")
        from ostler.manager.webhook import post

        return post(work, work.reach or ("private" if place.system else "any"))
    except OSError as error:
        return Found(Outcome.FAILED, None, error.strerror or str(error) or "it failed")


def reap() -> None:
    """Take the statuses of all children that have ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return

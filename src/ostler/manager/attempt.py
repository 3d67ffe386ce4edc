"""One attempt at an errand, in a process of its own: a program, a mail or a webhook.

Whatever it needs is loaded here and now: who makes the attempt may not be able to read it.
"""

import encodings.idna  # noqa: F401 - else loaded when a host's name is looked up
import signal
import socket

from ostler.manager import mail, program, run_as, smtp, webhook
from ostler.manager.found import DEADLINE, Found
from ostler.model.errand import Hook, Mail, Outcome, Program
from ostler.model.errors import Refused


def attempt_at(work: Program | Mail | Hook, place: run_as.Place, lifeline: int) -> Found:
    """Do it, and return how it ended. lifeline: readable when whoever wants to know is gone."""
    if isinstance(work, Program):
        try:
            who = run_as.identity(work.user, place)
        except Refused as error:
            return Found(Outcome.HOPELESS, None, str(error))
        return program.run(work, who, run_as.environment(who, place), lifeline)
    signal.alarm(DEADLINE)  # ends this process, whatever it waits for
    sender = f"ostler@{socket.gethostname()}"
    try:
        if isinstance(work, Mail):
            sender = work.sender or sender
            message = mail.compose(work, sender)
            by = smtp.way(work) if work.host else None
            run_as.become(work.uid, work.gid, place)
            return mail.send(work, sender, message, by)
        run_as.become(work.uid, work.gid, place)
        return webhook.post(work, work.reach or ("private" if place.system else "any"))
    except Refused as error:
        return Found(Outcome.FAILED, None, str(error))
    except OSError as error:
        return Found(Outcome.FAILED, None, error.strerror or str(error) or "it failed")

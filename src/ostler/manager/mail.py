"""A mail to a user: by SMTP, or through a program that reads it."""

import shlex
import subprocess
from email import policy
from email.message import EmailMessage
from email.utils import formatdate

from ostler.manager import smtp
from ostler.manager.found import DEADLINE, Found
from ostler.model.errand import Mail, Outcome

_SECONDS = DEADLINE // 2


def compose(work: Mail, sender: str) -> bytes:
    """Return the message, with the ends of lines that its carrier wants. sender: from whom."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = work.to
    message["Subject"] = " ".join(work.subject.split())
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = f"<{work.ident}.{sender}>"  # a repeat can be known as one
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(work.body)
    return message.as_bytes(policy=policy.SMTP if work.host else policy.default)


def send(work: Mail, sender: str, message: bytes, by: smtp.Way | None) -> Found:
    """Send it; raise OSError. by: how a server is spoken to; None: a program sends it."""
    return _by_program(work, message) if by is None else smtp.send(work, sender, message, by)


def _by_program(work: Mail, message: bytes) -> Found:
    command = shlex.split(work.command)
    if not command:
        hint = "set mail-command or smtp-host"
        return Found(Outcome.HOPELESS, None, f"nothing sends mail here; {hint}")
    try:
        done = subprocess.run(
            command,
            input=message,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Found(Outcome.LATE, None, f"{command[0]} took more than {_SECONDS} s")
    except OSError as error:
        return Found(Outcome.FAILED, None, f"{command[0]} cannot be run: {error.strerror}")
    if done.returncode:
        return Found(Outcome.FAILED, done.returncode, f"{command[0]} exited with {done.returncode}")
    return Found(Outcome.SUCCESS, 0)

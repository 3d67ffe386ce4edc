"""A mail to a user: by SMTP, or through a program that reads it."""

import shlex
import smtplib
import subprocess
from email import policy
from email.message import EmailMessage
from email.utils import formatdate

from ostler.manager.found import DEADLINE, Found
from ostler.model.errand import Mail, Outcome

_PERMANENT = 500  # SMTP's answers from here on will be the same next time
_SECONDS = DEADLINE // 2  # for one step


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


def send(work: Mail, sender: str, message: bytes) -> Found:
    """Send it; raise OSError."""
    return _by_smtp(work, sender, message) if work.host else _by_program(work, message)


def _by_smtp(work: Mail, sender: str, message: bytes) -> Found:
    host, _, port = work.host.partition(":")
    try:
        with smtplib.SMTP(host, int(port or 25), timeout=_SECONDS) as server:
            server.sendmail(sender, [work.to], message)
    except smtplib.SMTPRecipientsRefused as error:
        code = min((code for code, _ in error.recipients.values()), default=0)
        return _refused(work, code)
    except smtplib.SMTPResponseException as error:
        return _refused(work, error.smtp_code)
    except smtplib.SMTPException as error:
        return Found(Outcome.FAILED, None, f"{work.host} took no mail: {type(error).__name__}")
    return Found(Outcome.SUCCESS)


def _refused(work: Mail, code: int) -> Found:
    result = Outcome.HOPELESS if code >= _PERMANENT else Outcome.FAILED
    return Found(result, None, f"{work.host} refused the mail with {code}")


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

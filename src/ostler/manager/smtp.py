"""Mail by SMTP: how the server is spoken to, and what its answers mean. RFC 3207, 4954, 8314."""

import os
import smtplib
import ssl
import stat
from typing import NamedTuple

from ostler.manager.found import DEADLINE, Found
from ostler.model.errand import Mail, Outcome
from ostler.model.errors import Refused
from ostler.model.settings import PLAIN, STARTTLS, TLS

_PERMANENT = 500  # answers from here on will be the same next time
_SECONDS = DEADLINE // 2  # for one step
_PORTS = {PLAIN: 25, STARTTLS: 587, TLS: 465}
_MOST = 1_024  # bytes of a password


class Way(NamedTuple):
    """What root may read and others may not: made before the mail's process becomes its user."""

    context: ssl.SSLContext | None
    password: str


def way(work: Mail) -> Way:
    """Return how the server is to be spoken to; raise `Refused` where that must not or cannot be."""
    secure = _security(work)
    if work.login and secure == PLAIN:
        raise Refused(
            "smtp-user needs smtp-security starttls or tls: no password goes in the clear"
        )
    try:
        context = None if secure == PLAIN else ssl.create_default_context(cafile=work.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"smtp-ca-file {work.ca} cannot be read: {error}") from None
    return Way(context, _password(work) if work.login else "")


def _security(work: Mail) -> str:
    return work.security or (STARTTLS if work.login else PLAIN)


def _password(work: Mail) -> str:
    """Return the first line of the file; raise `Refused` unless only its owner may read it."""
    name = work.password_file
    if not name:
        raise Refused("smtp-user needs smtp-password-file")
    try:
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in (0, os.geteuid()) or stat.S_IMODE(found.st_mode) & 0o077:
                raise Refused(f"smtp-password-file {name} must be the manager's own, with mode 600")
            line = file.read(_MOST).partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise Refused(f"smtp-password-file {name} cannot be read: {error.strerror}") from None
    if not line:
        raise Refused(f"smtp-password-file {name} has no password in its first line")
    return line.decode(errors="surrogateescape")


def send(work: Mail, sender: str, message: bytes, by: Way) -> Found:
    """Give the mail to its server; raise OSError."""
    try:
        with _connected(work, by) as server:
            if by.password:
                server.login(work.login, by.password)
            server.sendmail(sender, [work.to], message)
    except smtplib.SMTPRecipientsRefused as error:
        code = min((code for code, _ in error.recipients.values()), default=0)
        return _refused(work, code)
    except smtplib.SMTPAuthenticationError as error:
        return _refused(work, error.smtp_code, f"the login of {work.login}")
    except smtplib.SMTPResponseException as error:
        return _refused(work, error.smtp_code)
    except smtplib.SMTPNotSupportedError:
        lacks = "a login that is known here" if by.context is None else "STARTTLS or a login"
        return Found(Outcome.HOPELESS, None, f"{work.host} does not offer {lacks}")
    except smtplib.SMTPException as error:
        return Found(Outcome.FAILED, None, f"{work.host} took no mail: {type(error).__name__}")
    except ssl.SSLCertVerificationError as error:
        told = f"the certificate of {work.host} is not trusted: {error.verify_message}"
        return Found(Outcome.FAILED, None, told)
    except ssl.SSLError as error:
        told = error.reason or "no reason given"
        return Found(Outcome.FAILED, None, f"{work.host} does not speak TLS here: {told}")
    return Found(Outcome.SUCCESS)


def _connected(work: Mail, by: Way) -> smtplib.SMTP:
    secure = _security(work)
    host, _, port = work.host.partition(":")
    at = int(port or _PORTS[secure])
    if secure == TLS:
        return smtplib.SMTP_SSL(host, at, timeout=_SECONDS, context=by.context)
    server = smtplib.SMTP(host, at, timeout=_SECONDS)
    try:
        if secure == STARTTLS:
            server.starttls(context=by.context)
    except BaseException:
        server.close()
        raise
    return server


def _refused(work: Mail, code: int, what: str = "the mail") -> Found:
    result = Outcome.HOPELESS if code >= _PERMANENT else Outcome.FAILED
    return Found(result, None, f"{work.host} refused {what} with {code}")

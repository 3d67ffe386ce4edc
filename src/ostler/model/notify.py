"""Where users want to be told of their jobs, and when."""

import re
from collections.abc import Sequence

from ostler.model.errors import UsageError

MOMENTS = ("begin", "end", "fail", "element")
UNHARMED = ("success", "cancelled")  # results that are no failure
# Which addresses a webhook may have: any; none of this host and its link; those of the internet.
REACHES = ("any", "private", "public")
MAX_ADDRESS = 254  # characters; RFC 5321
MAX_URL = 2_000  # characters
# The part before the @ without quotes and comments; RFC 5322 has more, nobody else does.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?!-){_LOCAL}(?:@{_HOST})?", re.ASCII)
_URL = re.compile(
    rf"https?://(?P<host>{_HOST}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?(?:[/?][!-~]*)?",
    re.ASCII,
)
_PORTS = 65_535


def check_notify(mail: Sequence[str], address: str, url: str) -> None:
    """Raise `UsageError` for moments, an address or a URL that make no sense."""
    if wrong := [moment for moment in mail if moment not in MOMENTS]:
        raise UsageError(f"--mail cannot be {wrong[0][:40]!r}", expected=", ".join(MOMENTS))
    if len(mail) > len(MOMENTS):
        raise UsageError("--mail names a moment twice", expected=", ".join(MOMENTS))
    if address and not mail:
        raise UsageError("--mail-to says where to", hint="say when: --mail end")
    if address and (len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address)):
        raise UsageError(
            f"--mail-to cannot be {address[:80]!r}", expected="one address, as in ann@example.org"
        )
    if url:
        _check_url(url)


def _check_url(url: str) -> None:
    # What the URL is does not appear: many hold the secret that lets one post there.
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None or int(found["port"] or 80) > _PORTS:
        raise UsageError(
            "--notify cannot be what was given",
            expected=f"http:// or https://, a host, and at most {MAX_URL} characters; "
            "no user and password, no spaces",
        )


def host_of(url: str) -> str:
    """Return the host of a URL that was checked: what may be shown of it."""
    found = _URL.fullmatch(url)
    return found["host"] if found else ""


def wanted(mail: Sequence[str], moment: str, result: str) -> bool:
    """Say whether somebody who asked for these moments is told now. result: of a job that ended.

    >>> [wanted(["fail"], "end", result) for result in ("success", "cancelled", "timeout")]
    [False, False, True]
    """
    failed = moment == "end" and result not in UNHARMED
    return moment in mail or (failed and "fail" in mail)

"""JSON that is posted to a user's URL, at an address that may be had."""

import http.client
import socket
import ssl
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from ostler.manager.found import DEADLINE, Found
from ostler.model.errand import Hook, Outcome

_SECONDS = DEADLINE // 4  # for one step
_READ = 1 << 16  # bytes of the answer that are looked at
_AGAIN = (408, 425, 429)  # answers that another time may be different; and all from 500 on


def allowed(address: str, reach: str) -> bool:
    """Say whether an address may be had. reach: any, private or public.

    private: no address of this host or its link, which trust whoever is here; public: those of the
    internet alone.

    >>> [allowed("127.0.0.1", reach) for reach in ("any", "private")]
    [True, False]
    >>> [allowed("10.1.2.3", reach) for reach in ("private", "public")]
    [True, False]
    """
    found: IPv4Address | IPv6Address | None = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    if reach == "any" or found is None:
        return reach == "any"
    here = found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast
    return not here and (found.is_global if reach == "public" else not found.is_reserved)


class _Pinned(http.client.HTTPConnection):
    """Connects to the address that was looked at, whatever the name means a moment later."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=_SECONDS)
        self._address, self._secure = address, secure
        self.default_port = 443 if secure else 80

    def connect(self) -> None:
        """Connect; raise OSError."""
        self.sock = socket.create_connection((self._address, self.port), _SECONDS)
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def post(work: Hook, reach: str) -> Found:
    """Post it; raise OSError. Redirects are not followed, and no proxy is asked."""
    parts = urlsplit(work.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return Found(Outcome.FAILED, None, f"{host} has no address")
    addresses = [str(entry[4][0]) for entry in known if allowed(str(entry[4][0]), reach)]
    if not addresses:
        why = f"no address of {host} may be had (webhook-reach is {reach})"
        return Found(Outcome.HOPELESS, None, why)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Pinned(host, port, addresses[0], secure=secure)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ostler",
        "Idempotency-Key": work.ident,
    }
    try:
        connection.request("POST", path, work.body.encode(), headers)
        answer = connection.getresponse()
        answer.read(_READ)
    except (OSError, http.client.HTTPException) as error:
        return Found(Outcome.FAILED, None, f"{host} did not answer: {_words(error)}")
    finally:
        connection.close()
    return _found(host, answer.status)


def _words(error: Exception) -> str:
    told = error.strerror if isinstance(error, OSError) else ""
    return told or type(error).__name__


def _found(host: str, status: int) -> Found:
    if status // 100 == 2:
        return Found(Outcome.SUCCESS)
    again = status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    result = Outcome.FAILED if again else Outcome.HOPELESS
    return Found(result, None, f"{host} answered {status}")

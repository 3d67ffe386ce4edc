"""The attributes that an administrator can set, with their defaults."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache

from msgspec import Struct

from ostler.model.errors import Missing, UsageError
from ostler.model.licences import format_licences, parse_licences
from ostler.model.limits import MAX_TEXT
from ostler.model.notify import REACHES, check_notify
from ostler.model.units import parse_duration

_DAY = 86_400  # seconds
_NAME = 255  # characters of a login
PLAIN, STARTTLS, TLS = SECURITIES = (
    "plain",
    "starttls",
    "tls",
)  # how a server of mail is spoken to
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*", re.ASCII)


class Attribute(Struct, frozen=True):
    """One setting: a whole number, or text that a parser of its own accepts."""

    key: str
    default: int | str
    least: int
    most: int
    help: str
    duration: bool = False  # in seconds, and may have a unit
    # Of text: returns it as it is kept; raises `UsageError`. Empty text is not asked about.
    parse: Callable[[str], str] | None = None
    zero_unsets: bool = False  # 0 is no value but means that it is not set
    instead: str = ""  # the attribute that holds where this one is not set


def _text(key: str, default: str, parse: Callable[[str], str], text: str) -> Attribute:
    return Attribute(key, default, 0, 0, text, parse=parse)


def _weight(factor: str, default: int, meaning: str) -> Attribute:
    most = f"points that a waiting job gets at most for {meaning}"
    return Attribute(f"weight-{factor}", default, 0, 1_000_000, most)


def _host(text: str) -> str:
    host, _, port = text.partition(":")
    if not _HOST.fullmatch(host) or (port and not port.isdigit()):
        raise UsageError(f"smtp-host cannot be {text[:100]!r}", expected="HOST or HOST:PORT")
    return text


def _sender(text: str) -> str:
    check_notify(("end",), text, "")
    return text


def _reach(text: str) -> str:
    if text not in REACHES:
        raise UsageError(f"webhook-reach cannot be {text[:40]!r}", expected=", ".join(REACHES))
    return text


def _security(text: str) -> str:
    if text not in SECURITIES:
        raise UsageError(f"smtp-security cannot be {text[:40]!r}", expected=", ".join(SECURITIES))
    return text


def _login(text: str) -> str:
    if not text.isprintable() or len(text) > _NAME:
        raise UsageError(f"smtp-user cannot be {text[:100]!r}", expected=f"at most {_NAME} signs")
    return text


def _path(key: str, text: str) -> str:
    what = "file" if key.endswith("-file") else "program"
    if not text.startswith("/") or not text.isprintable():
        raise UsageError(f"{key} cannot be {text[:100]!r}", expected=f"the full path of a {what}")
    return text


@lru_cache(maxsize=8)
def licences(text: str) -> dict[str, int]:
    """Return the counts of the attribute `licences`; not to be changed. Raises `UsageError`."""
    return parse_licences(text, what="licences") if text else {}


ATTRIBUTES: dict[str, Attribute] = {
    a.key: a
    for a in (
        Attribute("max-cpus-per-user", 0, 0, 1_000_000, "CPUs one user may hold at once; 0: all"),
        Attribute(
            "grace-period", 30, 0, 86_400, "seconds between SIGTERM and SIGKILL", duration=True
        ),
        Attribute(
            "client-grace",
            30,
            0,
            86_400,
            "seconds a `run` or `alloc` lives on without its client",
            duration=True,
        ),
        Attribute(
            "node-status-poll-interval",
            0,
            0,
            _DAY,
            "seconds between two looks at a node from outside; 0 or unset: poll-interval",
            duration=True,
            zero_unsets=True,
            instead="poll-interval",
        ),
        Attribute(
            "poll-interval",
            60,
            0,
            _DAY,
            "seconds between two looks at anything that has no interval of its own; 0: the default",
            duration=True,
            zero_unsets=True,
        ),
        Attribute(
            "record-decisions",
            0,
            0,
            1_000_000,
            "MiB of what the scheduler was told and planned, kept in STATE/decisions; 0: nothing",
        ),
        Attribute(
            "idle-time",
            0,
            0,
            1 << 30,
            "seconds without a step after which an `alloc` ends; 0: never",
            duration=True,
        ),
        Attribute(
            "jobs-lifetime",
            0,
            0,
            1 << 30,
            "seconds after which an ended job moves to STATE/archive, where `query --archive` "
            "finds it; 0: never",
            duration=True,
        ),
        Attribute(
            "accounting-lifetime",
            0,
            0,
            1 << 30,
            "the same for rows of accounting, from which acct, usage and shares are counted",
            duration=True,
        ),
        Attribute(
            "events-lifetime",
            90 * _DAY,
            0,
            10_000 * _DAY,
            "seconds after which an event is removed; 0: never",
            duration=True,
        ),
        _text(
            "prolog",
            "",
            lambda text: _path("prolog", text),
            "path of a program that nodes run before anything of an allocation starts there",
        ),
        _text(
            "epilog",
            "",
            lambda text: _path("epilog", text),
            "path of a program that nodes run after all of an allocation has ended there",
        ),
        Attribute(
            "prolog-timeout",
            60,
            1,
            _DAY,
            "seconds that a prolog or epilog may take",
            duration=True,
        ),
        Attribute(
            "queue-depth",
            0,
            0,
            1_000_000,
            "requests of `run` and `alloc` that may wait in the queue of a partition; 0: any number",
        ),
        _text(
            "mail-command",
            "/usr/sbin/sendmail -t -i",
            lambda text: text,
            "program that sends the mail it reads; not asked where smtp-host is set",
        ),
        _text(
            "smtp-host",
            "",
            _host,
            "HOST or HOST:PORT that takes mail by SMTP; empty: mail-command sends it",
        ),
        _text(
            "smtp-security",
            "",
            _security,
            "plain, starttls or tls; empty: starttls where smtp-user is set, else plain",
        ),
        _text(
            "smtp-user", "", _login, "name by which smtp-host knows this machine; empty: no login"
        ),
        _text(
            "smtp-password-file",
            "",
            lambda text: _path("smtp-password-file", text),
            "path of a file with its password in the first line, which only its owner may read",
        ),
        _text(
            "smtp-ca-file",
            "",
            lambda text: _path("smtp-ca-file", text),
            "path of the certificates by which smtp-host is trusted; empty: those of this host",
        ),
        _text("mail-from", "", _sender, "address from which users are mailed; empty: user@host"),
        _text(
            "webhook-reach",
            "",
            _reach,
            "where webhooks may go: any, private (no loopback and link-local), public; empty: "
            "private on a system machine, else any",
        ),
        _text(
            "scheduler-policy",
            "easy",
            str,
            "who may pass whom: fcfs, easy, easy-sjbf, conservative or reserved-K; in partitions "
            "that have no policy of their own",
        ),
        _weight("priority", 100, "what the user says with --priority"),
        _weight("age", 0, "the time since its submission, up to max-age"),
        _weight("size", 0, "the part of the machine's CPUs that it asks for"),
        _weight("share", 0, "how little its user and project have used of their share"),
        _weight("partition", 0, "its partition, whose factor is taken times this"),
        _weight("boost", 1_000, "what an operator gave it"),
        Attribute(
            "max-age",
            7 * _DAY,
            1,
            1_000 * _DAY,
            "seconds after which age adds no more",
            duration=True,
        ),
        Attribute(
            "wiki-port",
            0,
            0,
            65_535,
            "port on loopback at which a WIKI scheduler, Maui say, is told of partitions that name"
            " `wiki` as their scheduler; 0: none",
        ),
        _text(
            "wiki-key-file",
            "",
            lambda text: _path("wiki-key-file", text),
            "path of the file with the number that signs WIKI messages, readable by its owner"
            " alone; empty: STATE/wiki-key, which is made with a number of chance",
        ),
        Attribute(
            "wiki-window",
            300,
            1,
            _DAY,
            "seconds by which the time of a WIKI message may differ from ours",
            duration=True,
        ),
        Attribute(
            "wiki-silence",
            180,
            1,
            _DAY,
            "seconds without a word of the WIKI scheduler after which the one that is built in"
            " plans its partitions",
            duration=True,
        ),
        Attribute("small-jobs-first", 0, 0, 1, "1: weight-size favours few CPUs rather than many"),
        Attribute(
            "share-half-life",
            14 * _DAY,
            0,
            10_000 * _DAY,
            "seconds after which use counts half in weight-share; 0: it counts for ever",
            duration=True,
        ),
        _text(
            "licences",
            "",
            lambda text: format_licences(licences(text)),
            "what jobs may take of with --licences, as in matlab:10,ansys:2",
        ),
    )
}


ALIASES = {"rms-poll-interval": "poll-interval"}  # as RMS calls it


def attribute(key: str) -> Attribute:
    """Return the attribute; raise `Missing` with the nearest name."""
    found = ATTRIBUTES.get(ALIASES.get(key, key))
    if found is None:
        near = get_close_matches(key, ATTRIBUTES, 1)
        hint = f"did you mean {near[0]!r}" if near else "see `ostler config effective`"
        raise Missing(f"no attribute is named {key!r}", hint=hint)
    return found


def in_force(settings: Mapping[str, str], key: str) -> tuple[int | str, str]:
    """Return the value that holds, and the attribute that it was set with; empty: the default.

    >>> in_force({"poll-interval": "7"}, "node-status-poll-interval")
    (7, 'poll-interval')
    """
    known = attribute(key)
    text = settings.get(known.key)
    if text is not None and not (known.zero_unsets and text == "0"):
        return (text if known.parse is not None else int(text)), known.key
    return in_force(settings, known.instead) if known.instead else (known.default, "")


def parse_value(key: str, value: str) -> int | str:
    """Return the value as it is kept; raise `Missing` or `UsageError`."""
    known = attribute(key)
    if known.parse is not None:
        if len(value) > MAX_TEXT:
            raise UsageError(f"{key} is too long", expected=f"most: {MAX_TEXT} characters")
        return known.parse(value) if value else ""
    try:
        found = parse_duration(value, bare=1) if known.duration else _whole(value)
    except ValueError:
        found = -1
    if not known.least <= found <= known.most:
        what = "seconds, or as in 90s or 2m," if known.duration else "a whole number"
        raise UsageError(
            f"{key} cannot be {value!r}", expected=f"{what} from {known.least} to {known.most}"
        )
    return found


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1

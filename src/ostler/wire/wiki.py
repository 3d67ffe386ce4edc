"""WIKI frames: eight digits of length, a delimiter, the payload; and who vouches for them.

WIKI is the text protocol between the Maui scheduler and resource managers ("Wiki Interface
Specification, version 1.1"). What the specification leaves open is done as Maui 3.3.1 does it.
No I/O and no clock here. Whatever the bytes are, `Malformed` is all that comes out, in linear time.

The checksum is no security: a 32-bit key over a 16-bit CRC, so that whoever has seen one frame can
make another. It belongs on loopback or on a private network.
"""

import binascii
import re
from typing import NamedTuple

HEADER = 9  # bytes before the payload: eight digits, and one that says nothing
MAX_REQUEST = 1 << 20  # bytes: what a scheduler asks is short, but for the names of a task list
MAX_REPLY = 32 << 20  # bytes: 100,000 records of some 300
MAX_KEY = 63  # bytes of a key file that count
MAX_WHO = 64  # bytes of a user's name in a frame

# What a reply's SC says of a request that is not carried out; the numbers are those of Slurm's
# former plugin, as the specification knows -1 alone.
INTERNAL, MALFORMED, SHORT, BAD_REQUEST, CLOCK, CHECKSUM = -1, -244, -246, -300, -350, -422
NO_JOB, NOT_STARTED, STARTING_UP = -700, -910, -140

_MASK = 0xFFFFFFFF
_ROUNDS = (
    (0xCBA4E531, 0x12BE4590),
    (0x537158EB, 0xAB54CE58),
    (0x145CDC3C, 0x6954C7A6),
    (0x0D3FDEB2, 0x15A2CA46),
)
_SIZE = re.compile(rb"[0-9]{8}")
_SIGNED = re.compile(
    rb"CK=([0-9A-Fa-f]{16}) (TS=([0-9]{1,12}) (?:AUTH=([^ \n]{0,64}) )?"
    rb"(?:CLIENT=[^ \n]{0,128} )?DT=(.*))",
    re.DOTALL,
)
_KEY = re.compile(rb"\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([0-9]+))")


class Malformed(ValueError):
    """Bytes that are no WIKI, or that nobody vouches for. code: the SC to answer with."""

    def __init__(self, why: str, code: int = BAD_REQUEST) -> None:
        super().__init__(why)
        self.code = code


class Opened(NamedTuple):
    """A payload without what vouches for it."""

    data: str
    at: int | None = None  # Unix seconds as the sender knows them; None: it was not signed
    user: str = ""


def read_key(data: bytes) -> int:
    """Return the key that the text of a key file stands for.

    It is read as C reads integers: decimal, 0x, 0 for octal; what follows is ignored, and a text
    without digits is 0, as for Maui.
    """
    found = _KEY.match(data[:MAX_KEY])
    if found is None:
        return 0
    sign, hexadecimal, octal, decimal = found.groups()
    if hexadecimal:
        value = int(hexadecimal, 16)
    elif octal:
        value = int(octal, 8)
    else:
        value = int(decimal)
    return (-value if sign == b"-" else value) & _MASK


def checksum(key: int, data: bytes) -> str:
    """Return the 16 hexadecimal digits that vouch for these bytes.

    CRC-16/XMODEM of the bytes beside the key, put through four rounds of a Feistel network of
    32-bit halves.
    """
    left, right = binascii.crc_hqx(data, 0), key & _MASK
    for first, second in _ROUNDS:
        kept = right
        mixed = right ^ first
        low, high = mixed & 0xFFFF, mixed >> 16
        sum_ = (low * low + (~(high * high) & _MASK)) & _MASK
        swapped = (sum_ >> 16) | ((sum_ & 0xFFFF) << 16)
        right = left ^ (((swapped ^ second) + low * high) & _MASK)
        left = kept
    return f"{left:08x}{right:08x}"


def pack(data: str, key: int | None, user: str = "", now: int = 0) -> bytes:
    """Return the frame of this text. key: None sends it unsigned; now: Unix seconds."""
    body = data.encode()
    if key is not None:
        body = b"TS=%d AUTH=%s DT=%s" % (now, user.encode(), body)
        body = b"CK=%s %s" % (checksum(key, body).encode(), body)
    if len(body) > MAX_REPLY:
        raise Malformed(f"a message of {len(body)} bytes is too long; the most is {MAX_REPLY}")
    return b"%08d\n%s" % (len(body), body)


def size_of(header: bytes, most: int) -> int:
    """Return how many bytes follow these nine."""
    if len(header) < HEADER:
        raise Malformed(f"the message ends after {len(header)} bytes of its header", SHORT)
    if not _SIZE.match(header):
        raise Malformed("the message does not begin with eight digits of length", MALFORMED)
    size = int(header[:8])
    if not 0 < size <= most:
        raise Malformed(f"a message of {size} bytes; it may have 1 to {most}", MALFORMED)
    return size


def open_up(payload: bytes, key: int | None) -> Opened:
    """Return what a payload says, once its checksum is right.

    What follows the first NUL is no part of it. Whether its time is near is the caller's to judge.
    """
    body = payload.split(b"\0", 1)[0]
    if key is None:
        if body.startswith(b"CK="):
            raise Malformed("the message is signed, and no key is configured here", CHECKSUM)
        return Opened(_text(body))
    found = _SIGNED.fullmatch(body)
    if found is None:
        raise Malformed("the message is not signed: it lacks CK, TS or DT at its place", CHECKSUM)
    given, signed, at, user, data = found.groups()
    if checksum(key, signed) != given.decode().lower():
        raise Malformed("the checksum is wrong: another key, or it was changed", CHECKSUM)
    return Opened(_text(data), int(at), _text(user or b""))


def check_time(at: int | None, now: float, window: float) -> None:
    """Raise unless a signed message was made within so many seconds of now."""
    if at is not None and abs(now - at) > window:
        far = f"{abs(now - at):.0f} s {'ago' if at < now else 'from now'}"
        raise Malformed(f"it was made {far}; the clocks may differ by {window:.0f} s", CLOCK)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

"""MessagePack for the few shapes that everyday commands and starters exchange.

Small and without imports, because loading a full library costs more than the message; its output
equals msgspec's byte for byte (tested), so the other side need not know who packed.
Source: the MessagePack specification.
"""

import struct

_DEPTH = 32


def pack(value: object) -> bytes:
    """Return the encoding of None, bool, int, float, str, bytes, list, tuple or dict."""
    out: list[bytes] = []
    _pack(value, out.append)
    return b"".join(out)


def _sized(size: int, small: int, limit: int, codes: tuple[int, int, int]) -> bytes:
    """Return the head of a value of this size; `codes` are for 1, 2 and 4 size bytes."""
    if size < limit:
        return bytes((small | size,))
    if codes[0] and size < 1 << 8:
        return bytes((codes[0], size))
    if size < 1 << 16:
        return struct.pack(">BH", codes[1], size)
    return struct.pack(">BI", codes[2], size)


def _pack(value: object, put) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    if value is None:
        put(b"\xc0")
    elif value is True:
        put(b"\xc3")
    elif value is False:
        put(b"\xc2")
    elif isinstance(value, int):
        put(_integer(value))
    elif isinstance(value, float):
        put(struct.pack(">Bd", 0xCB, value))
    elif isinstance(value, str):
        data = value.encode()
        put(_sized(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)))
        put(data)
    elif isinstance(value, bytes):
        put(_sized(len(value), 0, 0, (0xC4, 0xC5, 0xC6)))
        put(value)
    elif isinstance(value, list | tuple):
        put(_sized(len(value), 0x90, 16, (0, 0xDC, 0xDD)))
        for item in value:
            _pack(item, put)
    elif isinstance(value, dict):
        put(_sized(len(value), 0x80, 16, (0, 0xDE, 0xDF)))
        for key, item in value.items():
            _pack(key, put)
            _pack(item, put)
    else:
        msg = f"cannot pack {type(value).__name__}"
        raise TypeError(msg)


def _integer(value: int) -> bytes:
    if value >= 0:
        if value < 1 << 7:
            return bytes((value,))
        if value < 1 << 8:
            return bytes((0xCC, value))
        if value < 1 << 16:
            return struct.pack(">BH", 0xCD, value)
        if value < 1 << 32:
            return struct.pack(">BI", 0xCE, value)
        return struct.pack(">BQ", 0xCF, value)
    if value >= -32:
        return bytes((value & 0xFF,))
    if value >= -(1 << 7):
        return struct.pack(">Bb", 0xD0, value)
    if value >= -(1 << 15):
        return struct.pack(">Bh", 0xD1, value)
    if value >= -(1 << 31):
        return struct.pack(">Bi", 0xD2, value)
    return struct.pack(">Bq", 0xD3, value)


_FIXED = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}
_COUNTED = {
    0xC4: (">B", "bytes"), 0xC5: (">H", "bytes"), 0xC6: (">I", "bytes"),
    0xD9: (">B", "str"), 0xDA: (">H", "str"), 0xDB: (">I", "str"),
    0xDC: (">H", "list"), 0xDD: (">I", "list"), 0xDE: (">H", "dict"), 0xDF: (">I", "dict"),
}  # fmt: skip


def unpack(data: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN201 - any shape
    """Return the value; raise ValueError if the bytes are not exactly one value."""
    try:
        value, end = _unpack(data, 0, _DEPTH)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        msg = f"not a message: {error}"
        raise ValueError(msg) from None
    if end != len(data):
        msg = f"not a message: {len(data) - end} bytes too many"
        raise ValueError(msg)
    return value


def _unpack(data: bytes, at: int, depth: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    code = data[at]
    at += 1
    if code < 0x80:
        return code, at
    if code >= 0xE0:
        return code - 256, at
    if code < 0xC0:
        kind = "dict" if code < 0x90 else "list" if code < 0xA0 else "str"
        return _body(data, at, kind, code & (0x1F if kind == "str" else 0x0F), depth)
    if code in _PLAIN:
        return _PLAIN[code], at
    if code in _FIXED:
        form = _FIXED[code]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if code in _COUNTED:
        form, kind = _COUNTED[code]
        size = struct.unpack_from(form, data, at)[0]
        return _body(data, at + struct.calcsize(form), kind, size, depth)
    msg = f"not a message: byte {code:#x}"
    raise ValueError(msg)


def _body(data: bytes, at: int, kind: str, size: int, depth: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    if size > len(data) - at or not depth:
        msg = "not a message: too short or too deep"
        raise ValueError(msg)
    if kind == "bytes":
        return data[at : at + size], at + size
    if kind == "str":
        return data[at : at + size].decode(), at + size
    if kind == "list":
        items = []
        for _ in range(size):
            item, at = _unpack(data, at, depth - 1)
            items.append(item)
        return items, at
    pairs = {}
    for _ in range(size):
        key, at = _unpack(data, at, depth - 1)
        if not isinstance(key, str):
            msg = "not a message: a key is no text"
            raise ValueError(msg)
        pairs[key], at = _unpack(data, at, depth - 1)
    return pairs, at

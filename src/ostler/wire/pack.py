"""MessagePack for the few shapes that everyday commands and starters exchange.

Small and without imports, because loading a full library costs more than the message; its output
equals msgspec's byte for byte (tested), so the other side need not know who packed.
Source: the MessagePack specification.
"""

import _struct as struct  # `struct` itself is one more module

_DEPTH = 32
_BYTES = [bytes((code,)) for code in range(256)]


def pack(value: object) -> bytes:
    """Return the encoding of None, bool, int, float, str, bytes, list, tuple or dict."""
    out: list[bytes] = []
    _pack(value, out.append)
    return b"".join(out)


def _sized(size: int, small: int, limit: int, codes: tuple[int, int, int]) -> bytes:
    """Return the head of a value of this size; `codes` are for 1, 2 and 4 size bytes."""
    if size < limit:
        return _BYTES[small | size]
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
    elif isinstance(value, str):
        _pack_text(value, put)
    elif isinstance(value, int):
        put(_BYTES[value] if 0 <= value < 1 << 7 else _integer(value))
    elif isinstance(value, float):
        put(struct.pack(">Bd", 0xCB, value))
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
            if isinstance(key, str):
                _pack_text(key, put)
            else:
                _pack(key, put)
            _pack(item, put)
    else:
        msg = f"cannot pack {type(value).__name__}"
        raise TypeError(msg)


def _pack_text(value: str, put) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    data = value.encode()
    size = len(data)
    put(_BYTES[0xA0 | size] if size < 32 else _sized(size, 0xA0, 32, (0xD9, 0xDA, 0xDB)))
    put(data)


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
    code: struct.Struct(f">{form}")
    for code, form in zip(range(0xCA, 0xD4), "fdBHIQbhiq", strict=True)
}
_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}
_SIZES = [struct.Struct(f">{form}") for form in "BHI"]
_COUNTED = {
    0xC4: (_SIZES[0], "bytes"), 0xC5: (_SIZES[1], "bytes"), 0xC6: (_SIZES[2], "bytes"),
    0xD9: (_SIZES[0], "str"), 0xDA: (_SIZES[1], "str"), 0xDB: (_SIZES[2], "str"),
    0xDC: (_SIZES[1], "list"), 0xDD: (_SIZES[2], "list"),
    0xDE: (_SIZES[1], "dict"), 0xDF: (_SIZES[2], "dict"),
}  # fmt: skip


def unpack(data: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN201 - any shape
    """Return the value; raise ValueError if the bytes are not exactly one value."""
    try:
        value, end = _unpack(data, 0, _DEPTH)
    except (IndexError, struct.error, UnicodeDecodeError) as error:  # type: ignore[attr-defined]
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
    if 0xA0 <= code < 0xC0 and depth:  # a short text, as most is
        end = at + code - 0xA0
        if end <= len(data):
            return data[at:end].decode(), end
    if code >= 0xE0:
        return code - 256, at
    if code >= 0xC0:
        if code in _PLAIN:
            return _PLAIN[code], at
        if code in _FIXED:
            form = _FIXED[code]
            return form.unpack_from(data, at)[0], at + form.size
        if code not in _COUNTED:
            msg = f"not a message: byte {code:#x}"
            raise ValueError(msg)
        form, kind = _COUNTED[code]
        size = form.unpack_from(data, at)[0]
        at += form.size
    elif code >= 0xA0:
        kind, size = "str", code & 0x1F
    else:
        kind, size = "list" if code >= 0x90 else "dict", code & 0x0F
    end = at + size
    if end > len(data) or not depth:
        msg = "not a message: too short or too deep"
        raise ValueError(msg)
    if kind == "str":
        return data[at:end].decode(), end
    if kind == "bytes":
        return data[at:end], end
    if kind == "dict":
        return _unpack_map(data, at, size, depth - 1)
    return _unpack_list(data, at, size, depth - 1)


def _unpack_list(data: bytes, at: int, size: int, depth: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    items: list[object] = []
    for _ in range(size):
        code = data[at]
        end = at + 1 + (code & 0x1F)
        if 0xA0 <= code < 0xC0 and end <= len(data) and depth:  # as most of what is long
            items.append(data[at + 1 : end].decode())
            at = end
        elif code < 0x80:
            items.append(code)
            at += 1
        else:
            item, at = _unpack(data, at, depth)
            items.append(item)
    return items, at


def _unpack_map(data: bytes, at: int, size: int, depth: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    pairs: dict[str, object] = {}
    for _ in range(size):
        code = data[at]
        end = at + 1 + (code & 0x1F)
        if 0xA0 <= code < 0xC0 and end < len(data):  # as nearly every key is
            key, at = data[at + 1 : end].decode(), end
        else:
            key, at = _unpack(data, at, depth)
            if not isinstance(key, str):
                msg = "not a message: a key is no text"
                raise ValueError(msg)
        code = data[at]
        if code < 0x80:
            pairs[key] = code
            at += 1
        elif code in _PLAIN:
            pairs[key] = _PLAIN[code]
            at += 1
        else:
            pairs[key], at = _unpack(data, at, depth)
    return pairs, at

"""Names of output files. Imports nothing: the starter and everyday commands use it."""

DEFAULT_SINGLE = b"ostler-%j.out"
DEFAULT_ARRAY = b"ostler-%j_%a.out"
NULL = b"/dev/null"
LETTERS = "jatnux%"  # what may stand behind a %


def expand(pattern: bytes, values: dict[str, str]) -> bytes:
    """Replace %j %a %t %n %u %x by `values` (keys j a t n u x) and %% by %; leave others alone.

    What else stands behind a % has been refused at submission, see `unknown`.

    >>> expand(b"%x-%j_%a.out", {"x": "fit", "j": "12", "a": "3"})
    b'fit-12_3.out'
    """
    if b"%" not in pattern:
        return pattern
    out = bytearray()
    at = 0
    while at < len(pattern):
        letter = pattern[at + 1 : at + 2].decode("latin-1")
        if pattern[at] == ord("%") and (letter == "%" or letter in values):
            out += b"%" if letter == "%" else values[letter].encode()
            at += 2
        else:
            out.append(pattern[at])
            at += 1
    return bytes(out)


def unknown(pattern: bytes) -> str:
    """Return the first % with what stands behind it that means nothing; "" if there is none.

    >>> unknown(b"100%%-%j.out"), unknown(b"%j-%r.out"), unknown(b"100%")
    ('', '%r', '%')
    """
    behind = iter(pattern.split(b"%")[1:])
    for part in behind:
        letter = part[:4].decode(errors="replace")[:1]
        if not letter:  # two of them, or one at the end
            if next(behind, None) is None:
                return "%"
        elif letter not in LETTERS:
            return f"%{letter}"
    return ""


def output_path(pattern: bytes, cwd: bytes, values: dict[str, str], *, array: bool) -> bytes:
    """Return the absolute path of an output file; an empty pattern means the default one."""
    pattern = pattern or (DEFAULT_ARRAY if array else DEFAULT_SINGLE)
    name = expand(pattern, values)
    return name if name.startswith(b"/") else cwd.rstrip(b"/") + b"/" + name

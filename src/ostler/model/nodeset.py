"""Lists of nodes as people write them: `n1,n3`, `n[01-03,7]`. Imports what everyday commands may."""

from ostler.model.errors import UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 100_000  # nodes of one pair of brackets: more than there can be
_AS_IN = "as in n1,n3 or n[01-03,7]"
_SENTENCE = 64  # letters of names that a sentence has room for


def unfold(text: str) -> list[str]:
    """Return the names of `n1,n3` or `n[01-03,7]`: only brackets make ranges, padding is kept.

    Raises `UsageError`.

    >>> unfold("n[09-11],m1")
    ['n09', 'n10', 'n11', 'm1']
    """
    from ostler.model.ranges import parse_ranges

    found: list[str] = []
    for part in outside_brackets(text):
        head, bracket, rest = part.partition("[")
        if not bracket:
            found.append(part)
            continue
        inside, closing, tail = rest.partition("]")
        if not closing or "[" in tail:
            raise UsageError(f"{text!r} is not a list of nodes", expected=_AS_IN)
        for span in inside.split(","):
            try:
                (low, high), *_ = parse_ranges(span)
            except ValueError as error:
                raise UsageError(f"{text!r}: {error}") from None
            pad = len(span.partition("-")[0])
            if high - low > _MOST or len(found) > _MOST:
                raise UsageError(f"{text!r} names too many nodes")
            found += [f"{head}{n:0{pad}d}{tail}" for n in range(low, high + 1)]
    if not all(found):
        raise UsageError(f"{text!r} is not a list of nodes", expected=_AS_IN)
    return found


def outside_brackets(text: str) -> list[str]:
    """Return the parts between commas, but for commas in brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def fold(names: "Iterable[str]") -> str:
    """Return names in brackets where the last number alone tells them apart; in their order.

    >>> fold(["n01", "n02", "n03", "n10", "m"])
    'n[01-03,10],m'
    """
    split = [(name, name.rstrip("0123456789")) for name in names]
    padded = {
        (head, len(name) - len(head)) for name, head in split if name[len(head) :].startswith("0")
    }
    groups: dict[tuple[str, int], list[int]] = {}  # what stands before the number, its width
    for name, head in split:
        digits = name[len(head) :]
        width = len(digits) if (head, len(digits)) in padded else 1
        key = (head, width) if digits and "[" not in name else (name, 0)
        groups.setdefault(key, []).append(int(digits or 0))
    return ",".join(_group(head, width, numbers) for (head, width), numbers in groups.items())


def in_short(names: "Iterable[str]") -> str:
    """Return names for a sentence: as `fold` does, or how many and the first where they are long.

    >>> in_short(f"n{number}" for number in range(100, 1100, 2))
    '500 nodes (n[100,102,104,106,108,110,112,114,116,118,120,122,124,126,128,...])'
    """
    names = list(names)
    if len(text := fold(names)) <= _SENTENCE:
        return text
    first = text[:_SENTENCE].rpartition(",")[0]
    closing = "]" if first.rfind("[") > first.rfind("]") else ""
    return f"{len(names):,} nodes ({first},...{closing})"


def _group(head: str, width: int, numbers: list[int]) -> str:
    if not width:
        return head
    spans: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    if len(spans) == 1 and spans[0][0] == spans[0][1]:
        return f"{head}{spans[0][0]:0{width}d}"
    inside = ",".join(
        f"{low:0{width}d}" if low == high else f"{low:0{width}d}-{high:0{width}d}"
        for low, high in spans
    )
    return f"{head}[{inside}]"

"""Sets of whole numbers kept as ranges: `0-99`, `1,3,5-9`, `0-20:5`. Imports nothing."""

MAX_MEMBERS = 10_000_000
MAX_RANGES = 1_000_000


def parse_ranges(text: str, most: int = MAX_RANGES) -> list[tuple[int, int]]:
    """Return sorted, disjoint, inclusive ranges; raise ValueError with a sentence.

    most: ranges, as each costs memory; where there is a step every member is one.

    >>> parse_ranges("5-9,1,2")
    [(1, 2), (5, 9)]
    """
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        span, _, step_text = part.strip().partition(":")
        low, dash, high = span.partition("-")
        numbers = [low, high] if dash else [low]
        if step_text:
            numbers.append(step_text)
        if not all(n.isascii() and n.isdigit() for n in numbers) or len(span) > 40:
            msg = f"{text!r} is not a set of numbers; write it as 0-99 or 1,3,5-9 or 0-20:5"
            raise ValueError(msg)
        first, last, step = int(low), int(high or low), int(step_text or 1)
        if last < first or step < 1:
            msg = f"{part.strip()!r} is empty; the first number must not exceed the last"
            raise ValueError(msg)
        if last >= MAX_MEMBERS:
            msg = f"{part.strip()!r} is too large; the highest number is {MAX_MEMBERS - 1}"
            raise ValueError(msg)
        if step == 1:
            found.append((first, last))
        else:
            members = range(first, last + 1, step)
            if len(found) + len(members) > most:
                msg = f"{part.strip()!r} has too many members; the most with a step: {most}"
                raise ValueError(msg)
            found += [(n, n) for n in members]
    return normalise(found)


def normalise(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same members as sorted, disjoint ranges."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def without(spans: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of sorted, disjoint ranges is in none of the others, which are so, too."""
    left: list[tuple[int, int]] = []
    at = 0
    for low, high in spans:
        while at < len(others) and others[at][1] < low:
            at += 1
        begin, next_one = low, at
        while next_one < len(others) and others[next_one][0] <= high:
            if others[next_one][0] > begin:
                left.append((begin, others[next_one][0] - 1))
            begin = others[next_one][1] + 1
            next_one += 1
        if begin <= high:
            left.append((begin, high))
    return left


def format_ranges(spans: list[tuple[int, int]]) -> str:
    """Return `1-2,5-9`."""
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


class RangeSet:
    """A mutable set of whole numbers; members that follow one another cost nothing."""

    __slots__ = ("spans",)

    def __init__(self, spans: list[tuple[int, int]] | None = None) -> None:
        self.spans = normalise(list(spans or []))

    def __contains__(self, number: int) -> bool:
        at = self._find(number)
        return at < len(self.spans) and self.spans[at][0] <= number

    def __len__(self) -> int:
        return sum(b - a + 1 for a, b in self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 - typing is not loaded here
        for low, high in self.spans:
            yield from range(low, high + 1)

    def first(self) -> int | None:
        """Return the least member."""
        return self.spans[0][0] if self.spans else None

    def between(self, low: int, high: int) -> int:
        """Return how many members are from `low` to `high`. Cost: the number of ranges there."""
        count = 0
        for at in range(self._find(low), len(self.spans)):
            first, last = self.spans[at]
            if first > high:
                break
            count += min(last, high) - max(first, low) + 1
        return count

    def add(self, number: int) -> None:
        """Put a number in; nothing happens if it is there. Cost: the number of ranges."""
        at = self._find(number)
        if at < len(self.spans) and self.spans[at][0] <= number:
            return
        joins_left = at > 0 and self.spans[at - 1][1] == number - 1
        joins_right = at < len(self.spans) and self.spans[at][0] == number + 1
        low = self.spans[at - 1][0] if joins_left else number
        high = self.spans[at][1] if joins_right else number
        self.spans[at - joins_left : at + joins_right] = [(low, high)]

    def discard(self, number: int) -> None:
        """Take a number out; nothing happens if it is not there."""
        at = self._find(number)
        if at == len(self.spans) or self.spans[at][0] > number:
            return
        low, high = self.spans[at]
        parts = [(low, number - 1), (number + 1, high)]
        self.spans[at : at + 1] = [(a, b) for a, b in parts if a <= b]

    def take(self, count: int) -> list[tuple[int, int]]:
        """Take the least members out, at most so many, and return them as ranges."""
        taken: list[tuple[int, int]] = []
        at = 0
        while count > 0 and at < len(self.spans):
            low, high = self.spans[at]
            last = min(high, low + count - 1)
            taken.append((low, last))
            count -= last - low + 1
            if last < high:
                self.spans[at] = (last + 1, high)
                break
            at += 1
        del self.spans[:at]
        return taken

    def from_on(self, number: int) -> int | None:
        """Return the least member that is not less than `number`; None: there is none."""
        at = self._find(number)
        return max(number, self.spans[at][0]) if at < len(self.spans) else None

    def last_beside(self, number: int) -> int | None:
        """Return the last of the members that follow one without a gap; None: it is none."""
        at = self._find(number)
        if at < len(self.spans) and self.spans[at][0] <= number:
            return self.spans[at][1]
        return None

    def first_of(self, other: "RangeSet") -> int | None:
        """Return the least member that is in the other set, too. Cost: by the ranges before it."""
        number: int | None = 0
        while number is not None:
            if (number := self.from_on(number)) is None:
                break
            there = other.from_on(number)
            if there == number:
                return number
            number = there
        return None

    def common(self, spans: list[tuple[int, int]]) -> list[int]:
        """Return the members that are in these ranges too, however far those go."""
        found: list[int] = []
        for low, high in spans:
            for at in range(self._find(low), len(self.spans)):
                first, last = self.spans[at]
                if first > high:
                    break
                found += range(max(first, low), min(last, high) + 1)
        return found

    def _find(self, number: int) -> int:
        """Return the index of the first range that ends at or after `number`."""
        low, high = 0, len(self.spans)
        while low < high:
            middle = (low + high) // 2
            if self.spans[middle][1] < number:
                low = middle + 1
            else:
                high = middle
        return low

"""Which request ids may be in the database: it spares nearly every new submission a look.

Source: B. H. Bloom, Space/Time Trade-offs in Hash Coding with Allowable Errors, CACM 13(7), 1970.
"""

from collections.abc import Hashable, Iterable

_LEAST = 1 << 23  # bits, 1 MiB
_EACH = 16  # bits for each key at the start: of those that it never saw one in 400 seems known
_PROBES = 4


class Sketch:
    """A set that forgets nothing, and takes a few for its members that are none.

    The more is added beyond what it was made for, the more are taken wrongly.
    """

    __slots__ = ("_bits", "_mask")

    def __init__(self, keys: Iterable[Hashable], count: int) -> None:
        """Hold these keys. count: how many they are, roughly."""
        bits = max(_LEAST, 1 << (_EACH * count).bit_length())
        self._bits = bytearray(bits // 8)
        self._mask = bits - 1
        for key in keys:
            self.add(key)

    def add(self, key: Hashable) -> None:
        """Put a key in."""
        bits, mask = self._bits, self._mask
        place = hash(key)
        step = (place >> 32) | 1
        for _ in range(_PROBES):
            bits[(place & mask) >> 3] |= 1 << (place & 7)
            place += step

    def __contains__(self, key: Hashable) -> bool:
        """Say whether the key may be in; False is certain."""
        bits, mask = self._bits, self._mask
        place = hash(key)
        step = (place >> 32) | 1
        for _ in range(_PROBES):
            if not bits[(place & mask) >> 3] >> (place & 7) & 1:
                return False
            place += step
        return True

"""Hostile values for the records of the wire: mostly of the right shape, with fields that lie.

From the types themselves, so a new message or field is fuzzed from its first day.
"""

import datetime as dt
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.msgpack import Ext

Value = st.SearchStrategy[Any]

# What MessagePack can hold and no sender of ours would pack.
RAW = st.sampled_from(
    [
        Raw(b"\xa3\xed\xa0\x80"),  # text that holds half a surrogate
        Raw(b"\xa2\xff\xfe"),  # text that is no UTF-8
        Raw(b"\x91" * 400 + b"\xc0"),  # deep
        Raw(b"\x91" * 20_000 + b"\xc0"),  # deeper than any stack
        Raw(b"\x82\xa2id\x01\xa2id\x02"),  # one key twice
        Raw(b"\x81\xc0\x01"),  # a key that is no text
        Raw(b"\xdd\xff\xff\xff\xff"),  # a list of 4,294,967,295 that are not there
        Raw(b"\xdf\x7f\xff\xff\xff"),  # a map likewise
        Raw(b"\xc6\xff\xff\xff\xff"),  # bytes likewise
        Raw(b"\xc1"),  # never used
        Raw(b""),  # nothing where a value should be
    ]
)
NUMBERS = [0, 1, -1, 2, 7, 63, 64, 65, 255, 1000, 65_536, 2**31 - 1, 2**31, 2**32, 2**53, 2**62]
NUMBERS += [2**63 - 1, 2**64 - 1, -(2**31), -(2**63)]
INTEGERS = st.sampled_from(NUMBERS) | st.integers(-3, 70)
FLOATS = st.sampled_from([0.0, -0.0, 1.5, -1.0, 1e9, 1e300, -1e300, float("inf"), float("nan")])
TEXTS = st.sampled_from(
    ["", "a", "1", "main", "\0", "\x1b[2J", "é" * 300, "x" * 70_000, "../..", "-1", "%s%n", "٣"]
) | st.text(max_size=6)
BYTES = st.sampled_from([b"", b"\0", b"x", b"\xff\xfe", b"A=1\0", b"A" * 70_000, b"%j%a%x%"])
ANY: Value = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS | BYTES | RAW | st.just(Ext(5, b"x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

_PLAIN: dict[object, Value] = {
    int: INTEGERS,
    float: FLOATS | INTEGERS,
    bool: st.booleans(),
    str: TEXTS,
    bytes: BYTES,
    type(None): st.none(),
    dt.datetime: ANY,
}
MANY = (300, 2_001, 40_000)  # of one thing
FEW = 4  # optional fields of one record
MOST = 4 << 20  # bytes that many of one thing may take


class Fields:
    """Makes strategies of records; `known` has values that lead deeper than chance would.

    known: field name -> strategy of what it usually holds, whatever the record.
    """

    def __init__(self, known: Mapping[str, Value]) -> None:
        self._known = known

    def record(self, kind: type[msgspec.Struct], **fixed: Value) -> Value:
        """Return a strategy of maps (or lists, for array-like ones) as a sender packs `kind`."""
        config = kind.__struct_config__
        fields = msgspec.structs.fields(kind)
        values = [
            fixed.get(field.encode_name, self._field(field.encode_name, field.type))
            for field in fields
        ]
        if config.array_like:
            return st.tuples(*values).map(list) | st.lists(ANY, max_size=len(values))
        named = {f.encode_name: v for f, v in zip(fields, values, strict=True)}
        needed = {f.encode_name: named[f.encode_name] for f in fields if f.required} | fixed
        if config.tag is not None:
            needed[config.tag_field or "type"] = st.just(config.tag)
        more = {name: value for name, value in named.items() if name not in needed}
        if not more:
            return st.fixed_dictionaries(needed)
        # A few lies at once: with more of them none but the first would ever be looked at.
        chosen = st.lists(st.sampled_from(sorted(more)), max_size=FEW, unique=True)
        return chosen.flatmap(
            lambda names: st.fixed_dictionaries(needed | {name: more[name] for name in names})
        )

    def _field(self, name: str, kind: Any) -> Value:
        usual = self._known.get(name)
        shaped = self.of(kind) if usual is None else usual | usual | self.of(kind)
        # One field in twenty is not even of its kind.
        return st.integers(0, 19).flatmap(lambda n: shaped if n else ANY)

    def of(self, kind: Any) -> Value:
        """Return a strategy of values of a type, hostile within it."""
        if kind in _PLAIN:
            return _PLAIN[kind]
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Annotated:
            return self.of(inner[0])
        if origin in (typing.Union, types.UnionType):
            return st.one_of([self.of(one) for one in inner])
        if origin in (list, tuple):
            return self._sequence(inner)
        if origin is dict:
            return st.dictionaries(self.of(inner[0]), self.of(inner[1]), max_size=3)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return st.deferred(lambda: self.record(kind))
        return ANY

    def _sequence(self, inner: Sequence[Any]) -> Value:
        if inner and inner[-1] is not Ellipsis and len(inner) > 1:
            return st.tuples(*[self.of(one) for one in inner]).map(list)
        one = self.of(inner[0]) if inner else ANY
        many = st.builds(_repeated, one, st.sampled_from(MANY))
        few = st.lists(one, max_size=3)
        return few | few | few | many


def _repeated(value: object, count: int) -> list[object]:
    size = len(msgspec.msgpack.encode(value)) + 1
    return [value] * min(count, max(1, MOST // size))

"""What the nodes of a job must be like: an expression over their features, as in `a100&!old`.

    constraint = terms {"|" terms}
    terms      = term {"&" term}
    term       = plain ["*" number] | "[" counted {"&" counted} "]"
    plain      = feature | "!" plain | "(" constraint ")"

`!` binds closer than `&`, and `&` closer than `|`. A count stands outside of parentheses and beside
no `|`: `rack1*2&rack2*1` asks for two nodes with the one and another with the other feature, and
brackets around that, as Slurm writes them, mean the same. A node counts for one group alone.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Never

from msgspec import Struct

from ostler.model.errors import UsageError
from ostler.model.features import in_feature, is_feature
from ostler.model.limits import (
    MAX_CONSTRAINT,
    MAX_GROUPS,
    MAX_NESTED,
    MAX_TASKS,
)


class Feature(Struct, frozen=True):
    """Nodes with this feature."""

    name: str


class Not(Struct, frozen=True):
    """All other nodes."""

    of: "Expr"


class All(Struct, frozen=True):
    """Nodes for which each of these holds."""

    of: "tuple[Expr, ...]"


class Any(Struct, frozen=True):
    """Nodes for which at least one of these holds."""

    of: "tuple[Expr, ...]"


Expr = Feature | Not | All | Any


class Group(Struct, frozen=True):
    """So many nodes of this kind are wanted, each counted for this group alone."""

    of: Expr
    count: int


class Constraint(Struct, frozen=True):
    """What each node must be like, and how many of which kind there must be among them."""

    every: Expr | None = None
    groups: tuple[Group, ...] = ()

    @property
    def text(self) -> str:
        """Return it as it can be typed; constraints that differ in writing only have one text."""
        terms = [_text(self.every, tight=bool(self.groups))] if self.every is not None else []
        terms += [f"{_text(group.of, tight=True)}*{group.count}" for group in self.groups]
        return "&".join(terms)

    @property
    def nodes(self) -> int:
        """Return how many nodes its groups name together."""
        return sum(group.count for group in self.groups)

    @property
    def needed(self) -> list[str]:
        """Return the features without which a node is none of these, as far as that is plain."""
        several = self.every.of if isinstance(self.every, All) else (self.every,)
        return [one.name for one in several if isinstance(one, Feature)]

    def matches(self, features: Collection[str]) -> bool:
        """Say whether a node with these features may be used at all; groups are not looked at."""
        return self.every is None or holds(self.every, features)

    def member(self, features: Collection[str]) -> int:
        """Return the groups for which a node with these features counts: bit i for group i."""
        found = 0
        for at, group in enumerate(self.groups):
            if holds(group.of, features):
                found |= 1 << at
        return found


ANYWHERE = Constraint()


def holds(expr: Expr, features: Collection[str]) -> bool:
    """Say whether the expression is true of a node with these features."""
    match expr:
        case Feature(name):
            return name in features
        case Not(of):
            return not holds(of, features)
        case All(several):
            return all(holds(one, features) for one in several)
        case Any(several):
            return any(holds(one, features) for one in several)


_ADDED = 4_096  # characters: what the core adds to a constraint, to keep a job where it is
_AROUND = 2  # parentheses and ! that come around it with that


def typed(text: str) -> Constraint:
    """Return the constraint that somebody asks for; raise `UsageError` if it makes no sense."""
    if len(text) > MAX_CONSTRAINT:
        raise UsageError(
            f"the constraint is too long: {len(text)} characters",
            expected=f"most: {MAX_CONSTRAINT}",
        )
    return _Reader(text, MAX_NESTED).whole() if text else ANYWHERE


@lru_cache(maxsize=4096)
def parse(text: str) -> Constraint:
    """Return the constraint of a text; an empty one means any node. Raises `UsageError`.

    It may be one that was asked for with what was added since: its bounds are so much wider.

    >>> parse("b & (a)").text, parse("[rack1*2&rack2*1]").text
    ('a&b', 'rack1*2&rack2*1')
    """
    if not text:
        return ANYWHERE
    if len(text) > MAX_CONSTRAINT + _ADDED:
        raise UsageError(f"the constraint is too long: {len(text)} characters")
    return _Reader(text, MAX_NESTED + _AROUND).whole()


def _all(exprs: Iterable[Expr]) -> Expr:
    return _joined(All, exprs)


def _any(exprs: Iterable[Expr]) -> Expr:
    return _joined(Any, exprs)


def _joined(kind: type[All | Any], exprs: Iterable[Expr]) -> Expr:
    """Return them joined: nested ones of the kind taken apart, each once, in order of text."""
    flat: list[Expr] = []
    for expr in exprs:
        flat += expr.of if isinstance(expr, All | Any) and isinstance(expr, kind) else [expr]
    several = tuple({_text(expr): expr for expr in sorted(flat, key=_text)}.values())
    return several[0] if len(several) == 1 else kind(several)


def _text(expr: Expr, *, tight: bool = False) -> str:
    """Return the expression; tight: in parentheses where something that binds closer is beside."""
    if isinstance(expr, Feature):
        return expr.name
    if isinstance(expr, Not):
        return f"!{_text(expr.of, tight=True)}"
    inside = [_text(one, tight=isinstance(expr, All)) for one in expr.of]
    text = ("&" if isinstance(expr, All) else "|").join(inside)
    return f"({text})" if tight else text


class _Terms(Struct):
    """What `&` joins: plain ones, and those with a count."""

    plain: list[Expr]
    groups: list[Group]


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, nested: int) -> None:
        self._text = text
        self._nested = nested  # parentheses and ! in one another, at most
        self._at = 0
        self._deep = 0  # parentheses and ! around what is read
        self._bracketed = False

    def whole(self) -> Constraint:
        found = self._either()
        if self._next():
            self._wrong("&, | or the end")
        counts: dict[str, Group] = {}
        for group in sorted(found.groups, key=lambda group: _text(group.of)):
            more = counts.get(key := _text(group.of))
            counts[key] = Group(group.of, group.count + (more.count if more else 0))
        groups = tuple(counts.values())
        if len(groups) > MAX_GROUPS:
            raise UsageError(
                f"the constraint counts {len(groups)} groups of nodes",
                expected=f"most: {MAX_GROUPS}",
            )
        return Constraint(_all(found.plain) if found.plain else None, groups)

    def _either(self) -> _Terms:
        found = [self._terms()]
        while self._next() == "|":
            if any(terms.groups for terms in found):
                self._wrong("& beside a count, as in rack1*2&rack2*1")
            self._at += 1
            at = self._at
            found.append(self._terms())
            if found[-1].groups:
                self._at = at - 1
                self._wrong("& beside a count, as in rack1*2&rack2*1")
        if len(found) == 1:
            return found[0]
        return _Terms([_any(_all(terms.plain) for terms in found)], [])

    def _terms(self) -> _Terms:
        found = _Terms([], [])
        while True:
            if self._next() == "[" and not self._deep and not self._bracketed:
                found.groups += self._brackets()
            else:
                one = self._plain()
                if self._next() == "*" and not self._deep:
                    self._at += 1
                    found.groups.append(Group(one, self._count()))
                else:
                    found.plain.append(one)
            if self._next() != "&":
                return found
            self._at += 1

    def _brackets(self) -> list[Group]:
        self._at += 1
        self._bracketed = True
        inside = self._either()
        self._bracketed = False
        if inside.plain:
            self._wrong("a count behind each term in [ ], as in [rack1*2&rack2*1]")
        if self._next() != "]":
            self._wrong("]")
        self._at += 1
        return inside.groups

    def _plain(self) -> Expr:
        char = self._next()
        if char == "!":
            self._at += 1
            self._deeper()
            of = self._plain()
            self._deep -= 1
            return of.of if isinstance(of, Not) else Not(of)
        if char == "(":
            self._at += 1
            self._deeper()
            inside = self._either()
            self._deep -= 1
            if self._next() != ")":
                self._wrong("&, | or )")
            self._at += 1
            return _all(inside.plain)
        start = self._at
        while self._at < len(self._text) and in_feature(self._text[self._at]):
            self._at += 1
        name = self._text[start : self._at]
        if not is_feature(name):
            self._at = start
            self._wrong("the name of a feature, ! or (")
        return Feature(name)

    def _count(self) -> int:
        self._next()
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in "0123456789":
            self._at += 1
        digits = self._text[start : self._at]
        if not 0 < len(digits) < 8 or not 0 < int(digits) <= MAX_TASKS:
            self._at = start
            self._wrong(f"a number of nodes from 1 to {MAX_TASKS}")
        return int(digits)

    def _deeper(self) -> None:
        self._deep += 1
        if self._deep > self._nested:
            self._wrong(f"at most {self._nested} parentheses and ! in one another")

    def _next(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        while self._at < len(self._text) and self._text[self._at] == " ":
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _wrong(self, expected: str) -> Never:
        char = self._next()
        there = f"has {char!r} at character {self._at + 1}" if char else "ends too early"
        raise UsageError(f"the constraint {self._text!r} {there}", expected=f"expected: {expected}")

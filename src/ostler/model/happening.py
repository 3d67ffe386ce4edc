"""Events as people name them: CLASS/TYPE and an object, and patterns that some of them match.

The kind of an event is its class, and mostly a type behind a `/`: `node/status`. After RMS: a pattern
matches when class, type and object each match or are empty.
"""

import re
from fnmatch import fnmatchcase

from msgspec import Struct

from ostler.model.bounded import Name
from ostler.model.errors import UsageError
from ostler.model.event_kinds import split_kind
from ostler.model.ids import job_name
from ostler.model.limits import MAX_NAME
from ostler.model.record import Event

_CLASS = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_WILD = frozenset("*?[")


def parse_kind(text: str) -> str:
    """Return a kind, CLASS/TYPE, of which both are given; raise `UsageError`.

    >>> parse_kind("node/status")
    'node/status'
    """
    of_class, slash, of_type = text.partition("/")
    if not (slash and _CLASS.fullmatch(of_class) and _TYPE.fullmatch(of_type)):
        raise UsageError(
            f"{text[:100]!r} is no kind of event",
            expected="CLASS/TYPE in small letters, digits and _, as in user/backup",
        )
    return text


def object_of(event: Event) -> str:
    """Return what an event is about: a job or element, a node, or what it names; may be empty."""
    if event.job is not None:
        name = job_name(event.job)
        return name if event.element is None else f"{name}_{event.element}"
    return event.node or event.object or ""


class Pattern(Struct, frozen=True, omit_defaults=True):
    """Which events are meant. Empty parts match anything; * and ? in object and text any signs."""

    of_class: Name = ""
    of_type: Name = ""
    object: Name = ""  # an array is meant with its elements
    text: Name = ""  # without * and ?: the sentence has it in it

    def matches(self, event: Event) -> bool:
        """Say whether this event is meant."""
        of_class, of_type = split_kind(event.kind)
        return (
            (not self.of_class or self.of_class == of_class)
            and (not self.of_type or self.of_type == of_type)
            and (not self.object or self._about(event))
            and (not self.text or self._says(event.text))
        )

    def _about(self, event: Event) -> bool:
        if event.job is not None and self.object == job_name(event.job):
            return True
        return fnmatchcase(object_of(event), self.object)

    def _says(self, text: str) -> bool:
        return fnmatchcase(text, self.text) if _WILD.intersection(self.text) else self.text in text


def parse_pattern(kind: str, about: str = "", text: str = "") -> Pattern:
    """Return the pattern for CLASS, CLASS/TYPE or /TYPE; raise `UsageError`.

    >>> parse_pattern("node/status", "n*")
    Pattern(of_class='node', of_type='status', object='n*')
    """
    of_class, _, of_type = kind.partition("/")
    for part, form in ((of_class, _CLASS), (of_type, _TYPE)):
        if part and not form.fullmatch(part):
            raise UsageError(
                f"{kind[:100]!r} matches no event",
                expected="CLASS or CLASS/TYPE, as in node/status",
            )
    for what, value in (("an object", about), ("a text", text)):
        if len(value) > MAX_NAME:
            raise UsageError(
                f"{what} to match has {len(value)} characters", expected=f"most: {MAX_NAME}"
            )
    return Pattern(of_class, of_type, about, text)

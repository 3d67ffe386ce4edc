"""Everything that can go wrong and that a person or program may have to act on.

    OstlerError
    ├── UsageError      2  what was typed or sent does not make sense
    ├── Refused         3  it makes sense, but may not or can never be
    ├── Missing         4  no such object
    ├── NotNow          5  not at present, or the other side does not answer
    ├── Unsupported     6  this driver or host cannot do it
    ├── IllegalEvent    1  a defect: an event met a state in which it cannot happen
    └── StaleEpoch      5  the role was taken over by another manager

The number is the exit status of the command line; `code` is the stable name in JSON.
"""

TYPE_CHECKING = False  # as in typing: everyday commands load this module, but not that one
if TYPE_CHECKING:
    from collections.abc import Sequence


class OstlerError(Exception):
    """An error with what happened, what was expected, and what to do."""

    code = "error"
    exit_status = 1

    def __init__(self, message: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        """Return the one line that a person reads."""
        expected = f" ({self.expected})" if self.expected else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.message}{expected}{hint}"


class UsageError(OstlerError):
    """What was typed or sent does not make sense."""

    code = "usage"
    exit_status = 2


class Refused(OstlerError):
    """It makes sense, but access, a limit or the machine's size forbids it."""

    code = "refused"
    exit_status = 3


class Missing(OstlerError):
    """No such job, node or setting."""

    code = "missing"
    exit_status = 4


class NotNow(OstlerError):
    """Not possible at present; the same request may succeed later."""

    code = "not_now"
    exit_status = 5


class Unsupported(OstlerError):
    """This host or driver has no means for it."""

    code = "unsupported"
    exit_status = 6


class StaleEpoch(OstlerError):
    """Another manager has taken the role; what this one writes or orders no longer counts."""

    code = "stale_epoch"
    exit_status = 5


class IllegalEvent(OstlerError):
    """A defect: an event that cannot happen in the object's state. Carries the object's story."""

    code = "illegal_event"

    def __init__(
        self, kind: str, ident: object, state: str, event: str, story: "Sequence[str]" = ()
    ):
        super().__init__(f"{kind} {ident} is {state} and got {event}")
        self.story = tuple(story)


KINDS: dict[str, type[OstlerError]] = {
    kind.code: kind
    for kind in (UsageError, Refused, Missing, NotNow, Unsupported, StaleEpoch, OstlerError)
}


def from_parts(code: str, message: str, expected: str = "", hint: str = "") -> OstlerError:
    """Rebuild an error that came over the wire."""
    return KINDS.get(code, OstlerError)(message, expected=expected, hint=hint)

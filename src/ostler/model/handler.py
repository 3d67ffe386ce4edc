"""What must hold of a handler."""

import shlex

from ostler.model.errand import BY_HAND, CHANNELS
from ostler.model.errors import UsageError
from ostler.model.event_kinds import check_kind
from ostler.model.happening import parse_pattern
from ostler.model.site import Handler


def check_handler(handler: Handler) -> None:
    """Raise `UsageError` for a name, a pattern, a time or a command that cannot be."""
    name = handler.name
    if name in (*CHANNELS, BY_HAND):
        raise UsageError(f"no handler can be named {name!r}: so Ostler calls its own")
    parse_pattern(handler.event, handler.object)
    check_kind(handler.event)
    if not handler.timeout:
        raise UsageError(f"timeout of handler {name} cannot be 0", expected="as in 90s or 2m")
    try:
        words = shlex.split(handler.command)
    except ValueError as error:
        raise UsageError(f"the command of handler {name} cannot be read: {error}") from None
    if not words or not words[0].startswith("/"):
        raise UsageError(
            f"the command of handler {name} cannot be {handler.command[:100]!r}",
            expected="an absolute path, and words behind it",
        )

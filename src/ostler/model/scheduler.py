"""What must hold of a scheduler that is no part of Ostler."""

import shlex

from ostler.model.errors import UsageError
from ostler.model.site import Scheduler

SERVED = ("wiki",)  # schedulers that come to the manager by themselves, over a socket


def words_of(scheduler: Scheduler) -> list[str]:
    """Return the words of its command; raise `UsageError` where they cannot be told apart."""
    try:
        return shlex.split(scheduler.command)
    except ValueError as error:
        told = f"the command of scheduler {scheduler.name} cannot be read: {error}"
        raise UsageError(told) from None


def is_class(scheduler: Scheduler) -> bool:
    """Say whether its command names a class in Python: MODULE:CLASS."""
    module, colon, name = scheduler.command.partition(":")
    parts = module.split(".")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in parts)


def check_scheduler(scheduler: Scheduler) -> None:
    """Raise `UsageError` for a name, a time or a command that cannot be."""
    name = scheduler.name
    if name in SERVED:
        raise UsageError(f"no scheduler can be named {name!r}: that one comes by itself")
    if not scheduler.deadline:
        raise UsageError(f"deadline of scheduler {name} cannot be 0", expected="as in 10s")
    if not is_class(scheduler) and not "".join(words_of(scheduler)[:1]).startswith("/"):
        raise UsageError(
            f"the command of scheduler {name} cannot be {scheduler.command[:100]!r}",
            expected="an absolute path and words behind it, or MODULE:CLASS",
        )

"""How one attempt at an errand ended, as the process that made it tells."""

from typing import NamedTuple

from ostler.model.errand import Outcome

DEADLINE = 40  # seconds for a mail or a webhook


class Found(NamedTuple):
    """The end of an attempt. output: the last of what a program wrote, for the log."""

    result: Outcome
    exit_status: int | None = None
    reason: str = ""
    output: str = ""

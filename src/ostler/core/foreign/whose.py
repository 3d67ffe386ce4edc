"""Which job is told of: by the token of its start, else by its id and incarnation, and its user."""

from ostler.core.foreign.distrust import clean
from ostler.core.foreign.rms import Key, Rm
from ostler.core.state import State
from ostler.model.foreign import End, ForeignJob
from ostler.model.foreign_rows import RmJob, Stage


def known(s: State, rm: Rm, told: ForeignJob | End) -> RmJob | None:
    """Return what is known of a job that is told of.

    A token is a word that any user of a resource manager may write beside a job of his own, and
    may guess: it says nothing of a job that is another's.
    """
    if told.token and (key := rm.by_token.get(told.token)) is not None:
        job = rm.jobs[key]
        if job.token == told.token and is_of(s, key, told.user):
            return job
    found = rm.by_both.get((told.id, told.incarnation)) or rm.by_id.get(told.id)
    if found is None:
        return None
    job = rm.jobs[found]
    if told.incarnation and job.incarnation not in ("", told.incarnation):
        return None  # that had the id before, or has it since
    return job if is_of(s, found, told.user) else None


def given_up(s: State, rm: Rm, told: ForeignJob) -> RmJob | None:
    """Return whose start of a job was given up before the one that is known."""
    key = rm.by_token.get(told.token)
    return rm.jobs[key] if key is not None and is_of(s, key, told.user) else None


def was_ours(s: State, told: ForeignJob) -> bool:
    """Say whether a job carries the token of a start of this machine that is over.

    Of a start that is not over it is another's job by a forged name.
    """
    number = told.token.removeprefix(f"{s.identity}-")
    if number == told.token or not (number.isascii() and number.isdigit()):
        return False
    return len(number) < 20 and int(number) < s.next_allocation and int(number) not in s.allocations


def is_of(s: State, key: Key, user: str) -> bool:
    """Say whether a job may be this user's, as far as that is known and was told."""
    entry = s.jobs.get(key[0]) or s.recent.get(key[0])
    return entry is None or not user or entry.job.user == clean(user)


def is_free(rm: Rm, ident: str, key: Key) -> bool:
    """Say whether an answer may give a job this id: it is no other's that has not ended."""
    holder = rm.by_id.get(ident)
    return holder in (None, key) or rm.jobs[holder].stage is Stage.OVER

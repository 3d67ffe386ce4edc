"""What another first entry of a class means for its partition."""

from typing import TYPE_CHECKING

from ostler.model.states import Rule
from ostler.schedule.booking import book_of
from ostler.schedule.classes import Class
from ostler.schedule.head import BESIDE
from ostler.schedule.planner import Planner, policy_of

if TYPE_CHECKING:
    from ostler.schedule.engine import Engine

HELD_UP = frozenset({Rule.RESOURCES, Rule.BEHIND})  # rules that depend on the place in the queue


def is_stirred(engine: "Engine", planner: Planner, found: Class) -> bool:
    """Bring a class up to date whose first entry is another; say if others must be looked at.

    The partition is as its last pass left it, so whoever asks for the same as one that had to
    wait then has to wait as well, unless its place is before the head's.
    """
    head, first = engine.heads.get(found.partition), engine.queue.first(found)
    others = {rule: engine.beside.get((found.partition, rule)) for rule in BESIDE}
    policy = policy_of(engine.picture.rules.of(found.partition).policy)
    book = book_of(engine.books, found.partition, policy)
    if book is not None and not (book.settled and first == found.seen):
        return True
    if first == found.seen:
        return False
    known = {h.job for h in (head, *others.values()) if h}
    known.add(engine.queue.short.get(found.partition, 0))
    if found.seen is not None and found.seen[-1] in known:
        return True
    if first is None:
        engine.drop(found)
        return False
    rule = found.rule or _look(engine, planner, found, first[-1])
    room = rule in HELD_UP or (rule is Rule.LIMIT and found.view.request.exclusive)
    before = head if room else others.get(rule) if rule else None
    leads = room or rule in BESIDE
    if rule is None or (leads and (before is None or first < before.key)):
        return True
    if rule is Rule.BEHIND and any(other and first < other.key for other in others.values()):
        return True  # what is promised to those that come after it is not to keep it waiting
    found.rule, found.seen = rule, first
    return False


def _look(engine: "Engine", planner: Planner, found: Class, job: int) -> Rule | None:
    engine.looks += 1
    view = engine.queue.entries[job].view
    seen = planner.look(planner.shape_of(found, view), view)
    return seen if isinstance(seen, Rule) else None

"""The kinds of events that Ostler itself tells, and what is said of others.

Operators may post events of any class, so a kind that is not here may come all the same. One that is
nearly as here is a slip, where it is awaited and where it is posted: nobody would wait for both.
Imports nothing: completion uses it.
"""

from collections.abc import Iterable, Mapping

from ostler.model.errors import UsageError

USER = "user"  # the class of which everybody may post events
_OWN = (
    "allocation/granted allocation/ready cancel/refused configuration/used context/created "
    "context/failed discrepancy driver/crashed driver/failed driver/flood driver/garbage "
    "driver/hung driver/memory driver/up element/failed element/pending event/dealt "
    "event/escalation handler/behind handler/caught-up job/adopted job/begun job/detached "
    "job/ended job/modified job/purged job/resized job/resizing job/submitted job/unknown "
    "jobs/archived machine/goes-on machine/stopping node/features node/fenced node/joined "
    "node/left node/missing node/partition node/status node/unknown node/word notice/failed "
    "partition/reloaded plan/refused planner/lost rm/down rm/up scheduler/back scheduler/differs "
    "scheduler/lost setting start/refused sync/deadline"
)
_STATES = "held pending starting running suspended finishing"  # of a job; its end is job/ended
_ROWS = "access configuration handler partition pool project reservation rm scheduler user"
_CHANGES = ("created", "changed", "removed")
_LIKE = 0.76  # of `get_close_matches`: job/start is job/starting, node/statistics not node/status


def split_kind(kind: str) -> tuple[str, str]:
    """Return class and type of an event's kind.

    >>> split_kind("allocation/granted"), split_kind("setting")
    (('allocation', 'granted'), ('setting', ''))
    """
    of_class, _, of_type = kind.partition("/")
    return of_class, of_type


def _types(kinds: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for of_class, of_type in map(split_kind, kinds):
        found.setdefault(of_class, set()).update(filter(None, [of_type]))
    return {of_class: tuple(sorted(types)) for of_class, types in sorted(found.items())}


TYPES = _types(  # by class; of one class there are no types
    [
        *_OWN.split(),
        *(f"job/{state}" for state in _STATES.split()),
        *(f"{kind}/{done}" for kind in _ROWS.split() for done in _CHANGES),
    ]
)


def check_kind(kind: str) -> None:
    """Raise `UsageError` for CLASS, CLASS/TYPE or /TYPE if it is nearly one of ours, but is not."""
    from difflib import get_close_matches

    of_class, of_type = split_kind(kind)
    if of_class in ("", USER):  # anything may be posted
        return
    if of_class not in TYPES:
        near = get_close_matches(of_class, TYPES, 1, _LIKE)
        found = [near[0] + kind[len(of_class) :]] if near else []
        expected = f"CLASS is {', '.join(TYPES)}, or one of your own"
    else:
        if of_type in TYPES[of_class]:
            return
        found = [f"{of_class}/{t}" for t in get_close_matches(of_type, TYPES[of_class], 1, _LIKE)]
        expected = of_types(of_class)
    if found:
        raise UsageError(
            f"there are no events {kind[:100]}", expected=expected, hint=f"nearest: {found[0]}"
        )


def doubt(kind: str) -> str:
    """Say what is to be said of a kind that Ostler itself never tells; empty: nothing.

    >>> doubt("node/status"), doubt("user/fire")
    ('', '')
    """
    of_class, of_type = split_kind(kind)
    known = TYPES.get(of_class)
    if of_class in ("", USER) or (known is not None and of_type in ("", *known)):
        return ""
    told = f"{kind} comes only if an operator posts it"
    return f"{told}; by itself there is {of_types(of_class)}" if known else told


def of_types(of_class: str) -> str:
    """Return the kinds of a class as people read them: `job/begun, ended`."""
    types = TYPES[of_class]
    return f"{of_class}/{', '.join(types)}" if types else of_class

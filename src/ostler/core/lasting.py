"""Nodes that end at a known time: nothing is started there that would not have ended by then."""

from msgspec.structs import replace

from ostler.core.state import State
from ostler.schedule.rules import Reservation, Rules

_SIGN = "end of "  # before a node's name; no reservation of an administrator has blanks
_EVER = 1e9  # seconds for which a node stays closed


def with_ends(s: State, rules: Rules) -> Rules:
    """Return the rules, in which nodes are closed to everybody from their ends on."""
    ends = tuple(
        Reservation(f"{_SIGN}{name}", (name,), entry.node.facts.until, _EVER)
        for name, entry in s.nodes.items()
        if entry.node.facts.until and not entry.node.gone
    )
    kept = tuple(each for each in rules.reservations if not each.name.startswith(_SIGN))
    if kept + ends == rules.reservations:
        return rules
    return replace(rules, reservations=kept + ends)


def note_ends(s: State) -> None:
    """Let the scheduler know of nodes that came, went, or end at another time than before."""
    rules = with_ends(s, s.rules)
    if rules is not s.rules:
        s.rules = rules
        s.marks.rules = s.changed = True

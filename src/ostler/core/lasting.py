"""What of the rules depends on the nodes there are: their ends, and whole partitions that are reserved.

Nothing is started on a node that ends at a known time and would not have ended by then.
"""

from msgspec.structs import replace

from ostler.core.state import State
from ostler.schedule.rules import Reservation, Rules

_SIGN = "end of "  # before a node's name; no reservation of an administrator has blanks
_EVER = 1e9  # seconds for which a node stays closed


def with_ends(s: State, rules: Rules) -> Rules:
    """Return the rules, with nodes closed to everybody from their ends on.

    And with those that the partitions have now in the reservations that are of a partition.
    """
    ends = tuple(
        Reservation(f"{_SIGN}{name}", (name,), entry.node.facts.until, _EVER)
        for name, entry in s.nodes.items()
        if entry.node.facts.until and not entry.node.gone
    )
    kept = tuple(
        _followed(s, each) for each in rules.reservations if not each.name.startswith(_SIGN)
    )
    if kept + ends == rules.reservations:
        return rules
    return replace(rules, reservations=kept + ends)


def _followed(s: State, rule: Reservation) -> Reservation:
    row = s.site.reservations.get(rule.name)
    if row is None or (partition := row.partition) is None:
        return rule
    mine = (
        name
        for name, entry in s.nodes.items()
        if s.division.of(name) == partition and not entry.node.gone
    )
    return replace(rule, nodes=tuple(sorted(mine)))


def note_joined(s: State) -> None:
    """Let the scheduler know of a node that is new, if a partition is reserved."""
    if any(row.partition is not None for row in s.site.reservations.values()):
        note_ends(s)


def note_ends(s: State) -> None:
    """Let the scheduler know of nodes that came, went, or end at another time than before."""
    rules = with_ends(s, s.rules)
    if rules is not s.rules:
        s.rules = rules
        s.marks.rules = s.changed = True

"""Features of nodes: the words that a constraint can name. Imports what everyday commands may."""

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_FEATURES, MAX_NAME

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Sequence

POOL = "pool"  # of nodes that are jobs in another resource manager
FOREIGN = "foreign"  # every node of another resource manager has it, and no other
OF_RM = "rm="  # and this before the resource manager's name
NATIVE = "native"  # what people call the machine's own nodes, and what runs there
_BEHIND = frozenset("_.:=/+@-")  # what a feature may hold beside letters and digits


def is_feature(name: str) -> bool:
    """Say whether a node can have a feature of this name: one word that a constraint can name.

    >>> is_feature("a100"), is_feature("rack=4"), is_feature("a&b"), is_feature("")
    (True, True, False, False)
    """
    if not (name.isascii() and 0 < len(name) <= MAX_NAME):
        return False
    return (name[0].isalnum() or name[0] == "_") and all(map(in_feature, name))


def check_features(names: "Sequence[str]") -> None:
    """Raise `UsageError` unless a node can have these features."""
    if len(names) > MAX_FEATURES:
        raise UsageError(f"{len(names)} features are named", expected=f"most: {MAX_FEATURES}")
    for name in names:
        if not is_feature(name):
            raise UsageError(
                f"a feature cannot be {name[:100]!r}",
                expected="letters, digits and _.:=/+@-, as in a100 or rack=4",
            )


def in_feature(char: str) -> bool:
    """Say whether a feature may hold this character."""
    return char.isalnum() or char in _BEHIND

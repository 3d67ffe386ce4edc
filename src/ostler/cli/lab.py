"""`ostler lab`: a lab of many nodes on this host, and what can befall them."""

import os
import shlex

from ostler.cli.ask import names, number, size, words
from ostler.cli.main import slow_road
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, json_text, say, table
from ostler.client import place
from ostler.model.errors import Unsupported, UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.testing.lab import Lab

COLUMNS: list[Column] = [("name", "NAME"), ("does", "DOES"), ("line", "LINE"), ("load", "LOAD")]


def _lab(given: Given) -> "Lab":
    """Return the lab that is meant: --state, else OSTLER_LAB, else the user's own."""
    slow_road()  # the kit needs installed packages
    from ostler.testing.lab import Lab

    folder = given.text("state") or os.environ.get("OSTLER_LAB")
    return Lab(folder or place.find_state(environ=_without_state(), new=True) + "-lab")


def _without_state() -> dict[bytes, bytes]:
    return {key: value for key, value in os.environb.items() if key != b"OSTLER_STATE"}


def up(given: Given) -> int:
    """Start a lab, and say how to use it."""
    managers = number("--managers", given.text("managers") or "1")
    if managers != 1:
        raise Unsupported(
            f"a lab cannot have {managers} managers yet",
            expected="1: a second one comes with machines of many hosts",
        )
    lab = _lab(given)
    from ostler.testing.lab import Sizes

    sizes = Sizes(
        nodes=number("--nodes", given.text("lab_nodes") or "10"),
        cpus=number("--cpus", given.text("lab_cpus") or "4"),
        memory=size("--memory", given.text("lab_memory") or "8G"),
        features=_features(given),
        users=tuple(words(given.text("lab_users") or "ann,bob")),
    )
    lab.up(sizes)
    if given.flag("json"):
        return status(given)
    if not given.flag("quiet"):
        first, last = lab.nodes[0], lab.nodes[-1]
        say(f"a lab of {sizes.nodes} nodes, {first} to {last}, is up at {lab.folder}")
        where = f" --state {shlex.quote(lab.folder)}" if given.text("state") else ""
        say(f'use it: eval "$(ostler lab env{where})"')
    return 0


def _features(given: Given) -> dict[str, list[str]]:
    """Return the features of each node that is named."""
    found: dict[str, list[str]] = {}
    for text in given.many("lab_features"):
        nodes, equals, listed = text.partition("=")
        if not equals:
            raise UsageError(f"--features cannot be {text!r}", expected="as in n[01-03]=a100,ib")
        found |= dict.fromkeys(names(nodes), words(listed))
    return found


def down(given: Given) -> int:
    """End a lab."""
    lab = _lab(given)
    lab.down()
    if given.flag("json"):
        say(json_text({"lab": lab.folder, "up": False}))
    elif not given.flag("quiet"):
        say(f"down: {lab.folder}")
    return 0


def env(given: Given) -> int:
    """Print the lines for a shell."""
    lab = _lab(given)
    found = {"OSTLER_LAB": lab.folder, "OSTLER_STATE": lab.state}
    lab.members()  # raises where there is none
    if given.flag("json"):
        say(json_text(found))
    else:
        say("\n".join(f"export {key}={shlex.quote(value)}" for key, value in found.items()))
    return 0


def status(given: Given) -> int:
    """Say what each member does."""
    rows: list[Row] = [
        {
            "name": member.name,
            "does": member.doing,
            "line": "cut" if member.is_cut else "open",
            "load": member.load,
            "state": member.state,
        }
        for member in _lab(given).members()
    ]
    if given.flag("json"):
        say(json_text({"members": rows}))
    else:
        say(table(rows, COLUMNS, heading=not given.flag("quiet")))
    return 0


def verb(given: Given) -> int:
    """Do to members what the command is called."""
    lab = _lab(given)
    word = given.command.name.partition(" ")[2]
    wanted = [name for text in given.words for name in names(text)]
    getattr(lab, word)(wanted)
    return _told(given, lab, wanted)


def load(given: Given) -> int:
    """Set the load average that nodes report."""
    *nodes, text = given.words
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"a load cannot be {text!r}", expected="a number, as in 4.0") from None
    if not 0 <= value < 1e6:
        raise UsageError(f"a load cannot be {text!r}", expected="a number, as in 4.0")
    lab = _lab(given)
    wanted = [name for one in nodes for name in names(one)]
    lab.load(wanted, value)
    return _told(given, lab, wanted)


def _told(given: Given, lab: "Lab", wanted: list[str]) -> int:
    """Say what the named members do now."""
    rows = [{"name": m.name, "does": m.doing, "load": m.load} for m in lab.members(wanted)]
    if given.flag("json"):
        say(json_text({"members": rows}))
    elif not given.flag("quiet"):
        say("\n".join(f"{row['name']}: {row['does']}" for row in rows))
    return 0

"""`ostler access`, `ostler users`, `ostler projects`: who may use what, and whose work it is."""

from ostler.cli.ask import call
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, rows_of
from ostler.cli.site import Change, administer, values_of
from ostler.model.errors import UsageError
from ostler.model.units import format_duration, format_size

_ACCESS: list[Column] = [
    ("partition", "PARTITION"),
    ("class", "CLASS"),
    ("name", "NAME"),
    ("allow", "ALLOW"),
    ("kinds", "KINDS"),
    ("max_cpus", "CPUS"),
    ("max_memory", "MEM/CPU"),
    ("priority", "PRIORITY"),
    ("time_limit", "TIME"),
    ("running", "RUNNING"),
    ("waiting", "WAITING"),
    ("cpu_minutes", "CPU-MINUTES"),
]
_USERS: list[Column] = [
    ("name", "NAME"),
    ("role", "ROLE"),
    ("projects", "PROJECTS"),
    ("shares", "SHARES"),
]
_PROJECTS: list[Column] = [
    ("name", "NAME"),
    ("parent", "PARENT"),
    ("shares", "SHARES"),
    ("description", "DESCRIPTION"),
]
_TABLES = {
    "access": ("access_controls", _ACCESS),
    "users": ("users", _USERS),
    "projects": ("projects", _PROJECTS),
}
_KINDS = {"users": "user", "projects": "project"}
_WHO = ("user", "group", "project")
_VALUES = (
    "kinds",
    "max_cpus",
    "max_memory",
    "priority",
    "time_limit",
    "running",
    "waiting",
    "cpu_minutes",
)


def main(given: Given) -> int:
    """List the rows of one table."""
    noun, columns = _TABLES[given.command.name.partition(" ")[0]]
    document = call(given, "read", what="site")
    nothing = "no access rules" if noun == "access_controls" else ""
    return show(given, {noun: rows_of(document, noun)}, noun, columns, _shown, nothing=nothing)


def _shown(row: Row) -> Row:
    found = dict(row)
    for key, value in row.items():
        if isinstance(value, list):
            found[key] = ",".join(map(str, value))
        elif isinstance(value, bool):
            found[key] = "yes" if value else "no"
        elif key == "time_limit" and isinstance(value, int):
            found[key] = format_duration(value)
        elif key == "max_memory" and isinstance(value, int):
            found[key] = format_size(value)
    return found


def change(given: Given) -> int:
    """Allow, deny, limit, or forget a rule about somebody in a partition."""
    verb = given.command.name.partition(" ")[2]
    named = [(who, name) for who in _WHO if (name := given.text(f"access_{who}")) is not None]
    if len(named) > 1:
        raise UsageError("one rule is about one user, one group or one project")
    holder, name = named[0] if named else ("default", "")
    values: Change = {
        key: text for key in _VALUES if (text := given.text(f"access_{key}")) is not None
    }
    if verb in ("allow", "deny"):
        values["allow"] = "yes" if verb == "allow" else "no"
    elif verb == "set" and not values:
        raise UsageError("nothing is set", expected="--max-cpus, --max-mem, --priority, ...")
    one: Change = {
        "verb": "remove" if verb == "remove" else "set",
        "kind": "access",
        "key": [given.words[0], holder, name],
    }
    return administer(given, [one | ({"values": values} if verb != "remove" else {})])


def row(given: Given) -> int:
    """Create, set or remove one user or project."""
    noun, _, verb = given.command.name.partition(" ")
    name, *rest = given.words
    one: Change = {"verb": verb, "kind": _KINDS[noun], "key": [name]}
    if verb != "remove":
        one["values"] = values_of(rest)
    return administer(given, [one])

"""The registry of what administrators can change: one entry a kind.

It serves the command line, files of `config apply`, the tables and their loading.
"""

from difflib import get_close_matches
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields, replace

from ostler.model import settings
from ostler.model.errors import Missing, UsageError
from ostler.model.site import (
    Access,
    Configuration,
    Handler,
    Holder,
    Key,
    Moved,
    Partition,
    PartitionKind,
    PartitionState,
    Pool,
    Project,
    Reservation,
    ResourceManager,
    Role,
    Scheduler,
    User,
    Work,
)
from ostler.model.site_types import (
    CALENDAR,
    COUNT,
    DURATION,
    FACTOR,
    FLAG,
    KEPT,
    LINE,
    MOMENT,
    NAME,
    OFFSET,
    PART,
    PERCENT,
    PROGRAM,
    SIZE,
    SPAN,
    TEXT,
    Type,
    choice,
    mapping,
    optional,
    several,
    whole,
    words,
)

ATTRIBUTE = "attribute"  # the kind of single values, which `model.settings` knows
_POSITIVE = whole(1, 1_000_000)
_ANYWHERE = Type(
    lambda value: "*" if value == "*" else NAME.parse(value), "a partition, or * for all"
)


class Kind(Struct, frozen=True):
    """One kind of row."""

    name: str
    table: str
    struct: type
    keys: dict[str, Type]  # columns that tell its rows apart
    values: dict[str, Type]  # columns that can be set
    set_makes: bool = False  # what is set need not have been created

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of its table, in their order."""
        return (*self.keys, *self.values)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "partition", "partitions", Partition, {"name": NAME},
            {
                "kind": choice(PartitionKind),
                "is_default": FLAG,
                "state": choice(PartitionState),
                "time_limit": optional(DURATION),
                "default_time": optional(DURATION),
                "min_cpus": COUNT,
                "memory_limit": optional(SIZE),
                "time_slice": DURATION,
                "tier": COUNT,
                "priority_gap": PERCENT,
                "preemption": words("off", "suspend", "requeue", "cancel"),
                "least_run": DURATION,
                "preempt_grace": optional(DURATION),
                "policy": optional(NAME),
                "factor": FACTOR,
                "scheduler": optional(NAME),
                "shadow": optional(NAME),
                "prolog": optional(PROGRAM),
                "epilog": optional(PROGRAM),
            },
        ),
        Kind(
            "configuration", "configurations", Configuration, {"name": NAME},
            {
                "active": FLAG,
                "nodes": mapping(PART),
                "calendar": CALENDAR,
                "moved": choice(Moved),
            },
        ),
        Kind(
            "access", "access_controls", Access,
            {"partition": _ANYWHERE, "class": choice(Holder), "name": TEXT},
            {
                "allow": optional(FLAG),
                "kinds": optional(several(choice(Work))),
                "max_cpus": optional(COUNT),
                "max_memory": optional(SIZE),
                "priority": optional(PERCENT),
                "time_limit": optional(DURATION),
                "running": optional(COUNT),
                "waiting": optional(COUNT),
                "cpu_minutes": optional(COUNT),
            },
            set_makes=True,
        ),
        Kind(
            "project", "projects", Project, {"name": NAME},
            {"parent": TEXT, "shares": _POSITIVE, "description": TEXT},
        ),
        Kind(
            "user", "users", User, {"name": NAME},
            {
                "role": words(*(role.word for role in Role)),
                "projects": several(NAME),
                "shares": _POSITIVE,
            },
            set_makes=True,
        ),
        Kind(
            "reservation", "reservations", Reservation, {"name": NAME},
            {
                "nodes": KEPT,
                "start": MOMENT,
                "duration": DURATION,
                "users": several(NAME),
                "projects": several(NAME),
                "days": several(whole(0, 6)),
                "until": optional(MOMENT),
                "utc_offset": OFFSET,
            },
        ),
        Kind(
            "handler", "event_handlers", Handler, {"name": NAME},
            {
                "command": LINE,
                "event": TEXT,
                "object": TEXT,
                "user": TEXT,
                "timeout": DURATION,
                "retries": whole(0, 100),
                "every": FLAG,
            },
        ),
        Kind(
            "rm", "resource_managers", ResourceManager, {"name": NAME},
            {
                "driver": LINE,
                "settings": mapping(TEXT),
                "enabled": FLAG,
                "interval": SPAN,
                "deadline": SPAN,
                "node_sync": DURATION,
                "job_sync": DURATION,
                "node_purge": DURATION,
                "job_purge": DURATION,
                "retries": whole(0, 100),
                "retry": DURATION,
                "shares_hosts": FLAG,
                "workers": whole(1, 1_000),
            },
        ),
        Kind(
            "pool", "pools", Pool, {"name": NAME},
            {
                "most": whole(1, 10_000),
                "least": whole(0, 10_000),
                "idle": SPAN,
                "cpus": _POSITIVE,
                "memory": SIZE,
                "time": SPAN,
                "options": several(LINE),
            },
        ),
        Kind(
            "scheduler", "schedulers", Scheduler, {"name": NAME},
            {"command": LINE, "user": TEXT, "deadline": DURATION, "memory": SIZE},
        ),
    )
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """Return the kind of this name; raise `Missing` with the nearest one."""
    found = KINDS.get(name)
    if found is None:
        known = (*KINDS, ATTRIBUTE)
        near = get_close_matches(name[:40], known, 1)
        hint = f"did you mean {near[0]!r}" if near else ""
        expected = ", ".join(known)
        raise Missing(f"there is no kind {name[:40]!r} to change", expected=expected, hint=hint)
    return found


def told(kind: str, key: Key) -> str:
    """Return what a person calls a row: `partition batch`, `access batch user ann`."""
    return " ".join((kind, *(word for word in key if word)))


def parse_key(kind: str, key: Key) -> Key:
    """Return the key as it is kept; raise `UsageError` or `Missing`."""
    if kind == ATTRIBUTE:
        (name,) = key if len(key) == 1 else ("",)
        return (settings.attribute(name).key,)
    known = kind_of(kind)
    if len(key) != len(known.keys):
        raise UsageError(f"{kind} is told apart by {', '.join(known.keys)}")
    parts = zip(known.keys.items(), key, strict=True)
    return tuple(_parsed(kind, key, name, each, word) for (name, each), word in parts)


def parse_values(kind: str, key: Key, values: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be set, by column; None takes the default. Raises `UsageError`, `Missing`.

    values: as typed, or as TOML has them; in the names of columns - may stand for _.
    """
    if kind == ATTRIBUTE:
        return _setting(key, values)
    known = kind_of(kind)
    found: dict[str, Any] = {}
    for typed, value in values.items():
        name = typed.replace("-", "_")
        if name not in known.values:
            near = get_close_matches(name[:40], known.values, 1)
            hint = f"did you mean {near[0]!r}" if near else ""
            if (kind, name) == ("partition", "nodes"):  # they are rows of configurations
                hint = f"its nodes stand behind its name: ostler partitions set {key[0]} 'n[01-04]'"
            raise UsageError(
                f"{told(kind, key)} has no {typed[:40]!r}",
                expected=", ".join(known.values),
                hint=hint,
            )
        found[name] = None if value is None else _parsed(kind, key, name, known.values[name], value)
    return found


def _parsed(kind: str, key: Key, name: str, known: Type, value: Any) -> Any:
    try:
        return known.parse(value)
    except (ValueError, OverflowError):
        text = repr(value)
        if isinstance(value, dict):  # as it is typed
            text = " ".join(f"{key}={each}" for key, each in value.items())
        shown = text if len(text) <= 100 else f"{text[:100]}…"
        raise UsageError(
            f"{name} of {told(kind, key)} cannot be {shown}", expected=known.expected
        ) from None


def _setting(key: Key, values: dict[str, Any]) -> dict[str, Any]:
    if set(values) - {"value"}:
        raise UsageError("an attribute has nothing but its value")
    value = values.get("value")
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise UsageError(f"{key[0]} cannot be {value!r}", expected="text or a whole number")
    return {"value": None if value is None else settings.parse_value(key[0], str(value))}


def made(kind: Kind, key: Key, values: dict[str, Any]) -> Any:
    """Return a new row; raise `UsageError` if a value is missing that has no default."""
    given = dict(zip(kind.keys, key, strict=True))
    given |= {name: value for name, value in values.items() if value is not None}
    found: dict[str, Any] = {}
    for each in fields(kind.struct):
        if each.encode_name in given:
            found[each.name] = given[each.encode_name]
        elif each.required:
            raise UsageError(
                f"{told(kind.name, key)} needs {each.encode_name}",
                expected=kind.values[each.encode_name].expected,
            )
    return kind.struct(**found)


def changed(kind: Kind, row: Any, values: dict[str, Any]) -> Any:
    """Return the row with other values; None takes the default, tables are merged."""
    found: dict[str, Any] = {}
    for each in fields(kind.struct):
        if each.encode_name not in values:
            continue
        value = values[each.encode_name]
        if value is None and each.required:
            raise UsageError(f"{told(kind.name, (row.name,))} needs {each.encode_name}")
        found[each.name] = _default(each) if value is None else value
    return replace(row, **found)


def _default(each: FieldInfo) -> Any:
    return each.default if each.default_factory is NODEFAULT else each.default_factory()


def defaults(kind: Kind) -> dict[str, Any]:
    """Return what the columns hold that nobody has set; none of those that must be set."""
    known = fields(kind.struct)
    return {f.encode_name: _default(f) for f in known if not f.required}


def columns_of(kind: Kind, row: Any) -> dict[str, Any]:
    """Return the values of a row by column, but for its key."""
    return {
        each.encode_name: getattr(row, each.name)
        for each in fields(kind.struct)
        if each.encode_name in kind.values
    }

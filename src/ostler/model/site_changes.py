"""Changes of the site: all of a request together, or none. Pure.

What a change names is as typed; what it makes is checked against everything else there is.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from ostler.model.bounded import Name
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.features import NATIVE, OF_RM, is_feature
from ostler.model.handler import check_handler
from ostler.model.limits import MAX_TEXT
from ostler.model.scheduler import SERVED, check_scheduler
from ostler.model.settings import ATTRIBUTES
from ostler.model.shifts import DAYS, calendars, clash
from ostler.model.site import (
    ANYWHERE,
    FIELDS,
    REST,
    Access,
    Configuration,
    Holder,
    Key,
    Partition,
    Row,
    Site,
)
from ostler.model.site_kinds import (
    ATTRIBUTE,
    KINDS,
    Kind,
    changed,
    columns_of,
    defaults,
    kind_of,
    made,
    parse_key,
    parse_values,
    told,
)

CREATE, SET, REMOVE = "create", "set", "remove"
VERBS = (CREATE, SET, REMOVE)
ACTIVE = ""  # instead of the name of a configuration: the one that is in force
_OFFSET = "utc_offset"  # column of what keeps its time of day by it
_YEAR_9999 = 253_370_764_800  # Unix seconds; calendars end there
MERGED = {"nodes", "settings"}  # columns that are tables: what is set is added to what there is


class Change(Struct, frozen=True, omit_defaults=True):
    """One row to create, set or remove. values: by column, as typed; None takes the default."""

    verb: Name
    kind: Name
    key: Annotated[tuple[Annotated[str, Meta(max_length=MAX_TEXT)], ...], Meta(max_length=4)]
    values: dict[str, Any] = {}


def attribute(name: str, value: str | None) -> Change:
    """Return the change of one attribute; None takes its default."""
    return Change(SET, ATTRIBUTE, (name,), {"value": value})


class Changed(Struct, frozen=True):
    """One row that is another now. None: there was none, or there is none."""

    kind: str
    key: Key
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    row: Row | None = None  # as it is now; None: removed, or an attribute

    @property
    def verb(self) -> str:
        """Return what was done: create, set or remove."""
        if self.before is None:
            return CREATE
        return REMOVE if self.after is None else SET


class Draft:
    """A site on its way to another one. All methods raise `OstlerError`."""

    def __init__(self, site: Site, settings: Mapping[str, str]) -> None:
        self._old, self._old_settings = site, settings
        self.site = site
        self.settings = dict(settings)

    def take(self, changes: Iterable[Change]) -> list[Changed]:
        """Make all the changes, check what comes of them, and return the rows that differ."""
        for change in changes:
            self._make(change)
        for _, error in complaints(self.site):
            raise error
        return list(self._differences())

    def _make(self, change: Change) -> None:
        if change.verb not in VERBS:
            raise UsageError(f"no verb {change.verb[:40]!r}", expected=", ".join(VERBS))
        key = change.key
        if change.kind == "configuration" and key == (ACTIVE,):
            key = (self.site.active.name,)
        key = parse_key(change.kind, key)
        if change.kind == ATTRIBUTE:
            self._set_attribute(key[0], change)
        elif change.verb == REMOVE:
            self._remove(kind_of(change.kind), key)
        else:
            self._put(kind_of(change.kind), key, change)

    def _set_attribute(self, name: str, change: Change) -> None:
        value = parse_values(ATTRIBUTE, (name,), change.values)["value"]
        if change.verb == REMOVE or value is None:
            self.settings.pop(name, None)
        else:
            self.settings[name] = str(value)

    def _put(self, kind: Kind, key: Key, change: Change) -> None:
        values = parse_values(kind.name, key, change.values)
        old = self.site.rows(kind.name).get(key)
        if old is None:
            if change.verb == SET and not kind.set_makes:
                raise self._missing(kind, key)
            row = made(kind, key, values)
        elif change.verb == CREATE:
            raise Refused(f"there is a {told(kind.name, key)} already", hint="set what it has")
        else:
            for name in values.keys() & MERGED:
                if isinstance(values[name], dict):
                    values[name] = _merged(getattr(old, name), change.values[name], values[name])
            row = changed(kind, old, values)
        self._hold(kind, key, row)
        self._only(kind, row)
        if kind.name == "rm" and old is None and key[0] not in self.site.partitions:
            self._hold(KINDS["partition"], key, Partition(key[0]))

    def _hold(self, kind: Kind, key: Key, row: Row | None) -> None:
        """Have this row under its key, or none."""
        name = FIELDS[kind.name]
        rows: dict[Any, Any] = dict(getattr(self.site, name))
        short: Any = key if len(key) > 1 else key[0]
        if row is None:
            del rows[short]
        else:
            rows[short] = row
        self.site = replace(self.site, **{name: rows})

    def _only(self, kind: Kind, row: Any) -> None:
        """Let one partition be the default, and one configuration active: the last that said so."""
        flag = {"partition": "is_default", "configuration": "active"}.get(kind.name, "")
        if not flag or not getattr(row, flag):
            return
        for key, other in self.site.rows(kind.name).items():
            if getattr(other, flag) and other.name != row.name:
                self._hold(kind, key, replace(other, **{flag: False}))

    def _remove(self, kind: Kind, key: Key) -> None:
        if key not in self.site.rows(kind.name):
            raise self._missing(kind, key)
        self._hold(kind, key, None)
        (name, *_) = key
        if kind.name == "rm" and name in self.site.partitions and not self._names_nodes(name):
            self._hold(KINDS["partition"], key, None)
        elif kind.name != "partition":
            return
        for other in [other for other in self.site.access if other[0] == name]:
            self._hold(KINDS["access"], other, None)
        for each in self.site.configurations.values():
            if name in each.nodes:
                nodes = {part: text for part, text in each.nodes.items() if part != name}
                self._hold(KINDS["configuration"], (each.name,), replace(each, nodes=nodes))

    def _names_nodes(self, partition: str) -> bool:
        return any(each.nodes.get(partition) for each in self.site.configurations.values())

    def _missing(self, kind: Kind, key: Key) -> OstlerError:
        known = [" ".join(filter(None, each)) for each in self.site.rows(kind.name)]
        expected = f"known: {', '.join(known[:10]) or 'none'}"
        return Missing(f"there is no {told(kind.name, key)}", expected=expected)

    def _differences(self) -> Iterator[Changed]:
        for name, kind in KINDS.items():
            old, new = self._old.rows(name), self.site.rows(name)
            for key in {**old, **new}:
                before, after = old.get(key), new.get(key)
                if before != after:
                    was = None if before is None else columns_of(kind, before)
                    now = None if after is None else columns_of(kind, after)
                    yield Changed(name, tuple(map(str, key)), was, now, after)
        for name in sorted({*self._old_settings, *self.settings}):
            one, two = self._old_settings.get(name), self.settings.get(name)
            if one != two:
                yield Changed(ATTRIBUTE, (name,), _typed(name, one), _typed(name, two))


def _typed(name: str, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"value": int(value) if isinstance(ATTRIBUTES[name].default, int) else value}


def _merged(old: dict[str, str], typed: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    return {name: text for name, text in {**old, **new}.items() if typed.get(name, text)}


# -- what must hold of a whole site ---------------------------------------------------------------

At = tuple[str, Key]  # kind and key of the row that something is wrong with


def complaints(site: Site) -> Iterator[tuple[At, OstlerError]]:
    """Yield what is wrong, with the row where it shows."""
    if not any(each.active for each in site.configurations.values()):
        error = Refused("no configuration would be active", hint="make another one active first")
        yield ("configuration", ("",)), error
    if not site.default_partition:
        error = Refused("no partition would be the default", hint="give another is_default first")
        yield ("partition", ("",)), error
    for configuration in site.configurations.values():
        for wrong in _of_configuration(site, configuration):
            yield ("configuration", (configuration.name,)), wrong
    if both := clash(calendars(site.configurations)):
        yield ("configuration", ("",)), Refused(both, hint="give one of them another time")
    for key, access in site.access.items():
        for wrong in _of_access(site, access):
            yield ("access", key), wrong
    for name, project in site.projects.items():
        if project.parent and project.parent not in site.projects:
            yield ("project", (name,)), _no("project", name, "project", project.parent)
        elif _is_above(site, name):
            yield ("project", (name,)), Refused(f"project {name} would be above itself")
    for name, user in site.users.items():
        for each in user.projects:
            if each not in site.projects:
                yield ("user", (name,)), _no("user", name, "project", each)
    for name, partition in site.partitions.items():
        for named in (partition.scheduler, partition.shadow):
            if named and named not in site.schedulers and named not in SERVED:
                yield ("partition", (name,)), _no("partition", name, "scheduler", named)
    for name, pool in site.pools.items():
        if name not in site.rms:
            yield ("pool", (name,)), _no("pool", name, "resource manager", name)
        elif pool.least > pool.most:
            why = f"pool {name} would keep {pool.least} nodes, and may have {pool.most}"
            yield ("pool", (name,)), Refused(why, hint="give it a larger most=")
    for name, scheduler in site.schedulers.items():
        try:
            check_scheduler(scheduler)
        except UsageError as error:
            yield ("scheduler", (name,)), error
    for name, handler in site.handlers.items():
        try:
            check_handler(handler)
        except UsageError as error:
            yield ("handler", (name,)), error
    for name in site.rms:
        if not is_feature(f"{OF_RM}{name}") or "/" in name or name == NATIVE:
            expected = f"letters, digits and _.:@-; {NATIVE!r} are the machine's own nodes"
            yield ("rm", (name,)), UsageError(f"no rm can be named {name!r}", expected=expected)
    for name, reservation in site.reservations.items():
        if not reservation.duration:
            hint = "say how long each time of it is: duration=2h"
            yield ("reservation", (name,)), Refused(f"reservation {name} lasts no time", hint=hint)
        if reservation.partition not in (None, *site.partitions):
            other = str(reservation.partition)
            yield ("reservation", (name,)), _no("reservation", name, "partition", other)
        for each in reservation.projects:
            if each not in site.projects:
                yield ("reservation", (name,)), _no("reservation", name, "project", each)


def _of_configuration(site: Site, each: Configuration) -> Iterator[OstlerError]:
    for name in each.nodes:
        if name not in site.partitions:
            yield _no("configuration", each.name, "partition", name)
    rest = [name for name, text in each.nodes.items() if text == REST]
    if len(rest) > 1:
        yield Refused(
            f"in configuration {each.name} both {rest[0]} and {rest[1]} have all the rest ({REST})",
            hint="name the nodes of one of them",
        )
    for node, one, two in site.division(each.name).twice:
        yield Refused(
            f"node {node} would be in two partitions of configuration {each.name}: {one} and {two}",
            hint=f"take it from {one} first, or leave it out",
        )


def _of_access(site: Site, access: Access) -> Iterator[OstlerError]:
    name = told("access", (access.partition, access.holder, access.name))
    if access.partition not in (ANYWHERE, *site.partitions):
        yield _no("access", name.partition(" ")[2], "partition", access.partition)
    if (access.holder is Holder.DEFAULT) == bool(access.name):
        what = "no" if access.name else "a"
        yield UsageError(f"{name} needs {what} name for class {access.holder}")
    if access.holder is Holder.PROJECT and access.name not in site.projects:
        yield Missing(f"there is no project {access.name!r}", hint="see `ostler projects`")


def _no(kind: str, name: str, what: str, other: str) -> OstlerError:
    return Missing(f"{kind} {name} names {what} {other!r}, which there is not")


def _is_above(site: Site, name: str) -> bool:
    seen = {name}
    while (name := site.projects[name].parent) in site.projects:
        if name in seen:
            return True
        seen.add(name)
    return False


def check_serial(expected: int | None, present: int) -> None:
    """Raise `NotNow` if the site is not the one that the changes were made for."""
    if expected is not None and expected != present:
        raise NotNow("somebody else has changed the site meanwhile", hint="look at it again")


def describe(each: Changed) -> str:
    """Return what changed as one phrase: `tier 0 -> 2, policy none -> fcfs`; empty: all of it."""
    if each.after is None:
        return ""
    kind = KINDS.get(each.kind)
    before = each.before or (defaults(kind) if kind else {})
    parts = []
    for name, value in each.after.items():
        if (name in before and before[name] == value) or name == _OFFSET:
            continue
        show = kind.values[name].show if kind else str
        old = ""
        if each.before is not None:
            old = f"{_word(_by_the_clock(name, show(before[name]), before))} -> "
        parts.append(f"{name} {old}{_word(_by_the_clock(name, show(value), each.after))}")
    return ", ".join(parts)


def _by_the_clock(name: str, value: Any, row: dict[str, Any]) -> Any:
    """Return a time or weekdays of a reservation as people write them, by the clock of its place."""
    if _OFFSET not in row:
        return value
    if name == "days":
        return [DAYS[day] for day in value]
    if name in ("start", "until") and isinstance(value, int | float) and value < _YEAR_9999:
        place = timezone(timedelta(seconds=row[_OFFSET]))
        return datetime.fromtimestamp(value, place).strftime("%Y-%m-%d %H:%M")
    return value


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}:{each}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value != "" else "none"

"""`ostler config apply` and `show`: all that administrators have set, as a TOML file."""

import tomllib
from typing import Any

from msgspec import convert, to_builtins

from ostler.cli.ask import call, link_to, read_file
from ostler.cli.doubts import tell_of_doubts
from ostler.cli.options import Given
from ostler.cli.output import json_text, rows_of, say
from ostler.client.spec import new_request_id
from ostler.model.errors import OstlerError, UsageError
from ostler.model.limits import MAX_JOBS_FILE
from ostler.model.site import FIELDS, Holder, Key, Row, Site, site_of
from ostler.model.site_changes import (
    CREATE,
    MERGED,
    REMOVE,
    SET,
    Change,
    Draft,
    attribute,
    complaints,
)
from ostler.model.site_kinds import (
    ATTRIBUTE,
    KINDS,
    Kind,
    columns_of,
    defaults,
    made,
    parse_key,
    parse_values,
)

ATTRIBUTES = "attributes"  # what the file calls single values
ACCESS = "access"  # the one kind whose rows have no single name: a list of tables
TABLES = {FIELDS[name]: kind for name, kind in KINDS.items()}
_SIGNS = {CREATE: "+", SET: "~", REMOVE: "-"}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

Values = dict[str, Any]


class Wanted:
    """What a file says, with the line of each of its keys. Raises `UsageError`."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = text.splitlines()
        try:
            self.document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{name} is no TOML: {error}") from None
        self.rows: dict[str, dict[Key, Values]] = {}  # by kind; only kinds that it names
        self._read()

    def _read(self) -> None:
        known = (ATTRIBUTES, *TABLES)
        for noun, table in self.document.items():
            if noun not in known:
                raise self.wrong([noun], UsageError("no such table", expected=", ".join(known)))
            if noun == ACCESS:
                self.rows[noun] = self._rules(table)
                continue
            if not isinstance(table, dict):
                raise self.wrong([noun], UsageError("it is no table", expected=f"[{noun}.NAME]"))
            kind = ATTRIBUTE if noun == ATTRIBUTES else TABLES[noun].name
            rows: dict[Key, Values] = {}
            self.rows[kind] = rows
            for name, values in table.items():
                given = {"value": values} if kind == ATTRIBUTE else values
                if not isinstance(given, dict):
                    error = UsageError("it is no table", expected=f"[{noun}.NAME]")
                    raise self.wrong([noun, name], error)
                rows[name,] = self._checked(kind, (name,), given, [noun, name])

    def _rules(self, table: Any) -> dict[Key, Values]:
        rows: dict[Key, Values] = {}
        if not isinstance(table, list):
            raise self.wrong([ACCESS], UsageError("it is no list", expected="[[access]]"))
        for at, rule in enumerate(table):
            path = [f"{ACCESS}[{at}]"]
            values = dict(rule) if isinstance(rule, dict) else {}
            named = [each for each in Holder if each in values]
            stray = values.keys() & {"class", "name"}  # as the table has it
            if "partition" not in values or len(named) > 1 or stray:
                error = UsageError(
                    "it is not clear whom it is about",
                    expected="partition, and user = NAME, group = NAME or project = NAME, or none of these for all",
                )
                raise self.wrong(path, error)
            holder = named[0] if named else Holder.DEFAULT
            name = values.pop(holder, "")
            key = (str(values.pop("partition")), str(holder), str(name))
            if key in rows:
                raise self.wrong(path, UsageError("there is such a rule above"))
            rows[key] = self._checked(ACCESS, key, values, path)
        return rows

    def _checked(self, kind: str, key: Key, values: Values, path: list[str]) -> Values:
        """Return the values by column as typed, each of them looked at."""
        found: Values = {}
        try:
            parse_key(kind, key)
        except OstlerError as error:
            raise self.wrong(path, error) from None
        for name, value in values.items():
            inner = path if kind == ATTRIBUTE else [*path, name]
            try:
                parse_values(kind, key, {name: value})
            except OstlerError as error:
                raise self.wrong(inner, error) from None
            found[name.replace("-", "_")] = value
        return found

    def wrong(self, path: list[str], error: OstlerError) -> OstlerError:
        """Return the error with the place in the file where it is."""
        line, key = self._line(path), ".".join(path)
        where = f"{self._name}, line {line}, {key}" if line else f"{self._name}, {key}"
        return type(error)(f"{where}: {error.message}", expected=error.expected, hint=error.hint)

    def at(self, kind: str, key: Key) -> list[str]:
        """Return the path of a row in the file."""
        rules = list(self.rows.get(ACCESS, {}))
        if kind == ACCESS and key in rules:
            return [f"{ACCESS}[{rules.index(key)}]"]
        return [FIELDS.get(kind, kind), *filter(None, key)]

    def _line(self, path: list[str]) -> int:
        """Return the number of the line that holds this key, or its table; 0 if it is not found."""
        best, best_depth, header = 0, 0, []
        rule = -1
        for number, line in enumerate(self._lines, 1):
            text = line.strip()
            if text.startswith("[[") and _keys(text.strip("[]")) == [ACCESS]:
                rule += 1
                header = [f"{ACCESS}[{rule}]"]
                here = header
            elif text.startswith("["):
                header = _keys(text.partition("]")[0].lstrip("["))
                here = header
            elif "=" in text and not text.startswith("#"):
                here = [*header, *_keys(text.partition("=")[0])]
            else:
                continue
            depth = min(len(here), len(path))  # also of a table inside the one that is meant
            if here[:depth] == path[:depth] and depth > best_depth:
                best, best_depth = number, depth
        return best


def _keys(text: str) -> list[str]:
    """Return the parts of a dotted key."""
    return [part.strip().strip("\"'") for part in text.split(".")]


# -- from what is to what is wanted ---------------------------------------------------------------


def changes_of(wanted: Wanted, site: Site, settings: dict[str, str]) -> list[Change]:
    """Return what is to be changed. A kind that the file names is as it says, others stay."""
    found = [
        attribute(name, None)
        for name in settings
        if ATTRIBUTE in wanted.rows and (name,) not in wanted.rows[ATTRIBUTE]
    ]
    for key, values in wanted.rows.get(ATTRIBUTE, {}).items():
        found.append(Change(SET, ATTRIBUTE, key, values))
    for name, rows in wanted.rows.items():
        if name == ATTRIBUTE:
            continue
        kind, old = KINDS[name], site.rows(name)
        found += [
            change for key, values in rows.items() if (change := _put(kind, key, values, old))
        ]
        gone = [key for key in old if tuple(map(str, key)) not in rows]
        found += [Change(REMOVE, name, tuple(map(str, key))) for key in gone]
    return found


def _put(kind: Kind, key: Key, values: Values, old: dict[Key, Any]) -> Change | None:
    """Return the change that makes a row just so; None if it is."""
    row = made(kind, parse_key(kind.name, key), parse_values(kind.name, key, values))
    before = old.get(key)
    if before == row:
        return None
    if before is None:
        return Change(CREATE, kind.name, key, values)
    whole = dict.fromkeys(defaults(kind)) | values
    for column in MERGED & kind.values.keys():
        if isinstance(held := getattr(before, column), dict):
            whole[column] = dict.fromkeys(held) | (values.get(column) or {})
    return Change(SET, kind.name, key, {c: v for c, v in whole.items() if c in kind.values})


def _site(document: Any) -> tuple[Site, dict[str, str]]:
    rows: list[Row] = [
        convert(row, kind.struct)
        for kind in KINDS.values()
        for row in rows_of(document, kind.table)
    ]
    settings = {str(row["key"]): str(row["value"]) for row in rows_of(document, "attributes")}
    return site_of(rows), settings


def apply(given: Given) -> int:
    """Change what differs from the file, or only say what would."""
    name = given.words[0]
    try:
        text = read_file(name, "the file", MAX_JOBS_FILE).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not text", expected="TOML in UTF-8") from None
    wanted = Wanted(name, text)
    link = link_to(given)
    document = link.call("read", what="site")
    site, settings = _site(document)
    changes = changes_of(wanted, site, settings)
    draft = Draft(site, settings)
    try:
        draft.take(changes)
    except OstlerError as error:
        found = (at for at, other in complaints(draft.site) if str(other) == str(error))
        at = next(found, None)
        raise (error if at is None else wanted.wrong(wanted.at(*at), error)) from None
    told = link.call(
        "administer",
        changes=[to_builtins(change) for change in changes],
        dry=given.flag("only_dry"),
        serial=document["serial"],
        request_id=new_request_id(),
    )
    link.close()
    rows = rows_of(told, "changes")
    if given.flag("json"):
        say(json_text(told))
    elif not given.flag("quiet"):
        lines = [
            f"{_SIGNS[str(row.get('verb'))]} {str(row.get('text')).partition(' ')[2]}"
            for row in rows
        ]
        say("\n".join(lines) or "nothing differs")
    tell_of_doubts(given, rows)
    return 0


# -- the file -------------------------------------------------------------------------------------


def show(given: Given) -> int:
    """Print all that is set, without what is as it would be anyhow."""
    document = call(given, "read", what="site")
    if given.flag("json"):
        say(json_text(document))
    else:
        say(file_of(*_site(document)))
    return 0


def file_of(site: Site, settings: dict[str, str]) -> str:
    """Return the file that says what is: to be applied, it changes nothing."""
    parts = [
        "\n".join([f"[{ATTRIBUTES}]", *(f"{k} = {_toml(v)}" for k, v in sorted(settings.items()))])
    ]
    for name, kind in KINDS.items():
        noun, rows = FIELDS[name], site.rows(name)
        if not rows:
            parts.append("access = []" if name == ACCESS else f"[{noun}]")
        for key, row in rows.items():
            head = f"[{noun}.{_key(key[0])}]"
            lines = []
            if name == ACCESS:
                partition, holder, whose = key
                head = f"[[{ACCESS}]]"
                lines.append(f"partition = {_toml(partition)}")
                lines += [f"{holder} = {_toml(whose)}"] if whose else []
            usual = defaults(kind)
            for column, value in columns_of(kind, row).items():
                if column not in usual or usual[column] != value:
                    lines.append(f"{column} = {_toml(kind.values[column].show(value))}")
            parts.append("\n".join([head, *lines]))
    # A bare key after a table would be the table's.
    parts.sort(key=lambda part: not part.startswith("access = []"))
    return "\n\n".join(parts)


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(k)} = {_toml(v)}' for k, v in value.items())} }}"
    return json_text(str(value))

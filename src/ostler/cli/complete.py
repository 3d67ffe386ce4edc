"""What could be typed next: from the table of commands, and from the machine for ids and names.

It waits for nobody: a machine that does not answer within a second has nothing to offer.
"""

import posix
import time

from ostler.cli.options import Value
from ostler.cli.output import cell, rows_of
from ostler.cli.table import ALONE, COMMANDS
from ostler.cli.table_options import GENERAL, Command, Option, option_named
from ostler.client import place
from ostler.client.link import Link
from ostler.model.errors import OstlerError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.cli.output import Row

_PATIENCE = 1.0  # seconds for an answer
_MOST = 200  # ids that are offered, the newest
_HELP = (("--help", "say what there is"), ("-h", "say what there is"))
_OF_STATE = {"release": ["held"], "resume": ["suspended"], "suspend": ["running"]}
_ENDED_TOO = ("job", "logs", "explain", "history", "requeue", "events", "acct", "submit")
_ENDED_ONLY = ("requeue --failed",)
_KINDS_OF_END = ("ok", "any", "fail")
_BYTES = ("512M", "1G", "4G", "16G")
_RESULTS = ("failed", "timeout", "memory", "lost")
_POLICIES = ("fcfs", "easy", "easy-sjbf", "conservative", "reserved-")
_REPLAY = (
    "trace policy rule jobs procs mean_wait median_wait mean_bounded_slowdown utilisation makespan "
    "seconds jobs_per_second compiled load offered_load"
)  # columns of `sim`
_SIGNALS = ("USR1@60", "USR2@60", "TERM@60", "INT@60")

Found = tuple[str, str]  # what could stand there, and what it is


class Answer:
    """What could be typed: words, or what the shell knows better itself.

    kind: words, files, folders, commands or users.
    """

    __slots__ = ("found", "kind")

    def __init__(self, kind: str, found: "list[Found] | None" = None) -> None:
        self.kind = kind
        self.found = found or []


def complete(words: list[str], state: str | None = None) -> Answer:
    """Return what could stand in the place of the last word.

    words: those after `ostler`. state: the folder of the machine, unless the words name one.
    """
    *before, current = words or [""]
    at = 0
    values: dict[str, Value] = {} if state is None else {"state": state}
    while at < len(before) and before[at].startswith("-"):
        if before[at] == "--state":
            at += 1
            if at == len(before):
                return Answer("folders")
            values["state"] = before[at]
        at += 1
    if at < len(before):
        return _in_command(before[at:], current, values)
    if current.startswith("-"):
        general = [*map(option_named, GENERAL)]
        return _words(current, [*_flags(general), *_HELP, ("--version", "say which version it is")])
    firsts: dict[str, str] = {}
    for name, command in COMMANDS.items():
        first = name.partition(" ")[0]
        firsts.setdefault(first, command.summary if first in (name, *ALONE) else command.group)
    return _words(current, list(firsts.items()))


def _in_command(before: list[str], current: str, values: dict[str, Value]) -> Answer:
    """Return what could stand after the first word of a command."""
    name, *rest = before
    seconds = [
        (c[len(name) + 1 :], COMMANDS[c].summary) for c in COMMANDS if c.startswith(f"{name} ")
    ]
    if rest and (two := COMMANDS.get(f"{name} {rest[0]}")):
        return Place(two, rest[1:], current, values).answer()
    command = COMMANDS.get(name) or COMMANDS.get(ALONE.get(name, ""))
    answer = Place(command, rest, current, values).answer() if command else Answer("words")
    if not rest and seconds:
        found = _words(current, seconds).found
        return Answer("words", found + (answer.found if answer.kind == "words" else []))
    return answer


class Place:
    """One place in the command line of one command."""

    def __init__(
        self, command: Command, before: list[str], current: str, values: dict[str, Value]
    ) -> None:
        self.command = command
        self.current = current
        self.values = values  # of options that were typed
        self.separated = False  # a `--` was typed
        self.awaiting: Option | None = None  # the option whose value stands here
        self.count = 0  # words before it that are no options
        self._known = {flag: option for option in command.options for flag in option.flags}
        for word in before:
            self._pass(word)

    def _pass(self, word: str) -> None:
        """Take in one word that stands before."""
        if self.awaiting is not None:
            self.values[self.awaiting.name] = word
            self.awaiting = None
        elif self.bare or not word.startswith("-") or word == "-":
            self.count += 1
        elif word == "--":
            self.separated = True
        elif word.startswith("--"):
            flag, equals, value = word.partition("=")
            self._option(self._known.get(flag), value, given=bool(equals))
        else:
            for i, letter in enumerate(word[1:], 2):
                option = self._known.get(f"-{letter}")
                self._option(option, word[i:], given=i < len(word))
                if option is not None and option.metavar:
                    break

    @property
    def bare(self) -> bool:
        """Say whether words that begin with - are no options here."""
        return self.separated or (self.command.rest and self.count > 0)

    def _option(self, option: Option | None, value: str, *, given: bool) -> None:
        if option is None:
            return
        if option.metavar and not given:
            self.awaiting = option
        else:
            self.values[option.name] = value if option.metavar else True

    def answer(self) -> Answer:
        """Return what could stand here."""
        if self.awaiting is not None:
            return self._value(self.awaiting, "", self.current)
        if not self.bare and self.current.startswith("-") and self.current != "-":
            flag, equals, value = self.current.partition("=")
            option = self._known.get(flag)
            if equals:
                takes = option is not None and option.metavar
                return (
                    self._value(option, f"{flag}=", value) if option and takes else Answer("words")
                )
        if not self.bare and self.current.startswith("-"):
            return _words(self.current, [*_flags(self.command.options), *_HELP])
        return self._word()

    def _word(self) -> Answer:
        """Return what could stand as a word of the command."""
        metavar, _, most = self.command.words
        if most is not None and self.count >= most:
            return Answer("words")
        first = metavar.split()[0] if metavar else ""
        if first in ("CMD", "SCRIPT"):
            runs = first == "CMD" or self.separated
            return Answer("commands" if runs and self.count == 0 else "files")
        if self.command.name == "completion":
            return _words(self.current, [(shell, "") for shell in ("bash", "zsh", "fish")])
        if first == "ID" and (self.count == 0 or most is None):
            return _words(self.current, self._jobs(self.current))
        if first == "TRACE":
            return Answer("files")
        kinds = self.command.name.partition(" ")[0]
        if first == "NAME" and self.count == 0 and kinds in ("partitions", "configurations"):
            return _words(self.current, self._site(kinds))
        if first.strip("[]") == "CLASS/TYPE" and self.count == 0:
            from ostler.model.event_kinds import TYPES

            kinds_of = [(c, t) for c, types in TYPES.items() for t in types or ("",)]
            return _words(self.current, [(f"{c}/{t}".strip("/"), "") for c, t in kinds_of])
        if first in ("NODE", "NAME") or (first == "NODES" and self.count == 0):
            return self._listed("", self.current, self._nodes())
        if first == "KEY" and self.count == 0:
            return _words(self.current, self._settings())
        return Answer("files" if self.command.rest else "words")

    def _value(self, option: Option, prefix: str, part: str) -> Answer:
        """Return what could be the value of an option. prefix: what stands before it."""
        name, metavar = option.name, option.metavar
        if metavar in ("FILE", "DIR"):
            return Answer("files" if metavar == "FILE" else "folders")
        if name == "user":
            return Answer("users")
        if name == "after":
            return self._after(prefix, part)
        if name in ("in_state", "retry_on", "format", "nodelist", "exclude", "sim_policy"):
            return self._listed(prefix, part, self._list(name))
        found: list[Found] = []
        if metavar == "ID":
            found = self._jobs(part)
        elif name == "partition":
            found = self._site("partitions")
        elif name == "env":
            names = [place.decode(key) for key in posix.environ]
            found = [("none", "carry nothing"), *((key, "") for key in names)]
        elif name == "signal":
            found = [(text, "") for text in _SIGNALS]
        elif "|" in metavar:
            found = [(text, "") for text in metavar.split("|")]
        elif name in ("memory", "declared_memory", "lab_memory"):
            found = [(text, "") for text in _BYTES]
        return _words(
            prefix + part, [(prefix + value, told) for value, told in dict(found).items()]
        )

    def _list(self, name: str) -> list[Found]:
        """Return the members of an option's list."""
        if name == "in_state":
            from ostler.cli.jobs import STATES

            return [(state, "") for state in STATES]
        if name == "retry_on":
            return [(result, "") for result in _RESULTS]
        if name == "sim_policy":
            return [(policy, "") for policy in _POLICIES]
        if name == "format" and self.command.name == "sim":
            return [(key, "") for key in _REPLAY.split()]
        if name == "format":
            from ostler.cli.columns import COLUMNS, NOUNS

            noun = NOUNS.get(self.command.name, self.command.name)
            return [(key, "") for key in COLUMNS[noun].split()]
        return self._nodes()

    def _listed(self, prefix: str, part: str, members: list[Found]) -> Answer:
        """Return members of a list with commas that could stand after its last comma."""
        head, comma, _ = part.rpartition(",")
        named = head.split(",")
        prefix += head + comma
        found = [(prefix + name, told) for name, told in members if name not in named]
        return _words(prefix + part[len(head + comma) :], found)

    def _after(self, prefix: str, part: str) -> Answer:
        head, comma, last = part.rpartition(",")
        job, colon, _ = last.partition(":")
        if colon:
            found = [(f"{prefix}{head}{comma}{job}:{kind}", "") for kind in _KINDS_OF_END]
            return _words(prefix + part, found)
        return self._listed(prefix, part, self._jobs(last))

    # -- what only the machine knows -------------------------------------------------------

    def _jobs(self, part: str) -> "list[Found]":
        """Return ids of jobs that the command could mean; of elements after a `_`."""
        job, underscore, _ = part.partition("_")
        name = self.command.name
        if underscore:
            rows = [
                e
                for row in self._rows("job", "jobs", ref=job)
                for e in rows_of(row, "element_rows")
            ]
            wanted = _OF_STATE.get(name)
            if wanted or name not in _ENDED_TOO:
                rows = [
                    r for r in rows if (r["state"] in wanted if wanted else r["state"] != "done")
                ]
            return [(str(row.get("id")), _told(row)) for row in rows[:_MOST]]
        options: dict[str, object] = {"limit": _MOST}
        if name in _OF_STATE:
            options["states"] = _OF_STATE[name]
        elif name in _ENDED_TOO:
            options["since"] = 0
        rows = self._rows("jobs", "jobs", options=options)
        if self.values.get("failed"):
            rows = [row for row in rows if row.get("result") != "success"]
        return [(str(row.get("id")), _told(row)) for row in reversed(rows)]

    def _nodes(self) -> "list[Found]":
        rows = self._rows("nodes", "nodes")
        return [(str(row.get("name")), cell("", row.get("status"))) for row in rows]

    def _settings(self) -> "list[Found]":
        rows = self._rows("settings", "settings")
        return [(str(row.get("key")), cell("", row.get("help"))) for row in rows]

    def _site(self, kinds: str) -> "list[Found]":
        """Return the names of partitions, each with its nodes, or of configurations."""
        rows = self._rows(kinds, kinds)
        return [
            (str(row.get("name")), cell("", row.get("nodes") if kinds == "partitions" else ""))
            for row in rows
        ]

    def _rows(self, what: str, noun: str, **fields: object) -> "list[Row]":
        """Return the rows of a read; none where no machine answers at once."""
        state = self.values.get("state")
        try:
            link = Link(place.find_state(state if isinstance(state, str) else None), patience=0.0)
        except (OstlerError, OSError):
            return []
        try:
            number = link.send("read", what=what, **fields)
            end = time.monotonic() + _PATIENCE
            while not link.answered(number) and (left := end - time.monotonic()) > 0:
                link.pump(left)
            return rows_of(link.result(number), noun) if link.answered(number) else []
        except (OstlerError, OSError):
            return []
        finally:
            link.close()


def _told(row: "Row") -> str:
    state = row.get("result") or row.get("state")
    return " ".join(cell("", part) for part in (row.get("name"), state) if part)


def _flags(options: list[Option]) -> list[Found]:
    return [(flag, option.help) for option in options for flag in option.flags]


def _words(current: str, found: list[Found]) -> Answer:
    """Return those that begin as what was typed."""
    return Answer("words", [(word, told) for word, told in found if word.startswith(current)])

"""The everyday reader of options: driven by the table, imports nothing but it.

It reads what is right and leaves help, and what is wrong, to the road with click: both give the same
`Given` for the same words, which a test holds.
"""

from ostler.cli.table_jobs import JOBS
from ostler.cli.table_options import Command, Option
from ostler.model.errors import UsageError

# Ways to print of which one command can follow only one.
_APART = (
    ("json", "format"),
    ("json", "csv"),
    ("tree", "format"),
    ("watch", "format"),
    ("watch", "tree"),
)

Value = str | bool | list[str]


class Declined(Exception):
    """These words need the other road: no error yet, that one says what is wrong."""


class Given:
    """What was typed: option values by name, and the words of the command.

    separated: a `--` stood before the words of a command that takes another command.
    """

    __slots__ = ("command", "separated", "values", "words")

    def __init__(
        self, command: Command, values: dict[str, Value], words: list[str], *, separated: bool
    ) -> None:
        self.command = command
        self.values = values
        self.words = words
        self.separated = separated

    def text(self, name: str) -> str | None:
        """Return the value of an option that takes one; None if it was not given."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool:
        """Say whether a flag was given."""
        return self.values.get(name) is True

    def many(self, name: str) -> list[str]:
        """Return all values of an option that may be repeated."""
        value = self.values.get(name)
        return value if isinstance(value, list) else []


def choose(argv: list[str]) -> tuple[Command | None, dict[str, Value], list[str]]:
    """Return the command that is named, the options before its name, and the words after it.

    None instead of the command: nothing is named, or nothing known. Raises `Declined`.
    """
    before: dict[str, Value] = {}
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        word = argv[at]
        at += 1
        if word == "--state" and at < len(argv):
            before["state"] = argv[at]
            at += 1
        elif word.startswith("--state="):
            before["state"] = word[8:]
        elif word == "--as" and at < len(argv):
            before["as"] = argv[at]
            at += 1
        elif word in ("--json", "-q", "--quiet"):
            before["json" if word == "--json" else "quiet"] = True
        else:
            raise Declined
    if at == len(argv):
        return None, before, []
    first, rest = argv[at], argv[at + 1 :]
    if found := JOBS.get(first):
        return found, before, rest
    from ostler.cli.table import ALONE, COMMANDS

    if rest and (two := COMMANDS.get(f"{first} {rest[0]}")):
        return two, before, rest[1:]
    one = COMMANDS.get(first)
    if one is None and first in ALONE and (not rest or rest[0].startswith("-")):
        one = COMMANDS[ALONE[first]]
    return one, before, rest if one else argv[at:]


def read(command: Command, args: list[str]) -> Given:
    """Return what these words give; raise `Declined` at anything out of the ordinary."""
    known = {flag: option for option in command.options for flag in option.flags}
    values: dict[str, Value] = {}
    words: list[str] = []
    separated = False
    at = 0
    while at < len(args):
        arg = args[at]
        at += 1
        if arg == "--":
            separated = command.rest
            words += args[at:]
            break
        if arg.startswith("--"):
            at = _long(known, arg, args, at, values)
        elif arg.startswith("-") and arg != "-":
            at = _short(known, arg, args, at, values)
        else:
            words.append(arg)
            if command.rest:
                words += args[at:]
                break
    _, least, most = command.words
    if len(words) < least or (most is not None and len(words) > most):
        raise Declined
    return Given(command, values, words, separated=separated)


def settle(given: Given, before: dict[str, Value]) -> Given:
    """Add the options that stood before the command; those after it win.

    Raises `UsageError` if two of them ask for the output in two forms.
    """
    named = given.text("in_state")
    if named is not None and "/" in named:  # states of jobs have none: it is the folder
        del given.values["in_state"]
        given.values["state"] = named
    for name, value in before.items():
        given.values.setdefault(name, value)
    for one, other in _APART:
        if one in given.values and other in given.values:
            raise UsageError(
                f"--{one} and --{other} are two forms of output", expected="one of them"
            )
    return given


def _long(
    known: dict[str, Option], arg: str, args: list[str], at: int, values: dict[str, Value]
) -> int:
    """Take `--name`, `--name=value` or `--name value`; return where to go on."""
    flag, equals, value = arg.partition("=")
    option = known.get(flag)
    if option is None:
        raise Declined
    if not option.metavar:
        if equals:
            raise Declined
        values[option.name] = True
        return at
    if not equals:
        if at == len(args):
            raise Declined
        value = args[at]
        at += 1
    _keep(option, value, values)
    return at


def _short(
    known: dict[str, Option], arg: str, args: list[str], at: int, values: dict[str, Value]
) -> int:
    """Take `-q`, `-n4`, `-n 4` or flags in a row; return where to go on."""
    for i in range(1, len(arg)):
        option = known.get("-" + arg[i])
        if option is None:
            raise Declined
        if not option.metavar:
            values[option.name] = True
            continue
        value = arg[i + 1 :]
        if not value:
            if at == len(args):
                raise Declined
            value = args[at]
            at += 1
        _keep(option, value, values)
        break
    return at


def _keep(option: Option, value: str, values: dict[str, Value]) -> None:
    if not option.many:
        values[option.name] = value
        return
    found = values.setdefault(option.name, [])
    if isinstance(found, list):
        found.append(value)

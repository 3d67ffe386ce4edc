"""The road with click: help, and what is wrong with a command line."""

from collections.abc import Mapping
from difflib import get_close_matches

import click

from ostler import __version__
from ostler.cli.elsewhere import command_for, option_for
from ostler.cli.options import Given, Value
from ostler.cli.output import say
from ostler.cli.table import ALONE, COMMANDS, GROUPS
from ostler.cli.table_options import Command, Option
from ostler.model.errors import UsageError

_NAMES = max(len(name) for name in COMMANDS if not name.startswith("lab "))
_SEPARATOR = "\0--"  # stands for `--`, which click swallows; no argument can hold a NUL


def overview(before: Mapping[str, Value], words: list[str]) -> int:
    """Answer a command line that names no command, or none that there is."""
    flags = [word for word in words if word.startswith("-")]
    names = [word for word in words if not word.startswith("-")]
    if "--version" in flags or names == ["version"]:
        say(f"ostler {__version__}")
        return 0
    if not words or "--help" in flags or "-h" in flags or names == ["help"]:
        if not words and before:
            raise UsageError("no command is named", hint="see `ostler --help`")
        say(overview_text())
        return 0
    asked = " ".join(names[1:])
    if names[:1] == ["help"] and (command := COMMANDS.get(ALONE.get(asked, asked))):
        say(help_text(command))
        return 0
    if not words[0].startswith("-"):
        raise _unknown(names)
    strange = [
        f for f in flags if f.partition("=")[0] not in ("--state", "--json", "-q", "--quiet")
    ]
    if strange or not names:
        raise UsageError(
            f"{(strange or flags)[0]} cannot stand before a command",
            expected="--state DIR, --json or -q",
            hint="see `ostler --help`",
        )
    raise _unknown(names)


def _unknown(names: list[str]) -> UsageError:
    if below := _below(names[0]):
        return UsageError(f"`ostler {names[0]}` needs one more word", expected=", ".join(below))
    ours = command_for(*names)
    near = [ours] if ours else get_close_matches(names[0], COMMANDS, 1)
    hint = f"did you mean `ostler {near[0]}`" if near else "see `ostler --help`"
    return UsageError(f"there is no command {names[0]!r}", hint=hint)


def _below(first: str) -> list[str]:
    """Return the commands of two words that begin with one."""
    return [name for name in COMMANDS if name.startswith(f"{first} ")]


def overview_text() -> str:
    """Return what `ostler --help` prints: the commands by group."""
    lines = [
        "Usage: ostler [--state DIR] COMMAND [OPTIONS] [WORDS]",
        "",
        "Ostler turns a set of hosts into one machine, and runs jobs on it. To begin with:",
        "",
        "  ostler up                 this host is now a machine of yours",
        "  ostler run CMD            run it now, here",
        "  ostler submit -- CMD      queue it; its output goes to ostler-JOB.out",
        "  ostler logs -f JOB        see that, while it runs and after",
        "  ostler down               stop the machine",
    ]
    for group in GROUPS:
        lines += ["", f"{group}:", *_summaries(group)]
    lines += ["", "`ostler COMMAND --help` tells its options, with an example."]
    return "\n".join(lines)


def _summaries(group: str) -> list[str]:
    """Return a line for each command of a group; one for all of a lab's, which few need."""
    if group == "A lab":
        names = ", ".join(name.partition(" ")[2] for name in _below("lab"))
        text = "Many nodes as processes of yours, to learn and to break; see `ostler lab --help`."
        return [f"  {'lab':<{_NAMES}}  {text}", f"  {'':<{_NAMES}}  {names}"]
    found = [command for command in COMMANDS.values() if command.group == group]
    return [f"  {command.name:<{_NAMES}}  {command.summary}" for command in found]


def option_of(option: Option) -> click.Option:
    """Return click's form of an option: text, flag or list; values are judged in `job_values`."""
    if not option.metavar:
        return click.Option([*option.flags, option.name], is_flag=True, help=option.help)
    return click.Option(
        [*option.flags, option.name],
        metavar=option.metavar,
        multiple=option.many,
        type=click.UNPROCESSED,
        help=option.help,
    )


def click_command(command: Command) -> click.Command:
    """Return click's form of a command."""
    metavar, least, _ = command.words
    params: list[click.Parameter] = [option_of(option) for option in command.options]
    if metavar:
        words = click.Argument(
            ["words"],
            nargs=-1,
            required=bool(least),
            type=click.UNPROCESSED,
            metavar=usage(command),
        )
        params.insert(0, words)
    return click.Command(
        command.name,
        params=params,
        help=command.summary,
        epilog=f"Example: {command.example}{_see_also(command)}",
        context_settings={
            "help_option_names": ["-h", "--help"],
            "allow_interspersed_args": not command.rest,
            "max_content_width": 100,
        },
    )


def _see_also(command: Command) -> str:
    """Name the other commands of two words that begin with the same one."""
    below = [name for name in _below(command.name.partition(" ")[0]) if name != command.name]
    return f"\n\nSee also: {', '.join(below)}" if below else ""


def usage(command: Command) -> str:
    """Return the positional arguments as help shows them."""
    metavar, least, most = command.words
    if command.rest:
        return f"{metavar} [ARG]..."
    if most is None:
        return f"{metavar}..." if least else f"[{metavar}]..."
    return metavar


def help_text(command: Command) -> str:
    """Return the help of one command."""
    built = click_command(command)
    with click.Context(built, info_name=f"ostler {command.name}", max_content_width=100) as context:
        context.help_option_names = ["-h", "--help"]
        return built.get_help(context)


def parse(command: Command, args: list[str]) -> Given | None:
    """Return what the words give; print help and return None if that is asked for.

    Raises `UsageError` saying what is wrong.
    """
    marked = _mark_separator(command, args) if command.rest else list(args)
    try:
        context = click_command(command).make_context(f"ostler {command.name}", marked)
    except click.exceptions.Exit:
        return None  # help has been printed
    except click.ClickException as error:
        raise _wrong(command, error) from None
    words = [str(word) for word in context.params.pop("words", ())]
    separated = _SEPARATOR in words
    words = [word for word in words if word != _SEPARATOR]
    metavar, least, most = command.words
    if len(words) < least or (most is not None and len(words) > most):
        raise UsageError(
            f"`ostler {command.name}` takes {metavar or 'no words'}, and got {' '.join(words) or 'none'}",
            hint=f"see `ostler {command.name} --help`",
        )
    values: dict[str, Value] = {}
    for name, value in context.params.items():
        if isinstance(value, tuple):
            if value:
                values[name] = [str(item) for item in value]
        elif isinstance(value, bool):
            if value:
                values[name] = True
        elif value is not None:
            values[name] = str(value)
    return Given(command, values, words, separated=separated)


_ONE = {"jobs": "`ostler job ID` shows one job", "nodes": "`ostler node NAME` shows one node"}


def _wrong(command: Command, error: click.ClickException) -> UsageError:
    """Return click's complaint in our words: with the nearest option, or ours for a foreign one."""
    hint = f"see `ostler {command.name} --help`"
    if isinstance(error, click.MissingParameter):
        hint = f"as in: {command.example}"
        if command.words == ("ID", 1, None) and command.name != "requeue":  # not of what has ended
            hint += f"; all of yours: ostler {command.name} $(ostler jobs -q --format id)"
    elif command.name in _ONE and error.message.startswith("Got unexpected extra argument"):
        hint = _ONE[command.name]
    if not isinstance(error, click.NoSuchOption):
        message = error.format_message().rstrip(".")
        return UsageError(message[:1].lower() + message[1:], hint=hint)
    if ours := option_for(command.name, error.option_name):
        hint = f"here it is {ours}"
    elif others := _having(error.option_name):
        hint = f"it is one of {' and '.join(f'`ostler {name}`' for name in others)}"
    elif error.possibilities:
        hint = f"did you mean {' or '.join(sorted(error.possibilities)[:2])}"
    return UsageError(f"there is no option {error.option_name}", hint=hint)


def _mark_separator(command: Command, args: list[str]) -> list[str]:
    """Put a mark after the first `--` that ends the options, so that it can be told."""
    takes = {flag: bool(o.metavar) for o in command.options for flag in o.flags}
    at = 0
    while at < len(args):
        arg = args[at]
        if arg == "--":
            return [*args[: at + 1], _SEPARATOR, *args[at + 1 :]]
        if not arg.startswith("-") or arg == "-":
            break
        if arg.startswith("--"):
            at += takes.get(arg, False)
        elif arg.startswith("-"):
            letter = next((c for c in arg[1:] if takes.get(f"-{c}", True)), "")
            at += bool(letter) and arg.endswith(letter) and arg.index(letter) == len(arg) - 1
        at += 1
    return list(args)  # click takes words out of the list it is given


def _having(flag: str) -> list[str]:
    """Return which of the commands that start something have this option."""
    starting = (COMMANDS[name] for name in ("run", "submit", "alloc"))
    return [c.name for c in starting if any(flag in option.flags for option in c.options)]

"""`#OSTLER` and `#SBATCH` lines at the head of a script, as options of `submit`.

The command line wins over `#OSTLER`, which wins over `#SBATCH`. Lines are read up to the first one
that is neither empty nor a comment.
"""

from ostler.cli.options import Declined, Given, Value, read
from ostler.cli.output import complain
from ostler.model.errors import UsageError

_OURS = b"#OSTLER"
_SLURM = b"#SBATCH"
_NOT_IN_SCRIPTS = ("state", "json", "quiet", "dry_run")


def with_options(given: Given, name: str, script: bytes) -> Given:
    """Return what was typed with what the script adds; raise `UsageError` naming the line.

    Options of `#SBATCH` that are not known are told on standard error and left out.
    """
    ours: list[tuple[int, list[str]]] = []
    slurm: list[tuple[int, list[str]]] = []
    for number, line in _head(script):
        for mark, found in ((_OURS, ours), (_SLURM, slurm)):
            if line.startswith(mark) and line[len(mark) : len(mark) + 1] in (b" ", b"\t"):
                text = line[len(mark) :].decode("utf-8", "surrogateescape")
                found.append((number, _words(text, f"{name} line {number}")))
    values: dict[str, Value] = {}
    if slurm:
        from ostler.cli.sbatch import translate

        try:
            values, warnings = translate(slurm)
        except UsageError as error:
            error.message = f"{name} {error.message}"
            raise
        for warning in warnings:
            complain(f"{name} {warning}")
    asked = values.get("tasks")
    for number, words in ours:
        values.update(_own(given, words, f"{name} line {number}"))
    values.update(given.values)
    if slurm:
        _warn_of_body(name, script, asked if values.get("tasks") is asked else None)
    return Given(given.command, values, given.words, separated=given.separated)


def _warn_of_body(name: str, script: bytes, tasks: Value | None) -> None:
    """Tell what the commands of a script for Slurm do not find here."""
    from ostler.cli.sbatch_body import strange

    for sentence in strange(script, int(tasks) if isinstance(tasks, str) else 1):
        complain(f"{name} {sentence}")


def _head(script: bytes) -> list[tuple[int, bytes]]:
    """Return the comment lines at the head, with their numbers from 1."""
    found = []
    for number, line in enumerate(script.split(b"\n"), 1):
        line = line.strip()  # noqa: PLW2901
        if line and not line.startswith(b"#"):
            break
        found.append((number, line))
    return found


def _own(given: Given, words: list[str], where: str) -> dict[str, Value]:
    try:
        found = read(given.command, [*words, ""])  # a missing value would swallow the empty word
    except Declined:
        found = None
    if found is None or found.words != [""] or found.separated:
        raise UsageError(f"{where}: #OSTLER {' '.join(words)}: {_why(given, words)}")
    for name in _NOT_IN_SCRIPTS:
        if name in found.values:
            raise UsageError(f"{where}: --{name.replace('_', '-')} cannot stand in a script")
    return found.values


def _why(given: Given, words: list[str]) -> str:
    """Return what is wrong with the words of a line that could not be read."""
    from ostler.cli.main import slow_road

    slow_road()
    from ostler.cli.click_road import parse

    if not {"-h", "--help"} & set(words):
        try:
            parse(given.command, [*words, ""])
        except UsageError as error:
            if "SCRIPT" not in error.message:  # then the empty word was taken for a value
                return str(error)
    return "no such option, or a value is missing; see `ostler submit --help`"


def _words(text: str, where: str) -> list[str]:
    """Split as a shell does: blanks part, quotes and backslashes keep together, # starts a comment."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    chars = iter(text)
    for char in chars:
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"':
                word = (word or "") + next(chars, "")
            else:
                word = (word or "") + char
        elif char in "'\"":
            quote, word = char, word or ""
        elif char == "\\":
            word = (word or "") + next(chars, "")
        elif char.isspace():
            if word is not None:
                words.append(word)
            word = None
        elif char == "#" and word is None:
            break
        else:
            word = (word or "") + char
    if quote:
        raise UsageError(f"{where}: a quote {quote} is not closed")
    return words if word is None else [*words, word]

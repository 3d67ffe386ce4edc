"""Chooses the road, runs the command, and turns what went wrong into words and an exit status."""

import sys

from ostler.cli.options import Declined, Given, choose, read, settle
from ostler.cli.output import complain, json_text
from ostler.model.errors import OstlerError, Refused

_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv: list[str]) -> int:
    """Run one command and return its exit status."""
    as_json = "--json" in argv
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _PIPE_CLOSED  # whoever read our output has seen enough
    except Exception as error:  # noqa: BLE001 - the edge of the process
        return report(error, as_json=as_json)


def _main(argv: list[str]) -> int:
    try:
        command, before, rest = choose(argv)
    except Declined:
        command, before, rest = None, {}, argv
    if isinstance(user := before.pop("as", None), str):
        import posix

        posix.environ[b"OSTLER_AS"] = user.encode()
    if command is None:
        slow_road()
        from ostler.cli.click_road import overview

        return overview(before, rest)
    try:
        given: Given | None = read(command, rest)
    except Declined:
        slow_road()
        from ostler.cli.click_road import parse

        given = parse(command, rest)  # None: it has printed help
    return 0 if given is None else run(settle(given, before))


def run(given: Given) -> int:
    """Call the command's function; it is imported only now."""
    module, function = given.command.main.split(":")
    main = getattr(__import__(f"ostler.cli.{module}", fromlist=[function]), function)
    status: int = main(given)
    return status


def slow_road() -> None:
    """Make installed packages importable: the everyday road has started without them."""
    if sys.flags.no_site and "site" not in sys.modules:
        import site

        site.main()


def report(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong on stderr and return the exit status."""
    if isinstance(error, OstlerError):
        parts = {"code": error.code, "message": error.message}
        parts |= {"expected": error.expected, "hint": error.hint}
        status, text = error.exit_status, str(error)
    else:
        kind = type(error).__name__
        parts = {"code": "error", "message": f"{kind}: {error}", "expected": "", "hint": ""}
        status, text = 1, f"{error}" if isinstance(error, OSError) else f"{kind}: {error}"
        if not isinstance(error, OSError):
            text = f"a defect in ostler itself: {text}{_where(error)}"
    if as_json:
        complain(json_text({"error": parts}), bare=True)
    else:
        complain(f"refused: {text}" if isinstance(error, Refused) else text)
    return status


def _where(error: Exception) -> str:
    place = error.__traceback__
    if place is None:
        return ""
    while place.tb_next is not None:
        place = place.tb_next
    name = place.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f" ({name}, line {place.tb_lineno})"

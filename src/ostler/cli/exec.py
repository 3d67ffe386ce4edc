"""`ostler exec`: a command, or a shell, inside a running job, with this terminal."""

import _signal  # type: ignore[import-not-found] # the C half of `signal`, which loads enum
import posix
import select

from ostler.cli import run
from ostler.cli.ask import command_bytes, link_to
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, rows_of
from ostler.cli.table_jobs import JOBS
from ostler.client.inside import Inside
from ostler.client.place import encode
from ostler.model.errors import NotNow, UsageError

_FORWARDED = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_SIGNALLED = 128  # an exit status beyond: the signal that ended the command
_SHELL = b"/bin/sh"


def main(given: Given) -> int:
    """Run the command inside the job and return its exit status."""
    name, words = given.words[0], given.words[1:]
    if words[:1] == ["--"]:
        words = words[1:]
    link = link_to(given)
    row = rows_of(link.call("read", what="job", ref=name), "jobs")[0]
    link.close()
    argv = command_bytes(words) or [posix.environ.get(b"SHELL") or _SHELL]
    if row.get("kind") == "alloc" and row.get("state") == "running":
        return _step(given, link.state, name, argv)
    element = _element(name, row)
    inside = Inside(link.state, str(element.get("node")).partition(",")[0])
    term = posix.environ.get(b"TERM") or b"dumb"
    wakeup = run.catch_signals((*_FORWARDED, _signal.SIGWINCH))
    if _on_terminal():
        from ostler.client.terminal import Terminal

        with Terminal() as terminal:
            inside.begin(_wish(element, argv, term), terminal.descriptors)
            terminal.lend()
            return _follow(inside, wakeup, terminal)
    inside.begin(_wish(element, argv, b""), (0, 1, 2))
    return _follow(inside, wakeup, None)


def _step(given: Given, state: str, job: str, argv: list[bytes]) -> int:
    """Run it as a step: in what `alloc` holds there are no tasks to stand beside."""
    posix.environ[b"OSTLER_JOB"] = job.encode()
    posix.environ[b"OSTLER_STATE"] = encode(state)
    values = {key: value for key, value in given.values.items() if key in ("state", "quiet")}
    if _on_terminal():
        values["pty"] = True
    words = [word.decode(errors="surrogateescape") for word in argv]
    return run.main(Given(JOBS["run"], values, words, separated=True))


def _on_terminal() -> bool:
    return all(map(posix.isatty, range(3)))


def _element(name: str, row: Row) -> Row:
    """Return the element in which it is to run; raise `NotNow` or `UsageError`."""
    elements = rows_of(row, "element_rows")
    if len(elements) > 1:
        raise UsageError(
            f"{name} has {len(elements)} elements", hint=f"name one: {elements[0].get('id')}"
        )
    for element in elements:
        if element.get("state") == "running":
            return element
        raise NotNow(f"{name} is {element.get('state')}, and only what runs can be entered")
    raise NotNow(f"{name} does not run")


def _wish(element: Row, argv: list[bytes], term: bytes) -> dict[str, object]:
    wish: dict[str, object] = {"alloc": element.get("allocation"), "argv": argv, "term": term}
    return wish | {"element": element.get("element") if "_" in str(element.get("id")) else -1}


def _follow(inside: Inside, wakeup: int, terminal: "Terminal | None") -> int:
    """Pass signals, and a terminal's bytes, until the command has ended; return its status."""
    while inside.end is None:
        waiting = select.poll()
        waiting.register(inside.fileno(), select.POLLIN)
        waiting.register(wakeup, select.POLLIN)
        if terminal is not None:
            terminal.register(waiting)
        ready = dict(waiting.poll())
        for number in posix.read(wakeup, 64) if wakeup in ready else b"":
            if number in _FORWARDED:
                inside.signal(number)
            elif terminal is not None:
                terminal.resize()
        if terminal is not None:
            terminal.pass_on(ready)
        if inside.fileno() in ready:
            inside.pump()
    if terminal is not None:
        terminal.drain()
    code, signum, why = inside.end
    if why:
        complain(why)
    return _SIGNALLED + signum if signum else code


TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.client.terminal import Terminal

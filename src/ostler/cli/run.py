"""`ostler run`: a job with this terminal's descriptors, and this process's exit status from it.

Its tasks get our own descriptors where that is enough. Labels, terminals, input for all tasks and
a client that may go want a relay, which holds the tasks' streams and outlives all of us.
"""

import _signal  # type: ignore[import-not-found] # the C half of `signal`, which loads enum
import posix
import select
import time

from ostler.cli.ask import command_bytes, link_to, state_of
from ostler.cli.job_values import base_name, job_values
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, json_text, rows_of, say
from ostler.client.leave import Leaving
from ostler.client.link import Link, error_from
from ostler.client.place import encode
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import NotNow, Refused, UsageError
from ostler.model.limits import STDIN

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.client.joining import Joining

    Ends = Leaving | Joining

_FORWARDED = (_signal.SIGINT, _signal.SIGTERM)
_OF_TERMINALS = (_signal.SIGWINCH, _signal.SIGCONT, _signal.SIGQUIT, _signal.SIGHUP)
_OURS = 125  # the exit status when Ostler ended the job
_SILENT = 1.0  # seconds until it is told that the job still waits, and why
_DIGITS = 13  # of a job's number there are fewer
_HUNG_UP = 129
NOT_AT_ONCE = "it cannot be granted at once"
_AGAIN = 1.0  # seconds until the end is asked for again, after the manager could not answer


def main(given: Given) -> int:
    """Run the command and return the job's exit status."""
    open_descriptors()
    values = job_values(given)
    values.setdefault("name", base_name(given.words[0]))
    token = new_request_id()
    values |= {"argv": command_bytes(given.words), "kind": "run", "stdin": _stdin(given)}
    streams = _streams(given)
    values |= {"stdio": token} if streams is None else {"streams": streams}
    if given.flag("detach"):
        values["detach"] = True
    if given.flag("immediate"):
        values["immediate"] = True
    link = _link(given)
    values |= _surroundings(link.state)
    spec, blobs = make_spec(values)
    if streams is None:
        left = Leaving(link.state, token)
        left.leave()
        wakeup = catch_signals(_FORWARDED)
        body = link.call("submit", request_id=token, spec=spec, blobs=blobs)
        return wait(given, link, left, wakeup, str(body["job"]))
    from ostler.client.joining import Joining

    wakeup = catch_signals(_FORWARDED + _OF_TERMINALS)
    body = link.call("submit", request_id=token, spec=spec, blobs=blobs)
    joining = Joining(link.state)
    joining.follow(str(body["job"]))
    return wait(given, link, joining, wakeup, str(body["job"]))


def wait(given: Given, link: Link, ends: "Ends", wakeup: int, job: str) -> int:
    """Be the client of a job until it has ended; return its exit status."""
    waiting = Waiting(link, ends, wakeup, job, quiet=given.flag("quiet"))
    try:
        row = waiting.row()
    finally:
        ends.close()  # whatever happens, the terminal is what it was
    if row is None:
        return _gone(given, link, job, ends.stopped)
    link.close()
    if ends.is_lost:
        complain(f"the relay of job {job} ended before its tasks, and their output with it")
    return _told(given, row, interrupted=waiting.signals > 0)


def attach(given: Given) -> int:
    """Be the client of a `run` that has lost its own, or take its place."""
    open_descriptors()
    link = link_to(given)
    job = given.words[0]
    row = rows_of(link.call("read", what="job", ref=job), "jobs")[0]
    if row.get("kind") != "run":
        raise Refused(f"job {job} is no `run`", hint=f"see `ostler logs -f {job}`")
    is_over = row.get("state") == "done"
    if row.get("streams") != "relay" and not is_over:
        raise Refused(
            f"job {job} writes to the descriptors of its own client",
            hint="to come back to a `run`, start it with --detach, --label or --pty",
        )
    from ostler.client.joining import Joining

    wakeup = catch_signals(_FORWARDED + _OF_TERMINALS)
    joining = Joining(link.state)
    joining.follow(job)
    if is_over and not joining.is_there:  # else what its last client did not read still waits
        raise NotNow(f"job {job} has ended as {row.get('result')}: {row.get('reason')}")
    return wait(given, link, joining, wakeup, job)


def _stdin(given: Given) -> str | None:
    text = given.text("stdin")
    if text is not None and text not in STDIN:
        raise UsageError(f"--stdin cannot be {text!r}", expected=", ".join(STDIN))
    return text


def _streams(given: Given) -> dict[str, object] | None:
    """Return what a relay is to do; None: no relay is needed."""
    pty = given.flag("pty")
    if not (pty or given.flag("ranked") or given.flag("detach") or given.text("stdin") == STDIN[1]):
        return None
    if not pty:
        return {"label": given.flag("ranked")}
    if given.flag("ranked"):
        raise UsageError("--pty and --label contradict each other", hint="a terminal has no lines")
    from ostler.client.joining import own_window

    return {"window": own_window()}


def _gone(given: Given, link: Link, job: str, why: str) -> int:
    """Say why this client goes before its job; return the exit status."""
    if why == "hung up":
        return _HUNG_UP
    if why == "taken":
        raise NotNow(f"another client has taken job {job} over", hint=f"ostler attach {job}")
    answer = link.call("act", verb="detach", refs=[job])
    link.close()
    if not rows_of(answer, "jobs")[0].get("ok"):
        raise error_from(rows_of(answer, "jobs")[0])
    if not given.flag("quiet"):
        complain(f"job {job} goes on; `ostler attach {job}` gets it back")
    return 0


def open_descriptors() -> None:
    """Put /dev/null where our caller has closed 0, 1 or 2, so that all three can be left."""
    for fd in range(3):
        try:
            posix.fstat(fd)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)  # the lowest that is free, so this one


def _surroundings(state: str) -> dict[str, object]:
    """Return the job in which this is typed, if it is one of this machine: it may hold CPUs for us.

    Whether it does, the manager knows.
    """
    environ = posix.environ
    job = environ.get(b"OSTLER_JOB", b"")
    here = environ.get(b"OSTLER_STATE", b"")
    if not (job.isdigit() and len(job) < _DIGITS and here == encode(state)):
        return {}
    return {"within": int(job)}


def _link(given: Given) -> Link:
    """Return the connection; with --up start a machine first where none answers."""
    try:
        return link_to(given)
    except NotNow as error:
        if not given.flag("up"):
            if error.message.startswith("no machine is up"):
                error.hint = "start one with `ostler up`, or at once with `ostler run --up`"
            raise
    from ostler.cli.up import bring_up

    bring_up(state_of(given, new=True), {}, quiet=True)
    return link_to(given)


def catch_signals(numbers: tuple[int, ...]) -> int:
    """Turn these signals into bytes on a pipe; return the end to read."""
    out, into = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
    _signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    for number in numbers:
        _signal.signal(number, lambda _number, _frame: None)
    return out


def tell_if_it_waits(link: Link, job: str) -> None:
    """Say why a job has not started, if it has not."""
    row = link.call("read", what="explain", ref=job)
    if row.get("state") in ("pending", "held"):
        complain(f"job {job} waits ({row.get('rule')}): {row.get('reason')}")


class Waiting:
    """Until the job has ended: pass signals on, and keep its streams joined to ours.

    ends: a `Leaving`, whose tasks have our own descriptors, or a `Joining`.
    """

    def __init__(
        self, link: Link, ends: "Ends", wakeup: int, job: str, *, quiet: bool = False
    ) -> None:
        self.link = link
        self.ends = ends
        self.wakeup = wakeup
        self.job = job
        self.signals = 0
        self._request = 0
        self._news = 0  # the request that follows the job, over the connection of this generation
        self._generation = 0
        self._told = False
        self._look = None if quiet else time.monotonic() + _SILENT
        link.sleep = self._sleep

    def row(self) -> Row | None:
        """Return the row of the ended job; None: this client is to go before that."""
        while True:
            try:
                self._request = self.link.send("wait", refs=[self.job], attach=True)
                while not self.link.answered(self._request):
                    self._turn()
                    if self.ends.stopped:
                        return None
                row = rows_of(self.link.result(self._request), "jobs")[0]
            except NotNow as error:  # its disk is full, say; the job itself goes on
                if self.signals > 1 or error.message.startswith("no machine is up"):
                    raise
                if not self._told:
                    complain(f"{error}; job {self.job} goes on, still waiting")
                self._told = True
                self._sleep(_AGAIN)
            else:
                self.ends.drain(self._drain)
                return row

    def _turn(self) -> None:
        """Wait for one thing to happen, and deal with it."""
        if self.ends.scattered:
            self._find()
            if self.link.answered(self._request):
                return
        pause = self._pause(self.ends.pause)
        if self.link.answered(self._request):
            return
        ready = self._poll(pause, self.link.fileno(), self.wakeup)
        if self.wakeup in ready:
            for number in posix.read(self.wakeup, 64):
                self._signal(number)
        if self.link.fileno() in ready:
            self.link.pump(0)

    def _poll(self, most: int | None, *fds: int) -> "dict[int, int]":
        """Wait so many milliseconds for these descriptors, and for those of the streams."""
        waiting = select.poll()
        for fd in fds:
            waiting.register(fd, select.POLLIN)
        self.ends.register(waiting)
        ready = dict(waiting.poll(most))
        self.ends.tend(ready)
        return ready

    def _drain(self, most: int | None) -> None:
        """Let the streams go on after the job's end, until a signal says that it is enough."""
        ready = self._poll(most, self.wakeup)
        if self.wakeup in ready and set(posix.read(self.wakeup, 64)) & {*_FORWARDED}:
            raise KeyboardInterrupt

    def _sleep(self, seconds: float) -> None:
        """Wait while no manager answers; the streams go on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._poll(int(left * 1000) + 1)

    def _find(self) -> None:
        """Learn the job's nodes whenever something has happened to it; over each connection anew."""
        if self._generation != self.link.generation:
            self._generation = self.link.generation
            self._news = self.link.send("follow", job=self.job)
        elif not self.link.news(self._news):
            return
        row = rows_of(self.link.call("read", what="job", ref=self.job), "jobs")[0]
        nodes = row["allocation_nodes"]
        self.ends.at(map(str, nodes) if isinstance(nodes, list) else ())

    def _pause(self, most: int | None) -> int | None:
        """Return how many milliseconds to wait, so that a job that still waits is told of once."""
        if self._look is None:
            return most
        left = self._look - time.monotonic()
        if left > 0:
            pause = int(left * 1000) + 1
            return pause if most is None else min(pause, most)
        self._look = None
        tell_if_it_waits(self.link, self.job)
        return most

    def _signal(self, number: int) -> None:
        """Pass the first signal on to the tasks; cancel at the second, or if nothing runs yet."""
        if number not in _FORWARDED:
            self.ends.signalled(number)
            return
        self.signals += 1
        if self.signals == 1:
            answer = self.link.call("act", verb="signal", refs=[self.job], signal=number)
            if rows_of(answer, "jobs")[0].get("ok"):
                return
        self.link.call("act", verb="cancel", refs=[self.job])


def _told(given: Given, row: Row, *, interrupted: bool) -> int:
    """Say how it ended if its tasks did not tell, and return its exit status."""
    status = row.get("exit_status")
    result, reason = str(row.get("result")), str(row.get("reason") or "")
    if result == "rejected" and reason.startswith(NOT_AT_ONCE):
        raise NotNow(reason, hint="leave --immediate out to wait for it")
    # A command that was not found is told by the starter, on the job's own standard error.
    ended_by_itself = result == "success" or (
        result == "failed" and not given.flag("kill_on_bad_exit")
    )
    if not ended_by_itself and not (interrupted and given.flag("quiet")):
        complain(f"job {row['id']} ended: {result}: {reason}")
    if given.flag("json"):
        say(json_text({"jobs": [row]}))
    return status if isinstance(status, int) else _OURS

"""`ostler run`: a job with this terminal's descriptors, and this process's exit status from it."""

import _signal  # type: ignore[import-not-found] # the C half of `signal`, which loads enum
import posix
import select
import time

from ostler.cli.ask import base_name, command_bytes, job_values, link_to, state_of
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, json_text, rows_of, say
from ostler.client.leave import Leaving
from ostler.client.link import Link
from ostler.client.place import encode
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import NotNow

_FORWARDED = (_signal.SIGINT, _signal.SIGTERM)
_OURS = 125  # the exit status when Ostler ended the job
_PAUSE_MS = 200  # between tries to leave the descriptors with an agent that is not back yet
_SILENT = 1.0  # seconds until it is told that the job still waits, and why
_DIGITS = 13  # of a job's number there are fewer
_AGAIN = 1.0  # seconds until the end is asked for again, after the manager could not answer


def main(given: Given) -> int:
    """Run the command and return the job's exit status."""
    _open_descriptors()
    values = job_values(given)
    values.setdefault("name", base_name(given.words[0]))
    token = new_request_id()
    values |= {"argv": command_bytes(given.words), "stdio": token, "kind": "run"}
    link = _link(given)
    values |= _surroundings(link.state)
    spec, blobs = make_spec(values)
    left = Leaving(link.state, token)
    left.leave()
    wakeup = _catch_signals()
    body = link.call("submit", request_id=token, spec=spec, blobs=blobs)
    waiting = Waiting(link, left, wakeup, str(body["job"]), quiet=given.flag("quiet"))
    row = waiting.row()
    link.close()
    left.close()
    return _told(given, row, interrupted=waiting.signals > 0)


def _open_descriptors() -> None:
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


def _catch_signals() -> int:
    """Turn interruptions into bytes on a pipe; return the end to read."""
    out, into = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
    _signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    for number in _FORWARDED:
        _signal.signal(number, lambda _number, _frame: None)
    return out


class Waiting:
    """Until the job has ended: pass signals on, and keep its descriptors with the agent."""

    def __init__(
        self, link: Link, left: Leaving, wakeup: int, job: str, *, quiet: bool = False
    ) -> None:
        self.link = link
        self.left = left
        self.wakeup = wakeup
        self.job = job
        self.signals = 0
        self._request = 0
        self._news = 0  # the request that follows the job, over the connection of this generation
        self._generation = 0
        self._told = False
        self._look = None if quiet else time.monotonic() + _SILENT

    def row(self) -> Row:
        """Return the row of the ended job."""
        while True:
            try:
                self._request = self.link.send("wait", refs=[self.job], attach=True)
                while not self.link.answered(self._request):
                    self._turn()
                return rows_of(self.link.result(self._request), "jobs")[0]
            except NotNow as error:  # its disk is full, say; the job itself goes on
                if self.signals > 1 or error.message.startswith("no machine is up"):
                    raise
                if not self._told:
                    complain(f"{error}; job {self.job} goes on, still waiting")
                self._told = True
                time.sleep(_AGAIN)

    def _turn(self) -> None:
        """Wait for one thing to happen, and deal with it."""
        waiting = select.poll()
        waiting.register(self.link.fileno(), select.POLLIN)
        waiting.register(self.wakeup, select.POLLIN)
        if self.left.scattered:
            self._find()
            if self.link.answered(self._request):
                return
        for agent in self.left.filenos():
            waiting.register(agent, select.POLLIN)
        quiet = self.left.complete and not self.left.scattered
        ready = {fd for fd, _ in waiting.poll(self._pause(None if quiet else _PAUSE_MS))}
        if self.wakeup in ready:
            for number in posix.read(self.wakeup, 64):
                self._signal(number)
        self.left.tend(ready)
        if self.link.fileno() in ready:
            self.link.pump(0)

    def _find(self) -> None:
        """Learn the job's nodes whenever something has happened to it; over each connection anew."""
        if self._generation != self.link.generation:
            self._generation = self.link.generation
            self._news = self.link.send("follow", job=self.job)
        elif not self.link.news(self._news):
            return
        row = rows_of(self.link.call("read", what="job", ref=self.job), "jobs")[0]
        nodes = row["allocation_nodes"]
        self.left.at(map(str, nodes) if isinstance(nodes, list) else ())

    def _pause(self, most: int | None) -> int | None:
        """Return how many milliseconds to wait, so that a job that still waits is told of once."""
        if self._look is None:
            return most
        left = self._look - time.monotonic()
        if left > 0:
            pause = int(left * 1000) + 1
            return pause if most is None else min(pause, most)
        self._look = None
        row = self.link.call("read", what="explain", ref=self.job)
        if row.get("state") in ("pending", "held"):
            complain(f"job {self.job} waits ({row.get('rule')}): {row.get('reason')}")
        return 0 if self.link.answered(self._request) else most

    def _signal(self, number: int) -> None:
        """Pass the first signal on to the tasks; cancel at the second, or if nothing runs yet."""
        if number not in _FORWARDED:
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
    # A command that was not found is told by the starter, on the job's own standard error.
    ended_by_itself = result in ("success", "failed")
    if not ended_by_itself and not (interrupted and given.flag("quiet")):
        complain(f"job {row['id']} ended: {result}: {reason}")
    if given.flag("json"):
        say(json_text({"jobs": [row]}))
    return status if isinstance(status, int) else _OURS

"""`ostler alloc`: holds resources while a shell or a command runs here, as `ostler run` in it may."""

import _signal  # type: ignore[import-not-found] # the C half of `signal`, which loads enum
import posix
import select
import time

from ostler.cli.ask import command_bytes, duration, link_to
from ostler.cli.job_values import base_name, job_values
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, json_text, rows_of, say
from ostler.cli.run import catch_signals, tell_if_it_waits
from ostler.client.link import Link
from ostler.client.place import encode
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import NotNow, OstlerError

_ENDING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
_PASSED_ON = (_signal.SIGTERM, _signal.SIGHUP)  # Ctrl-C reaches the command without us
_RESIZED = "job/resized"  # kind of event
_OURS = 125  # the exit status when Ostler ended the allocation
_NOT_NOW = 5
_SILENT = 1.0  # seconds until it is told that the request still waits, and why
_AGAIN = 1.0  # seconds until it is asked again, after the manager could not answer
_GRACE = 5.0  # seconds between the first and the last signal to a command that has lost its hold
_SIGNALLED = 128  # an exit status beyond: the signal that ended the command
_SHELL = b"/bin/sh"
# What a task has for itself, if this is typed in one; its steps get their own.
_NOT_OURS = (b"OSTLER_STEP", b"OSTLER_RANK", b"OSTLER_ELEMENT", b"OSTLER_ITEM", b"OSTLER_CPU_LIST")


def main(given: Given) -> int:
    """Hold what is asked for while the command runs, and return its exit status."""
    argv = command_bytes(given.words) or [posix.environ.get(b"SHELL") or _SHELL]
    values = job_values(given)
    del values["env"]  # nothing is started with it
    values.setdefault("name", base_name(given.words[0]) if given.words else "alloc")
    values |= {"argv": argv, "kind": "alloc", "immediate": given.flag("immediate")}
    if (text := given.text("idle")) is not None:
        values["idle"] = duration("--idle", text)
    if given.words:
        values["idle"] = 0  # the command is what it is held for
    spec, blobs = make_spec(values)
    link = link_to(given)
    wakeup = catch_signals((*_ENDING, _signal.SIGQUIT, _signal.SIGCHLD))
    body = link.call("submit", request_id=new_request_id(), spec=spec, blobs=blobs)
    holder = Holder(link, wakeup, str(body["job"]), quiet=given.flag("quiet"))
    row = holder.granted()
    status = _refused(given, holder) if row is None else holder.run(argv, row)
    if given.flag("json"):
        say(json_text({"jobs": [holder.ended()]}))
    link.close()
    return status


def _refused(given: Given, holder: "Holder") -> int:
    row = holder.ended()
    if holder.signal:
        return _SIGNALLED + holder.signal
    if given.flag("immediate") and row.get("result") == "rejected":
        raise NotNow(str(row.get("reason")), hint="leave --immediate out to wait for it")
    holder.tell_end(row)
    return _OURS


class Holder:
    """One allocation, from the request on, and the command that runs while it is held."""

    def __init__(self, link: Link, wakeup: int, job: str, *, quiet: bool) -> None:
        self.job = job
        self.signal = 0  # the one that ended the wait
        self._link = link
        self._wakeup = wakeup
        self._quiet = quiet
        self._wait = 0  # the request that is answered at the end, and shows that we are here
        self._news = 0
        self._generation = 0
        self._look = None if quiet else time.monotonic() + _SILENT
        self._row: Row | None = None  # as it has ended
        self._ask()

    def _ask(self) -> None:
        self._wait = self._link.send("wait", refs=[self.job], attach=True)

    # -- waiting ---------------------------------------------------------------------------

    def granted(self) -> Row | None:
        """Return the job's row once it has what it asked for; None if it will not get it."""
        while not self._is_over():
            row = self._news_of_it()
            if row is not None and row.get("state") == "running":
                return row
            if not self._is_over():
                for number in self._turn(self._pause()):
                    self._cancel(number)
        return None

    def _news_of_it(self) -> Row | None:
        """Return how it stands whenever something has happened; over each connection anew."""
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._news = self._link.send("follow", job=self.job)
        elif not self._link.news(self._news):
            return None
        return rows_of(self._link.call("read", what="job", ref=self.job), "jobs")[0]

    def _pause(self) -> float | None:
        """Return how many seconds to wait, so that a request that still waits is told of once."""
        if self._look is None:
            return None
        left = self._look - time.monotonic()
        if left > 0:
            return left
        self._look = None
        tell_if_it_waits(self._link, self.job)
        return 0.0

    def _cancel(self, number: int) -> None:
        if number in _ENDING:
            self.signal = self.signal or number
            self._link.call("act", verb="cancel", refs=[self.job])

    def _turn(self, seconds: float | None) -> bytes:
        """Wait for one thing to happen; return the signals that came."""
        waiting = select.poll()
        waiting.register(self._link.fileno(), select.POLLIN)
        waiting.register(self._wakeup, select.POLLIN)
        ready = {fd for fd, _ in waiting.poll(None if seconds is None else int(seconds * 1000) + 1)}
        if self._link.fileno() in ready:
            self._link.pump(0)
        return posix.read(self._wakeup, 64) if self._wakeup in ready else b""

    def _is_over(self) -> bool:
        """Say whether the job has ended; a manager that cannot answer now is asked again."""
        if self._row is None and self._link.answered(self._wait):
            try:
                self._row = rows_of(self._link.result(self._wait), "jobs")[0]
            except NotNow:
                time.sleep(_AGAIN)
                self._ask()
        return self._row is not None

    def ended(self) -> Row:
        """Return the row of the ended job."""
        while not self._is_over():
            self._link.pump(None)
        return self._row or {}

    def tell_end(self, row: Row) -> None:
        """Say how Ostler ended it."""
        complain(f"job {self.job} ended: {row.get('result')}: {row.get('reason')}")

    # -- the command -----------------------------------------------------------------------

    def run(self, argv: list[bytes], row: Row) -> int:
        """Run the command while the allocation is held; return its exit status, or 125."""
        if not self._quiet:
            complain(f"job {self.job} holds {_amount(row)}; it is given back when this ends")
        try:
            pid = posix.posix_spawnp(argv[0], argv, self._environment(row))
        except OSError as error:
            complain(f"{argv[0].decode(errors='replace')} cannot be run: {error.strerror}")
            return self._release(127 if isinstance(error, FileNotFoundError) else 126)
        status = self._until_ended(pid)
        _take_terminal_back()
        if self._row is not None:
            told = self._row.get("exit_status")
            return told if isinstance(told, int) else _OURS
        return self._release(status)

    def _until_ended(self, pid: int) -> int:
        kill_at: float | None = None
        while True:
            done, raw = posix.waitpid(pid, posix.WNOHANG)
            if done:
                code = posix.waitstatus_to_exitcode(raw)
                return code if code >= 0 else _SIGNALLED - code
            if kill_at is None and self._is_over_by_itself():
                kill_at = time.monotonic() + _GRACE
                for number in (_signal.SIGHUP, _signal.SIGTERM, _signal.SIGCONT):
                    posix.kill(pid, number)
            elif kill_at is not None and time.monotonic() >= kill_at:
                posix.kill(pid, _signal.SIGKILL)
            if kill_at is None and self._is_resized():
                posix.kill(pid, _signal.SIGWINCH)  # which harms nobody who does not know of it
            for number in self._turn(None if kill_at is None else _GRACE):
                if number in _PASSED_ON:
                    posix.kill(pid, number)

    def _is_resized(self) -> bool:
        """Say whether it has other nodes than before, and tell which."""
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._news = self._link.send("follow", job=self.job)
        news = self._link.news(self._news)
        told = [
            row.get("text") for row in news if isinstance(row, dict) and row.get("kind") == _RESIZED
        ]
        for text in [] if self._quiet else told:
            complain(f"job {self.job} was resized: {text}")
        return bool(told)

    def _is_over_by_itself(self) -> bool:
        try:
            if not self._is_over():
                return False
        except OstlerError as error:  # as when the machine was stopped and forgotten
            complain(str(error))
            self._row = {}
            return True
        self.tell_end(self._row or {})
        return True

    def _environment(self, row: Row) -> dict[bytes, bytes]:
        env = {key: value for key, value in posix.environ.items() if key not in _NOT_OURS}
        return env | {
            b"OSTLER_JOB": self.job.encode(),
            b"OSTLER_STATE": encode(self._link.state),
            b"OSTLER_NODES": ",".join(_nodes(row)).encode(),
            b"OSTLER_TASKS": str(row.get("tasks")).encode(),
            b"OSTLER_CPUS": str(row.get("cpus")).encode(),
        }

    def _release(self, status: int) -> int:
        """Give the allocation back, and return the status."""
        try:
            self._link.call("act", verb="end", refs=[self.job], status=status)
        except OstlerError as error:
            complain(f"{error}; job {self.job} ends when the manager has missed us for a while")
        return status


def _nodes(row: Row) -> list[str]:
    nodes = row.get("allocation_nodes")
    return [str(node) for node in nodes] if isinstance(nodes, list) else []


def _amount(row: Row) -> str:
    tasks, cpus = row.get("tasks"), row.get("cpus")
    count = tasks * cpus if isinstance(tasks, int) and isinstance(cpus, int) else 0
    return f"{count} CPU{'' if count == 1 else 's'} on {', '.join(_nodes(row))}"


def _take_terminal_back() -> None:
    """Be in the foreground again, wherever a shell with jobs of its own has left the terminal."""
    _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
    try:
        posix.tcsetpgrp(0, posix.getpgrp())
    except OSError:
        return  # there is no terminal

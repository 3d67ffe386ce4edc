"""One share from the order to its end, inside a starter: its context, its elements, its reports.

A share that is a slot runs the elements of chunks, one after the other, and tells how they ended
by `progress`; any other runs one, and `ended` tells. Every change goes to the spool before it is
told.
"""

import os
import time
from math import inf

from ostler.agent import context, spool
from ostler.agent.attempt import Attempt, CannotStart, duration
from ostler.agent.guests import MOST, Guest, Guests
from ostler.agent.host import Host
from ostler.agent.output import Rejected, Three, clients_own, why_not
from ostler.agent.relay_socket import Lent, NoRelay
from ostler.agent.share import Share
from ostler.agent.spool import Row
from ostler.agent.starter_protocol import ENDED, MADE, NODE_FAULT, STARTED
from ostler.agent.telling import Message, Tell, Telling
from ostler.core.line import Line

# Seconds from a start until it is told: its own program comes first, and the end of a short one goes
# with it. A slot's start goes with the first of its elements.
_START_TOLD = 0.01
_LEASE_LOOK = 5.0  # seconds; while the host sleeps only the lease's clock goes on
_NO_USAGE = [0.0, 0.0, 0, 0, 0, 0.0]


class Runner:
    """The life of one share. After each call `deadline` says when `tick` wants to be called."""

    def __init__(self, share: Share, host: Host, tell: Tell, stdio: list[int]) -> None:
        self.share = share
        self.phase = MADE
        self.cause = ""
        self.why = ""
        self.started_at: float | None = None  # of the first element
        self._start_due = inf  # monotonic seconds at which the start is to be told
        self._host = host
        self._tell = tell
        self._stdio = stdio  # a waiting client's 0, 1, 2; ours to close
        self._lent: Lent | None = None  # by the relay that holds the tasks' streams
        self._script = b""
        self._attempt: Attempt | None = None  # once there is a context
        self._line = Line()
        self._telling = Telling(share.alloc, self._line, host.spool, tell)
        self._accepted: Message = {}
        self._is_standing = False  # suspended: nothing is started
        self._guests = Guests(share, tell)
        self._lease_from = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._ended: Message = {}
        if share.chunk is not None:
            self._line.feed(share.chunk)

    # ── the order ────────────────────────────────────────────────────────────────────────────
    def make(self) -> None:
        """Make the context, and start the tasks if the order says so."""
        share = self.share
        try:
            self._accepted = {**share.for_spool(), "at": time.time()}
            self._host.spool.add(spool.ACCEPTED, self._accepted)
            if share.script:
                self._script = context.write_script(share, self._host.state)
            self._host.groups.enter()
            attempt = Attempt(share, self._host, self._script, self._threes())
            share.forget_large_parts()
            context.become_user(share)
            context.take_place(share)
        except Rejected as error:
            self._reject_all(str(error))
        except NoRelay as error:
            # Its user can end or fill the relay, so it is no reason to spare the node.
            self._finish("", f"{share.node} could not start it: {error}")
        except OSError as error:
            why = f"{share.node} cannot keep the record of a job: {why_not(error)}"
            self._finish(NODE_FAULT, why)
        else:
            self._attempt = attempt
            if share.start:
                self.start_tasks()
            else:
                self._tell({"type": "made", "alloc": share.alloc})

    def _threes(self) -> list[Three]:
        """Return what the tasks have as 0, 1 and 2 by rank, where those are no files."""
        share = self.share
        if share.relay:
            self._lent = Lent(self._host.state, share.relay, share.uid, share.ranks)
            return self._lent.threes
        if share.stdio and len(self._stdio) != 3:
            raise Rejected("the client's descriptors did not come with the order; try again")
        return clients_own(share, self._host.nulls, self._stdio)

    def _reject_all(self, why: str) -> None:
        """End it before anything ran, as the job asks for what cannot be: so do all its elements."""
        now = time.time()
        rows: list[Row] = []
        while (turn := self._line.next()) is not None:
            rows.append([turn.index, turn.attempt, None, now, "rejected", why, [], _NO_USAGE])
        if rows:
            self._telling.ended_all(rows)
        self._finish("rejected", why)

    def start_tasks(self) -> None:
        """Start the tasks, of a slot those of its first element."""
        if self.phase != MADE or self._attempt is None:
            return
        if self.share.is_slot:
            self._go_on(self._attempt)
            return
        try:
            self._attempt.begin()
        except Rejected as error:
            self._finish("rejected", str(error))
        except CannotStart as error:
            self._finish(NODE_FAULT, str(error))
        else:
            self._started(self._attempt)
            if self._lent is not None:
                self._lent.done()
            self._close_stdio()
            if not self._attempt.running:
                self.children_changed()

    def _started(self, attempt: Attempt) -> None:
        """Tell, once, that something runs."""
        if self.phase != MADE:
            return
        self.phase, self.started_at = STARTED, attempt.started_at
        if self.share.is_slot:
            self._tell(self._report_of_start())
        else:
            self._start_due = time.monotonic() + _START_TOLD

    # ── one element after the other ──────────────────────────────────────────────────────────
    def children_changed(self) -> None:
        """Reap what has ended; when nothing is left go on, or finish."""
        attempt = self._attempt
        if attempt is None or not attempt.is_on or not attempt.is_over():
            return
        if self.share.is_slot:
            self._note_end(attempt)
            self._go_on(attempt)
            return
        self._finish(attempt.cause, attempt.why, attempt.exits, attempt.usage)

    def _go_on(self, attempt: Attempt) -> None:
        """Start the next element, if there is one and it may be."""
        while not attempt.is_on and self.phase != ENDED and not self._is_standing:
            if self.cause:
                self._finish(self.cause, self.why)
            elif (turn := self._line.next()) is not None:
                self.share.turn_to(turn.index, turn.attempt, turn.item)
                self._begin(attempt)
            elif self._line.last:
                self._finish("", "")
            else:
                self._telling.report()  # more comes, when this is known
                return

    def _begin(self, attempt: Attempt) -> None:
        """Start the element whose turn it is; it may be over at once."""
        if self._telling.is_spool_long:
            self._telling.renew_spool(self._state(attempt))
        try:
            attempt.begin()
        except Rejected as error:
            attempt.reject(str(error))
            self._note_end(attempt)
            return
        except CannotStart as error:
            self._line.running = None  # it goes back with what is queued
            self._finish(NODE_FAULT, str(error))
            return
        self._line.since = attempt.started_at or 0.0
        self._started(attempt)
        if not attempt.running and attempt.is_over():
            self._note_end(attempt)
        else:
            self._telling.begun()

    def _note_end(self, attempt: Attempt) -> None:
        now = time.time()
        self._telling.ended(attempt.row(now))
        if self._is_standing:
            self._host.spool.note(spool.SUSPENDED, now)

    def feed(self, chunk: Message, heard: int) -> None:
        """Take more elements in, behind what there is."""
        if self.phase == ENDED or self._attempt is None:
            return  # `ended` gives back what was not told of
        self.acknowledge(heard)
        self._line.feed(chunk)
        self._telling.fed()
        self._go_on(self._attempt)

    def withdraw(self, elements: object, cause: str, why: str, grace: float) -> None:
        """Give back what has not begun of these; with a cause end the one that runs."""
        if self.phase == ENDED or self._attempt is None:
            return
        runs = self._line.withdraw(elements)
        self._telling.report()
        if runs and cause:
            self._attempt.end(cause, why, grace)
        self._go_on(self._attempt)

    def acknowledge(self, serial: int) -> None:
        """Forget what was told up to this serial."""
        self._telling.acknowledge(serial)

    def _state(self, attempt: Attempt) -> Message:
        """Return what the share is between two elements, for its spool."""
        return {
            "accepted": self._accepted,
            "time_limit": attempt.time_limit,
            "first_start": self.started_at,
            "suspended_at": None,
            "cause": self.cause,
            "why": self.why,
        }

    # ── ending ───────────────────────────────────────────────────────────────────────────────
    def end(self, cause: str, why: str, grace: float) -> None:
        """End the share: what runs by SIGTERM, after `grace` seconds SIGKILL; nothing follows.

        The first cause is kept.
        """
        attempt = self._attempt
        if self.phase == ENDED or attempt is None:
            self.tell_all()
            return
        if not self.cause:
            self.cause, self.why = cause, why
            told = {"cause": cause, "why": why, "grace": grace, "at": time.time()}
            self._host.spool.note(spool.CAUSE, told)
        self._is_standing = False
        if attempt.is_on:
            if not attempt.cause:
                attempt.cause, attempt.why = self.cause, self.why
            attempt.stop(grace)
        else:
            self._finish(self.cause, self.why)

    def host_guest(self, number: int, element: int, wanted: Guest, stdio: list[int]) -> None:
        """Start a command of `exec` beside what runs, if that is the element, or any for -1."""
        if self._attempt is None or element not in (-1, self.share.element) or self._guests.is_full:
            many = f"{MOST} commands run in it already"
            self._guests.refuse(number, many if self._guests.is_full else "it does not run")
        else:
            self._attempt.host_guest(self._guests, number, wanted, stdio)

    def signal_guest(self, number: int, signum: int) -> None:
        """Send a signal to a command of `exec`."""
        self._guests.signal(number, signum)

    def part_guests(self, number: int | None = None) -> None:
        """Let a command of `exec`, or all of them, know that nobody is there for it any more."""
        self._guests.part(number)

    def signal(self, signum: int, element: int) -> None:
        """Send a signal to what runs, if that is the element, or any for -1."""
        if self._attempt is not None and element in (-1, self.share.element):
            self._attempt.signal(signum)

    def _finish(
        self,
        cause: str,
        why: str,
        exits: list[list[int]] | None = None,
        usage: list[float] | None = None,
    ) -> None:
        """Write and tell the end: nothing of the share is left."""
        self._close_stdio()
        self.phase, self.cause, self.why = ENDED, cause, why
        if self._script:
            context.drop_script(self._host.state, self.share.alloc)
        self._ended = {
            "type": "ended",
            "alloc": self.share.alloc,
            "at": time.time(),
            "started_at": self.started_at,
            "cause": cause,
            "why": why,
            "tasks": exits or [],
            "usage": usage or _NO_USAGE,
        }
        self._host.spool.note(spool.ENDED, self._ended)
        if self._line.untold:
            self._telling.report()
        self._tell_start()
        self._tell(self._ended)

    def _close_stdio(self) -> None:
        while self._stdio:
            os.close(self._stdio.pop())
        if self._lent is not None:
            self._lent.close()
            self._lent = None

    # ── standing still ───────────────────────────────────────────────────────────────────────
    def suspend(self) -> None:
        """Stop every process of the share; time does not count, nothing starts until `resume`."""
        if self.phase != STARTED or self._attempt is None or self._is_standing or self.cause:
            return
        if self._attempt.suspend():
            self._is_standing = True
        elif self.share.is_slot:
            self._is_standing = True
            self._host.spool.note(spool.SUSPENDED, time.time())

    def resume(self) -> None:
        """Let it go on."""
        if not self._is_standing or self._attempt is None:
            return
        self._is_standing = False
        attempt = self._attempt
        if not attempt.resume():
            stood = attempt.suspended if attempt.is_on else 0.0
            self._host.spool.note(spool.RESUMED, time.time(), stood)
        if self.share.is_slot:
            self._go_on(self._attempt)

    # ── time ─────────────────────────────────────────────────────────────────────────────────
    def retime(self, time_limit: int) -> None:
        """Replace the time limit of what runs and of what follows, in seconds from its start."""
        if self._attempt is not None:
            self._attempt.retime(time_limit)
            self._host.spool.note(spool.RETIMED, time_limit)

    def heard_manager(self) -> None:
        """Begin the lease anew."""
        self._lease_from = time.clock_gettime(time.CLOCK_BOOTTIME)

    def deadline(self) -> float:
        """Return the monotonic time of the next `tick`; inf: nothing is due by itself."""
        if self.phase == ENDED or self._attempt is None:
            return inf
        due = min(self._telling.due, self._attempt.due, self._start_due)
        if self.share.lease and not self.cause:
            due = min(due, time.monotonic() + min(max(self._lease_left(), 0.0), _LEASE_LOOK))
        return due

    def tick(self) -> None:
        """Do what is due."""
        attempt = self._attempt
        if self.phase == ENDED or attempt is None:
            return
        now = time.monotonic()
        if now >= attempt.due:
            attempt.tick(now)
            self.children_changed()
        if now >= self._start_due:
            self._tell_start()
        if now >= self._telling.due:
            self._telling.report()
        if self.share.lease and not self.cause and self._lease_left() <= 0:
            why = f"no manager was heard of for {duration(self.share.lease)}"
            self.end("lost", why, self.share.grace)

    def _lease_left(self) -> float:
        gone = time.clock_gettime(time.CLOCK_BOOTTIME) - self._lease_from
        return self.share.lease - gone

    # ── reports ──────────────────────────────────────────────────────────────────────────────
    def _report_of_start(self) -> Message:
        return {"type": "started", "alloc": self.share.alloc, "at": self.started_at}

    def _tell_start(self) -> None:
        """Tell the start if that is still to be done."""
        if self._start_due != inf:
            self._start_due = inf
            self._tell(self._report_of_start())

    def tell_all(self) -> None:
        """Tell, to an agent that may know nothing, all that is not acknowledged."""
        self._start_due = inf
        if self.phase == MADE:
            self._tell({"type": "made", "alloc": self.share.alloc})
        if self.phase == STARTED or (self.share.is_slot and self.started_at is not None):
            self._tell(self._report_of_start())
        for message in self._line.repeat():
            self._tell(message)
        if self.phase == ENDED:
            self._tell(self._ended)

"""Who does what about which event, and when: handlers' programs, and notices to users.

Pure. An errand is saved with its event, before each attempt and after it. So a restart loses none;
what ran when the manager died is begun again, with the same serials: each is done at least once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostler.core.effects import Handle
from ostler.core.errands import order_of
from ostler.core.events import Handled, HandlersLost
from ostler.model.errand import LEGAL_ERRAND, ErrandKey, ErrandState, Notice, Outcome, Ran
from ostler.model.event_kinds import split_kind
from ostler.model.happening import Pattern, object_of, parse_pattern
from ostler.model.record import Errand, Event
from ostler.model.site import Handler

if TYPE_CHECKING:  # the state has a desk
    from ostler.core.state import State

DESK = -1  # what a deadline is for that is the desk's and no job's
ESCALATION = "event/escalation"  # a handler of such an event that fails escalates no further
PROGRAMS, ESCALATIONS, NOTICES = 8, 2, 8  # at once
WAITING = 1_000  # errands of one handler, or notices of one user; further ones are left out
CAUGHT_UP = WAITING // 2  # errands of a handler at which it is no longer behind
SINGLY = 20  # notices to one address that wait; further ones are told along with the last of them
TOLD = 50  # of them by name
BURST, RATE = 100, 10.0  # runs of one handler without a pause, and then so many a second
BACKOFF, BACKOFF_MOST = 5.0, 600.0  # seconds before another attempt; doubled each time
NOTICE_RETRIES = 6  # with these pauses some 5 minutes
LOST = 3  # attempts that may be lost with the process that ran them


class Desk:
    """Errands that are not done, by lane: of one lane one errand is under way at a time."""

    def __init__(self) -> None:
        self.errands: dict[ErrandKey, Errand] = {}
        self.handlers: dict[str, Handler] = {}
        self.fresh = False  # something may begin that could not before
        self.next_at = inf  # Unix seconds at which time alone lets something begin
        self._patterns: dict[str, list[tuple[Pattern, Handler]]] = {}  # by class; "" is any
        self._lanes: dict[str, dict[ErrandKey, None]] = {}  # what waits, oldest first
        self._running: dict[str, ErrandKey] = {}  # by lane
        self._folds: dict[
            tuple[str, ...], ErrandKey
        ] = {}  # waiting ones that take in what is alike
        self._alike: dict[ErrandKey, tuple[str, ...]] = {}  # under which name they are found there
        self._notices: Counter[int] = Counter()  # that wait, by uid
        self._behind: Counter[str] = Counter()  # events left out of handlers that are behind
        self._full_at: defaultdict[str, float] = defaultdict(float)  # when its burst is whole

    def appoint(self, handlers: Iterable[Handler]) -> None:
        """Let these be the handlers from now on."""
        self.handlers = {handler.name: handler for handler in handlers}
        self._patterns = {}
        for handler in self.handlers.values():
            pattern = parse_pattern(handler.event, handler.object)
            self._patterns.setdefault(pattern.of_class, []).append((pattern, handler))
        self.fresh = True

    def load(self, errands: Iterable[Errand]) -> None:
        """Take in what was not done when the manager ended."""
        for errand in errands:
            known = replace(errand, state=ErrandState.WAITING)
            self.errands[known.key] = known
            self._wait(known)
        self.fresh = True

    # -- what happens ----------------------------------------------------------------------

    def see(self, s: "State", now: float, event: Event) -> None:
        """Find who is to handle an event."""
        of_class = split_kind(event.kind)[0]
        for known in {of_class: None, "": None}:
            for pattern, handler in self._patterns.get(known, ()):
                if pattern.matches(event):
                    self._take(s, now, Errand(event.serial, handler.name, event, due_at=now))

    def tell(self, s: "State", now: float, event: Event, channel: str, notice: Notice) -> None:
        """Have a user told."""
        if self._notices[notice.uid] >= WAITING:
            why = f"{WAITING} of {notice.user}'s wait already"
            _note_failed(s, now, event, f"no {channel} tells of it: {why}")
            return
        self._take(s, now, Errand(event.serial, channel, event, due_at=now, notice=notice))

    def _take(self, s: "State", now: float, errand: Errand) -> None:
        lane = self._lanes.get(errand.lane, {})
        alike = self._folds.get(self._fold(errand))
        if alike is not None and (errand.notice is None or len(lane) >= SINGLY):
            self._put(s, _folded(self.errands[alike], errand))
        elif errand.notice is None and len(lane) >= WAITING:
            self._leave_out(s, now, errand.handler)
        else:
            self._put(s, errand)
            self._wait(errand)
            self.fresh = True

    def _leave_out(self, s: "State", now: float, handler: str) -> None:
        self._behind[handler] += 1
        if self._behind[handler] == 1:
            text = f"{WAITING} events wait for it; others are left out until they are fewer"
            s.note(now, "handler/behind", text, about=handler)

    def _fold(self, errand: Errand) -> tuple[str, ...]:
        """Return what is alike in errands that can be done as one."""
        if errand.notice is not None:
            return (errand.lane,)
        handler = self.handlers.get(errand.handler)
        if handler is not None and handler.every:
            return (errand.handler, errand.event.kind, "", str(errand.first))
        return (errand.handler, errand.event.kind, object_of(errand.event))

    # -- what is begun ---------------------------------------------------------------------

    def begin(self, s: "State", now: float) -> None:
        """Begin what may: in each lane the first whose time has come. Mostly nothing is fresh."""
        while self.fresh or now >= self.next_at:  # what is left out or given up may make others
            self.fresh, before, self.next_at = False, self.next_at, inf
            for lane in list(self._lanes):
                if lane not in self._running:
                    self._begin_in(s, now, lane)
            if self.next_at not in (inf, before):
                s.wake(self.next_at, DESK)

    def _begin_in(self, s: "State", now: float, lane: str) -> None:
        waiting = self._lanes[lane]
        pause = self._full_at[lane] - BURST / RATE  # by then one more run is allowed
        first = min(map(self.errands.__getitem__, waiting), key=lambda errand: errand.due_at)
        at = max(first.due_at, pause)
        if at > now:
            self.next_at = min(self.next_at, at)
            return
        key = next(key for key in waiting if self.errands[key].due_at <= now)
        errand = self.errands[key]
        if not self._has_room(errand):
            return
        self._leave(errand)
        handler = self.handlers.get(errand.handler)
        if errand.notice is None and handler is None:
            self._end(s, now, errand, Outcome.DROPPED, None, "its handler was removed")
            self.fresh = True
        elif errand.attempt > self._retries(errand) + LOST:
            why = f"it was lost with the process that ran it, {errand.attempt} times"
            self._end(s, now, errand, Outcome.FAILED, None, why)
            self._escalate(s, now, errand, why)
            self.fresh = True
        else:
            self._start(s, now, errand, handler)

    def _start(self, s: "State", now: float, errand: Errand, handler: Handler | None) -> None:
        number = errand.attempt + 1
        begun = replace(errand, state=ErrandState.RUNNING, attempt=number, began_at=now)
        self._put(s, begun)
        self._running[begun.lane] = begun.key
        self._full_at[begun.lane] = max(self._full_at[begun.lane], now) + 1 / RATE
        s.effects.append(Handle(order_of(s, begun, handler)))

    def _has_room(self, errand: Errand) -> bool:
        """Say whether one more of its sort may be under way."""
        sort, most = _sort(errand)
        return sum(_sort(self.errands[key])[0] == sort for key in self._running.values()) < most

    # -- how it ended ----------------------------------------------------------------------

    def take(self, s: "State", now: float, event: Handled | HandlersLost) -> None:
        """Take what the process says that runs errands, or its end."""
        if isinstance(event, Handled):
            self._on_ran(s, now, event.ran)
        else:
            self._on_lost(s, now, event.why)

    def _on_ran(self, s: "State", now: float, ran: Ran) -> None:
        """Take an attempt's end: done, or once more, or given up."""
        errand = self.errands.get((ran.first, ran.handler))
        if errand is None or errand.state is not ErrandState.RUNNING:
            return
        if errand.attempt != ran.attempt:
            return
        del self._running[errand.lane]
        self.fresh = True
        if ran.result is Outcome.SUCCESS:
            self._end(s, now, errand, ran.result, ran.exit_status, ran.reason)
        elif ran.result is not Outcome.HOPELESS and errand.attempt <= self._retries(errand):
            self._again(
                s, now, replace(errand, result=ran.result, exit_status=ran.exit_status), ran.reason
            )
        else:
            self._end(s, now, errand, ran.result, ran.exit_status, ran.reason)
            self._escalate(s, now, errand, ran.reason)
        self._catch_up(s, now, errand.handler)

    def _on_lost(self, s: "State", now: float, why: str) -> None:
        """Begin anew what ran in a process that is gone."""
        for key in list(self._running.values()):
            errand = self.errands[key]
            del self._running[errand.lane]
            self._again(s, now, errand, why)
        self.fresh = True

    def _again(self, s: "State", now: float, errand: Errand, why: str) -> None:
        pause = min(BACKOFF * 2 ** (errand.attempt - 1), BACKOFF_MOST)
        again = replace(errand, state=ErrandState.WAITING, due_at=now + pause, reason=why)
        self._put(s, again)
        self._wait(again)

    def _retries(self, errand: Errand) -> int:
        if errand.notice is not None:
            return NOTICE_RETRIES
        handler = self.handlers.get(errand.handler)
        return handler.retries if handler else 0

    def _end(
        self,
        s: "State",
        now: float,
        errand: Errand,
        result: Outcome,
        status: int | None,
        why: str,
    ) -> None:
        done = replace(
            errand,
            state=ErrandState.DONE,
            ended_at=now,
            result=result,
            exit_status=status,
            reason=why,
        )
        self._put(s, done)
        del self.errands[done.key]

    def _escalate(self, s: "State", now: float, errand: Errand, why: str) -> None:
        """Post that an event was not handled, for another handler; but never about that one."""
        event = errand.event
        if errand.notice is not None:
            _note_failed(s, now, event, f"no {errand.handler} tells of it: {why}")
        elif event.kind != ESCALATION:
            about = " ".join(filter(None, (event.kind, object_of(event))))
            text = f"{errand.handler} did not complete for event {event.serial} ({about}): {why}"
            s.note(now, ESCALATION, text, about=errand.handler)

    def _catch_up(self, s: "State", now: float, handler: str) -> None:
        if self._behind[handler] and len(self._lanes.get(handler, ())) <= CAUGHT_UP:
            count = self._behind.pop(handler)
            s.note(now, "handler/caught-up", f"{count} events were left out", about=handler)

    # -- books -----------------------------------------------------------------------------

    def _put(self, s: "State", errand: Errand) -> None:
        old = self.errands.get(errand.key)
        moved = old is not None and old.state is not errand.state
        if old is not None and moved and errand.state not in LEGAL_ERRAND[old.state]:
            raise s.illegal("errand", errand.first, old.state, f"a move to {errand.state}")
        self.errands[errand.key] = errand
        s.save(errand)

    def _wait(self, errand: Errand) -> None:
        self._lanes.setdefault(errand.lane, {})[errand.key] = None
        self._alike[errand.key] = alike = self._fold(errand)
        self._folds[alike] = errand.key
        if errand.notice is not None:
            self._notices[errand.notice.uid] += 1

    def _leave(self, errand: Errand) -> None:
        """Take it out of those that wait; its lane has its next turn after the others."""
        waiting = self._lanes.pop(errand.lane)
        del waiting[errand.key]
        if waiting:
            self._lanes[errand.lane] = waiting
        alike = self._alike.pop(errand.key)
        if self._folds.get(alike) == errand.key:
            del self._folds[alike]
        if errand.notice is not None:
            self._notices[errand.notice.uid] -= 1

    def waiting(self, handler: str) -> int:
        """Return how many errands wait for a handler."""
        return len(self._lanes.get(handler, ()))

    @property
    def oldest(self) -> int | None:
        """Return the lowest serial of an event that is still needed; None: of none."""
        return min((errand.first for errand in self.errands.values()), default=None)


def _sort(errand: Errand) -> tuple[str, int]:
    """Return of which sort an errand is, and how many of that may be under way."""
    if errand.notice is not None:
        return "notice", NOTICES
    if errand.event.kind == ESCALATION:
        return "escalation", ESCALATIONS
    return "program", PROGRAMS


def _folded(old: Errand, new: Errand) -> Errand:
    """Return one errand for the events of both."""
    notice = old.notice
    if notice is not None and new.notice is not None and len(notice.also) < TOLD:
        notice = replace(notice, also=(*notice.also, new.notice.subject))
    event = old.event if notice is not None else new.event
    return replace(old, event=event, events=old.events + new.events, notice=notice)


def _note_failed(s: "State", now: float, event: Event, text: str) -> None:
    s.note(now, "notice/failed", text, job=event.job, user=event.user)

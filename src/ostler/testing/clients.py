"""A simulated client: it asks, asks again when an answer is lost, and notes what it was told."""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import Struct

from ostler.core.effects import Fail
from ostler.core.events import Acted, Event, Submitted
from ostler.model.caller import Caller
from ostler.model.errors import NotNow, OstlerError
from ostler.model.ids import Ref, parse_ref
from ostler.model.job import JobSpec
from ostler.testing.clock import VirtualClock
from ostler.testing.ledger import Ledger
from ostler.testing.managers import Answer, Ask
from ostler.testing.net import End


class Asked(Struct, eq=False):
    """One request, until it is answered."""

    make: Callable[[int], Event]
    refs: tuple[Ref, ...] = ()
    body: Any = None  # of the answer
    error: OstlerError | None = None
    done: bool = False
    then: Callable[["Asked"], None] = lambda _: None
    patient: bool = True  # asks again when the machine cannot write


class Client:
    """One user's program with one connection, made again whenever it breaks."""

    def __init__(
        self,
        name: str,
        caller: Caller,
        clock: VirtualClock,
        rng: Random,
        ledger: Ledger,
        dial: Callable[[str], End | None],
    ) -> None:
        self.name = name
        self.caller = caller
        self._clock = clock
        self._rng = rng
        self._ledger = ledger
        self._dial = dial
        self._link: End | None = None
        self._open: dict[int, Asked] = {}
        self._number = 0
        self._waits = False

    @property
    def unanswered(self) -> list[Asked]:
        """Return the requests that wait for their answer."""
        return list(self._open.values())

    def submit(
        self, spec: JobSpec, request_id: str, blobs: dict[str, bytes] | None = None
    ) -> Asked:
        """Ask for a job; the answer's body has its id under `job`."""

        def note(asked: Asked) -> None:
            if asked.error is None:
                job = parse_ref(asked.body["job"]).job
                self._ledger.promise(self.caller.uid, request_id, job, spec)

        return self.ask(
            lambda to: Submitted(to, self.caller, request_id, spec, blobs or {}), then=note
        )

    def act(self, verb: str, refs: tuple[Ref, ...], **named: Any) -> Asked:
        """Ask for one of the verbs on jobs or elements."""
        notes = self._ledger
        if verb == "requeue":
            notes.requeue_asked(ref.job for ref in refs)
        before = {ref.job: notes.requeues_asked.get(ref.job, 0) for ref in refs}
        calm = {ref.job for ref in refs if not notes.requeues_open.get(ref.job)}

        def note(asked: Asked) -> None:
            if verb == "requeue":
                notes.requeue_answered(ref.job for ref in refs)
            if verb != "cancel" or asked.error is not None:
                return
            for ref, row in zip(refs, asked.body["jobs"], strict=True):
                same = before[ref.job] == notes.requeues_asked.get(ref.job, 0)
                if row["ok"] and ref.elements is None and ref.job in calm and same:
                    notes.cancelled.setdefault(ref.job, self._clock.now)

        return self.ask(lambda to: Acted(to, self.caller, verb, refs, **named), refs, then=note)

    def ask(
        self,
        make: Callable[[int], Event],
        refs: tuple[Ref, ...] = (),
        *,
        then: Callable[[Asked], None] = lambda _: None,
        patient: bool = True,
    ) -> Asked:
        """Ask for anything. make: from the address of the request to its event."""
        asked = Asked(make, refs, then=then, patient=patient)
        self._number += 1
        self._open[self._number] = asked
        if self._link is None:
            self._connect()
        else:
            self._link.send(Ask(self._number, make, refs))
        return asked

    def _connect(self) -> None:
        if self._link is not None:
            return
        link = self._dial(self.name)
        if link is None:
            self._again()
            return
        self._link = link
        link.on_frame = self._hear
        link.on_close = lambda: self._lost(link)
        for number, asked in self._open.items():
            link.send(Ask(number, asked.make, asked.refs))

    def _again(self) -> None:
        if not self._waits:
            self._waits = True
            self._clock.after(self._rng.uniform(0.1, 1.0), self._retry)

    def _retry(self) -> None:
        self._waits = False
        if self._open:
            self._connect()

    def _lost(self, link: End) -> None:
        if self._link is link:
            self._link = None
            self._again()

    def _hear(self, answer: Answer) -> None:
        asked = self._open.get(answer.number)
        if asked is None:
            return
        effect = answer.effect
        if isinstance(effect, Fail) and asked.patient and isinstance(effect.error, NotNow):
            self._clock.after(self._rng.uniform(0.2, 1.0), lambda: self._repeat(answer.number))
            return
        del self._open[answer.number]
        if isinstance(effect, Fail):
            asked.error = effect.error
        else:
            asked.body = effect.body
        asked.done = True
        asked.then(asked)

    def _repeat(self, number: int) -> None:
        if number in self._open and self._link is not None:
            asked = self._open[number]
            self._link.send(Ask(number, asked.make, asked.refs))

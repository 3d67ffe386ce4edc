"""The engine of a small machine: it plans in the manager's own process."""

import logging
from collections.abc import Iterable
from typing import Protocol

from ostler.core.machine import Machine
from ostler.manager import planner
from ostler.manager.decisions import Recorder
from ostler.schedule.decisions import Asked, Decided, Record, Told, plain
from ostler.schedule.engine import Engine
from ostler.schedule.promised import Promised, promised_by
from ostler.schedule.snapshot import Plan

log = logging.getLogger("ostler.manager")


class Listener(Protocol):
    """One who is told of what changes as the scheduler is."""

    def hear(self, data: bytes) -> None:
        """Take an encoded `Told`, behind all that came before."""

    def begin_anew(self) -> None:
        """Take note that it has to be told everything, by itself."""


class Own:
    """An engine in this process."""

    def __init__(
        self, recorder: Recorder | None = None, listeners: Iterable[Listener] = ()
    ) -> None:
        self._engine = Engine()
        self._recorder = recorder
        self._listeners = listeners
        self.knows = False  # it has been told everything

    def propose(self, machine: Machine, now: float) -> Plan:
        """Return what the engine proposes; nothing, should it fail: the rest goes on."""
        if not self.tell(machine, now):
            return Plan([], {})
        try:
            machine.begin_plan()
            self._record(Asked(now))
            plan = self._engine.plan(now)
            if self._recorder and self._recorder.on:
                self._record(Decided(plain(plan)))
        except Exception:
            log.exception("the scheduler failed, so nothing starts in this turn")
            self._forget(machine)
            return Plan([], {})
        return plan

    def tell(self, machine: Machine, now: float) -> bool:
        """Tell the engine, and whoever listens, what has changed; say if nothing went wrong."""
        self.knows, anew = True, False
        try:
            for delta in machine.deltas(now):
                self._engine.apply(delta)
                anew = anew or delta.reset
                told = Told(delta)
                self._record(told)
                # Everything is more than is to be encoded in one turn.
                data = planner.encode(told) if self._listeners and not anew else b""
                for each in self._listeners:
                    if delta.reset:
                        each.begin_anew()
                    elif data:
                        each.hear(data)
        except Exception:
            log.exception("the scheduler could not be told what has changed")
            self._forget(machine)
            return False
        return True

    def promised(self) -> Promised:
        """Return what has been promised so far; plans may be made meanwhile."""
        return promised_by(self._engine)

    def _forget(self, machine: Machine) -> None:
        self._engine = Engine()
        machine.state.marks.everything = True

    def _record(self, record: Record) -> None:
        if self._recorder is not None:
            self._recorder.write(record)

"""Events through the core, with nothing around it."""

from collections.abc import Iterable

from ostler.core.effects import Effect
from ostler.core.events import Event, Planned
from ostler.core.machine import Machine
from ostler.core.violations import violations
from ostler.model.record import Loaded
from ostler.testing.judge import blame
from ostler.testing.scheduler import Scheduler

NOTHING = Loaded([], [], {}, [], [], {}, {}, 1, 1, 1)


def play(events: Iterable[Event], machine: Machine | None = None, now: float = 0.0) -> list[Effect]:
    """Feed events to a machine, which plans after each, and return all effects in order.

    machine: an empty one with epoch 1 unless given. now: Unix seconds; each event comes a second
    after the one before. Raises `Broken` as soon as the state is not sound.

    >>> from ostler.core.events import AgentGreeted
    >>> from ostler.model.resources import NodeFacts
    >>> effects = play([AgentGreeted("n01", NodeFacts((0, 1)), "boot-1", ())])
    >>> [type(effect).__name__ for effect in effects]
    ['Save', 'Save', 'Save', 'Welcomed']
    """
    machine = machine or Machine(NOTHING, epoch=1, now=now)
    effects: list[Effect] = []
    scheduler = Scheduler()
    machine.state.marks.everything = True
    for seconds, event in enumerate(events):
        at = now + seconds
        effects += machine.handle(at, event)
        while machine.wants_plan:
            effects += machine.handle(at, Planned(scheduler.plan(machine, at)))
        blame(violations(machine.state), event)
    return effects

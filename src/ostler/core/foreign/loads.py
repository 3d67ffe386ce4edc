"""Loads of resource managers, taken in as a whole; and what their drivers tell beside."""

from ostler.core.events import RmAnswered, RmLoaded, RmTrouble, RmUp
from ostler.core.state import State


def on_up(s: State, now: float, event: RmUp) -> None:
    """Take note of what a driver is."""
    rm = s.rms.get(event.rm)
    if rm is not None:
        rm.about = event.about
        s.note(now, "driver-up", event.about.title, about=event.rm)


def on_loaded(s: State, now: float, event: RmLoaded) -> None:
    """Take nodes and jobs in, all in this turn."""
    rm = s.rms.get(event.rm)
    if rm is None:
        return  # it was removed meanwhile
    rm.about, rm.took = event.about, event.took
    rm.loads += 1
    if event.nodes is None or event.jobs is None:
        rm.down_since = now if rm.down_since is None else rm.down_since
        rm.why = event.why
    else:
        rm.down_since, rm.why = None, ""
        rm.nodes_at = event.nodes.at or event.began
        rm.jobs_at = event.jobs.at or event.began


def on_answered(s: State, now: float, event: RmAnswered) -> None:
    """Take the answer to a call in."""


def on_trouble(s: State, now: float, event: RmTrouble) -> None:
    """Record it."""
    if event.rm in s.rms:
        s.note(now, f"driver-{event.kind}", event.why, about=event.rm)

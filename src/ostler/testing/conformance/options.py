"""Cases of what a driver can do beside the four verbs. What it does not declare is skipped."""

import threading
from typing import Any

from msgspec.structs import replace

from ostler.model.foreign import ForeignState, Option
from ostler.testing.conformance.cases import case
from ostler.testing.conformance.finding import expect
from ostler.testing.conformance.trial import TAKEN, Begun, Trial


def _done(trial: Trial, verb: str, begun: Begun, *more: Any) -> None:
    outcome = trial.call(verb, begun.id, begun.token, *more)
    came = f"{verb} of {begun.id} answered {outcome.did}: {outcome.text}"
    expect(outcome.did in TAKEN, came, "done or accepted")


@case
def suspends_and_resumes(trial: Trial) -> None:
    """A job that is suspended is told so, and goes on when it is resumed."""
    trial.has(Option.SUSPEND, Option.RESUME)
    begun = trial.begin()
    _done(trial, "suspend", begun)
    trial.until_state(begun.id, ForeignState.SUSPENDED)
    _done(trial, "resume", begun)
    trial.until_state(begun.id, ForeignState.RUNNING)
    trial.bench.finish(begun.token, 0)
    end = trial.until_ended(begun.id)
    expect(end.result == "success", f"it ended as {end.result}: {end.proof}", "success")


@case
def requeues(trial: Trial) -> None:
    """A job that is requeued waits or runs again, and its id stays."""
    trial.has(Option.REQUEUE)
    begun = trial.begin()
    _done(trial, "requeue", begun)
    waits = (ForeignState.IDLE, ForeignState.HELD, ForeignState.STARTING)
    seen = trial.until(
        lambda: _again(trial, begun, waits), f"job {begun.id} runs as before", "that it waits again"
    )
    expect(seen, "it is gone", "the same id")


def _again(trial: Trial, begun: Begun, waits: tuple[ForeignState, ...]) -> bool:
    state = getattr(trial.told(begun.id), "state", None)
    return state in waits or trial.bench.begun(begun.token) > 1


@case
def writes_checkpoints(trial: Trial) -> None:
    """A running job can be told to write down how far it is, and runs on."""
    trial.has(Option.CHECKPOINT)
    begun = trial.begin()
    _done(trial, "checkpoint", begun)
    trial.until_state(begun.id, ForeignState.RUNNING)


@case
def changes_time_limits(trial: Trial) -> None:
    """A running job has its new time limit."""
    trial.has(Option.MODIFY)
    begun = trial.begin()
    _done(trial, "modify", begun, 1200)

    def has_it() -> bool:
        return getattr(trial.told(begun.id), "time_limit", 0) == 1200

    trial.until(has_it, "its time limit is another one", "1200 s")


@case
def runs_once_what_was_forgotten(trial: Trial) -> None:
    """What has run, and was forgotten, does not run again, and ends as it did."""
    trial.has(Option.ONCE)
    begun = trial.begin()
    trial.bench.finish(begun.token, 3)
    trial.until_ended(begun.id)
    trial.bench.forget(begun.id)
    trial.restart()
    outcome = trial.start(replace(begun.order, again=True))
    came = f"what had run answered {outcome.did}: {outcome.text}"
    expect(outcome.did in TAKEN, came, "done or accepted")
    end = outcome.end or trial.until_ended(outcome.id)
    came = f"it ended as {end.result} with status {end.exit_status}: {end.proof}"
    expect(end.exit_status == 3, came, "status 3, as when it ran")
    times = trial.bench.begun(begun.token)
    expect(times == 1, f"its command has begun {times} times", "once")


@case
def runs_what_was_forgotten_before_it_began(trial: Trial) -> None:
    """What was taken, and never began, runs when its start is asked again."""
    trial.has(Option.ONCE)
    order = replace(trial.order(trial.place()), again=True)
    outcome = trial.start(order)
    came = f"what never began answered {outcome.did}: {outcome.text}"
    expect(outcome.did in TAKEN and outcome.end is None, came, "done or accepted, without an end")
    trial.until_begun(Begun(order, outcome.id))


@case
def tells_that_something_has_happened(trial: Trial) -> None:
    """`events` yields a sentence when a job has started."""
    trial.has(Option.EVENTS)
    told: list[Any] = []
    heard = threading.Event()

    def listen(driver: Any) -> None:
        for text in driver.events():
            told.append(text)
            heard.set()
            return

    listener = threading.Thread(target=listen, args=(trial.bench.driver(),), daemon=True)
    listener.start()
    trial.begin()
    trial.until(lambda: heard.wait(0.2), "no event was told of a start", "a sentence")
    expect(isinstance(told[0], str) and told[0], f"an event is {told[0]!r}", "a sentence")

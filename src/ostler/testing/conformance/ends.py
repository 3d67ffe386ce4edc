"""Cases of `cancel`, of ends and their proofs, and of a resource manager that does not answer."""

from ostler.drivers.contract import Trouble
from ostler.model.foreign import Did, End, ForeignState, Option, Outcome
from ostler.testing.conformance.cases import case
from ostler.testing.conformance.finding import Skipped, expect
from ostler.testing.conformance.trial import TAKEN, Begun, Trial, now, said


@case
def proves_a_success(trial: Trial) -> None:
    """A job that has ended well is told with its proof."""
    begun = trial.begin()
    trial.bench.finish(begun.token, 0)
    end = trial.until_ended(begun.id)
    _end_is(end, "success", 0)


@case
def proves_a_failure(trial: Trial) -> None:
    """A job that has ended with 3 has failed, with 3."""
    begun = trial.begin()
    trial.bench.finish(begun.token, 3)
    end = trial.until_ended(begun.id)
    _end_is(end, "failed", 3)


def _end_is(end: End, result: str, status: int) -> None:
    expect(end.proof, f"the end of {end.id} has no proof", "what says so")
    expect(end.result == result, f"job {end.id} ended as {end.result}: {end.proof}", result)
    came = f"its exit status is {end.exit_status}"
    expect(end.exit_status in {status, None}, came, f"{status}, or None where it is not told")
    order = (end.started_at or 0.0) <= (end.ended_at or now())
    expect(order, f"it started at {end.started_at} and ended at {end.ended_at}", "that order")


@case
def tells_an_end_to_a_new_driver(trial: Trial) -> None:
    """A job that has ended lately is told with its proof after a restart."""
    begun = trial.begin()
    trial.bench.finish(begun.token, 0)
    trial.until_ended(begun.id)
    trial.restart()
    _end_is(trial.until_ended(begun.id), "success", 0)


@case
def ends_nothing_by_absence(trial: Trial) -> None:
    """A job that the resource manager has lost without a trace is not said to have ended."""
    begun = trial.begin()
    trial.bench.forget(begun.id)
    for _ in range(2):
        for _ in range(3):
            seen = trial.told(begun.id)
            came = f"job {begun.id}, which nobody can see any more, is {said(seen)}"
            expect(not isinstance(seen, End), came, "nothing: absence is no proof")
            trial.bench.pause()
        trial.restart()


@case
def tells_a_reused_id_from_the_old_one(trial: Trial) -> None:
    """A new job with the id of an old one has another incarnation."""
    begun = trial.begin()
    first = trial.until_state(begun.id, ForeignState.RUNNING)
    trial.bench.finish(begun.token, 0)
    trial.until_ended(begun.id)
    trial.bench.reuse(begun.id, trial.token())
    jobs = trial.jobs().jobs
    again = next((job for job in jobs if job.id == begun.id), None)
    expect(again, f"the new job {begun.id} is not listed", "it, with another incarnation")
    came = f"job {begun.id} has incarnation {first.incarnation!r}, and so has the new one"
    expect(again and again.incarnation != first.incarnation, came, "another one")


# -- cancel ----------------------------------------------------------------------------------


def _cancelled(trial: Trial, job: str, token: str = "") -> End:
    """Cancel a job that has not ended, and return the proof that it has."""
    outcome = trial.cancel(job, token)
    came = f"cancel of {job or token} answered {outcome.did}: {outcome.text}"
    expect(outcome.did in TAKEN, came, "done or accepted")
    if not job:
        expect(outcome.id, "cancel by a token answered no id", "the job's id")
    end = trial.until_ended(job or outcome.id)
    expect(end.result == "cancelled", f"it ended as {end.result}: {end.proof}", "cancelled")
    return end


@case
def cancels_what_runs(trial: Trial) -> None:
    """A running job is ended, its proof is told, and its CPUs are free."""
    shares = trial.place()
    name, free = shares[0].node, trial.free()[shares[0].node]
    begun = trial.begin(shares)
    _cancelled(trial, begun.id)
    came = f"{name} has not all CPUs free"
    trial.until(lambda: trial.free().get(name) == free, came, f"{free}, as before the job")


@case
def cancels_what_is_starting(trial: Trial) -> None:
    """A job that is cancelled at once after its start ends, and does not begin later."""
    order = trial.order(trial.place())
    outcome = trial.start(order)
    expect(
        outcome.did in TAKEN, f"start answered {outcome.did}: {outcome.text}", "done or accepted"
    )
    _cancelled(trial, outcome.id)
    times = trial.bench.begun(order.token)
    for _ in range(3):
        trial.bench.pause()
    after = trial.bench.begun(order.token)
    expect(after == times, "its command has begun after its end was told", "never")


@case
def cancels_what_waits(trial: Trial) -> None:
    """A waiting job is ended, and its proof is told."""
    job = trial.submit()
    trial.until_state(job, ForeignState.IDLE, ForeignState.HELD)
    end = _cancelled(trial, job)
    expect(end.started_at is None, f"it is said to have started at {end.started_at}", "never")


@case
def cancels_what_is_suspended(trial: Trial) -> None:
    """A suspended job is ended, and its proof is told."""
    trial.has(Option.SUSPEND)
    begun = trial.begin()
    outcome = trial.call("suspend", begun.id, begun.token)
    expect(outcome.did in TAKEN, f"suspend answered {outcome.did}: {outcome.text}", "done")
    trial.until_state(begun.id, ForeignState.SUSPENDED)
    _cancelled(trial, begun.id)


@case
def cancels_by_token_after_a_restart(trial: Trial) -> None:
    """A start whose answer was lost is cancelled by its token, by a new driver object."""
    if Option.SUBMIT not in trial.about.options:
        raise Skipped("the driver submits no job: each has its id before it is started")
    begun = trial.begin()
    trial.restart()
    _cancelled(trial, "", begun.token)


@case
def says_that_it_had_ended(trial: Trial) -> None:
    """The cancel of a job that has ended is answered `already`, each time."""
    begun = trial.begin()
    trial.bench.finish(begun.token, 0)
    before = trial.until_ended(begun.id)
    for _ in range(2):
        _already(begun, trial.cancel(begun.id, begun.token))
    after = trial.until_ended(begun.id)
    expect(
        after.result == before.result, f"it is now {after.result}", f"{before.result}, as it was"
    )


def _already(begun: Begun, outcome: Outcome) -> None:
    came = f"cancel of {begun.id}, which had ended, answered {outcome.did}: {outcome.text}"
    expect(outcome.did is Did.ALREADY, came, "already")


@case
def cancels_twice_without_harm(trial: Trial) -> None:
    """The same cancel again is no error."""
    begun = trial.begin()
    trial.cancel(begun.id)
    again = trial.cancel(begun.id)
    came = f"the same cancel again answered {again.did}: {again.text}"
    expect(again.did in TAKEN | {Did.ALREADY}, came, "done, accepted or already")
    trial.until_ended(begun.id)


@case
def cancels_nothing_else(trial: Trial) -> None:
    """The cancel of a job that is not there claims nothing, and ends nothing."""
    begun = trial.begin()
    outcome = trial.cancel("987654321", trial.token())
    came = f"cancel of a job that never was answered {outcome.did}"
    expect(outcome.did not in TAKEN, came, "refused, never, unknown or already")
    expect(outcome.text or outcome.did is Did.ALREADY, f"{came} without a word", "a reason")
    trial.until_state(begun.id, ForeignState.RUNNING)


# -- a resource manager that is away ---------------------------------------------------------


@case
def lists_nothing_while_nobody_answers(trial: Trial) -> None:
    """Lists raise `Trouble` while the resource manager is away, and are never just empty."""
    begun = trial.begin()
    with trial.bench.away():
        for verb in ("list_nodes", "list_jobs"):
            try:
                trial.call(verb)
            except Trouble:
                continue
            came = f"{verb} answered while the resource manager is away"
            expect(False, came, "Trouble")
        trial.restart()
    came = f"job {begun.id} is not seen again"
    trial.until(lambda: _told(trial, begun), came, "what it was before")


def _told(trial: Trial, begun: Begun) -> bool:
    try:
        return trial.told(begun.id) is not None
    except Trouble:  # it is not all back yet
        return False


@case
def claims_no_cancel_while_nobody_answers(trial: Trial) -> None:
    """A cancel that the resource manager cannot hear is not said to be done."""
    begun = trial.begin()
    with trial.bench.away():
        try:
            outcome = trial.cancel(begun.id, begun.token)
        except Trouble:
            pass
        else:
            came = f"cancel while the resource manager is away answered {outcome.did}"
            expect(outcome.did in {Did.UNKNOWN, Did.REFUSED}, came, "Trouble, unknown or refused")
    trial.until(lambda: _told(trial, begun), "the job is not seen again", "what it was before")
    _cancelled(trial, begun.id, begun.token)

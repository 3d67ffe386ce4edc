"""Cases of `start`: on exactly these nodes, at once or not at all, and once."""

from msgspec.structs import replace

from ostler.drivers.contract import Trouble
from ostler.model.foreign import Did, End, ForeignState, Option, Outcome, Share, Start
from ostler.testing.conformance.cases import case
from ostler.testing.conformance.finding import Skipped, expect
from ostler.testing.conformance.trial import TAKEN, Begun, Trial, names

REFUSED = frozenset({Did.REFUSED, Did.NEVER})


@case
def starts_on_exactly_these_nodes(trial: Trial) -> None:
    """A job runs on the node that it was started on, and its command once."""
    begun = trial.begin()
    job = trial.until_state(begun.id, ForeignState.RUNNING)
    got = {share.node: share.cpus for share in job.shares}
    asked = {share.node: share.cpus for share in begun.order.shares}
    expect(set(got) == set(asked), f"it runs on {','.join(got)}", f"on {','.join(asked)}")
    expect(got == asked, f"it has {got} CPUs", f"{asked}")
    times = trial.bench.begun(begun.token)
    expect(times == 1, f"its command has begun {times} times", "once")


@case
def starts_on_each_of_several_nodes(trial: Trial) -> None:
    """A job on two nodes has both, and no other."""
    trial.has(Option.MANY_NODES)
    begun = trial.begin(trial.place(nodes=2))
    job = trial.until_state(begun.id, ForeignState.RUNNING)
    got, asked = {s.node for s in job.shares}, {s.node for s in begun.order.shares}
    expect(got == asked, f"it runs on {sorted(got)}", f"on {sorted(asked)}")


@case
def takes_what_the_order_says(trial: Trial) -> None:
    """What is told of a job is what its order asked for, where it is told."""
    begun = trial.begin()
    job = trial.until_state(begun.id, ForeignState.RUNNING)
    order, told = begun.order, {"token": job.token, "user": job.user}
    wanted = {"token": order.token, "user": order.user}
    if Option.SUBMIT in trial.about.options:
        told |= {"name": job.name, "time limit": str(job.time_limit or "")}
        wanted |= {"name": order.name, "time limit": str(order.time_limit)}
    for what, word in told.items():
        came = f"the {what} of the job is {word!r}"
        expect(not word or word == wanted[what], came, f"{wanted[what]!r}, or nothing")


@case
def counts_what_it_has_started(trial: Trial) -> None:
    """CPUs of a job that runs are in use, and free after it."""
    shares = trial.place()
    name, free = shares[0].node, trial.free()[shares[0].node]
    begun = trial.begin(shares)
    left = trial.free().get(name, 0)
    expect(left == free - 1, f"{left} CPUs of {name} are free", f"{free - 1}, one less than before")
    trial.bench.finish(begun.token, 0)
    trial.until(lambda: trial.free().get(name) == free, f"{name} has not all CPUs free", f"{free}")


def _refused(trial: Trial, order: Start, *, waits: bool = False) -> Outcome:
    """Start what cannot be started, and see that nothing is left of it."""
    before = {job.id for job in trial.jobs().jobs}
    outcome = trial.start(order)
    if waits and outcome.did in TAKEN and Option.SCHEDULES in trial.about.options:
        trial.until_state(outcome.id, ForeignState.IDLE, ForeignState.HELD)
    else:
        came = f"start on {names(order.shares)} answered {outcome.did}"
        expect(outcome.did in REFUSED, came, "refused or never")
        for _ in range(3):
            trial.bench.pause()
            jobs = trial.jobs()
            left = sorted({job.id for job in jobs.jobs} - before)
            expect(not left, f"{', '.join(left)} was left behind by a refused start", "nothing")
    times = trial.bench.begun(order.token)
    expect(times == 0, f"what was refused has begun {times} times", "never")
    return outcome


@case
def refuses_what_finds_no_room(trial: Trial) -> None:
    """On a busy node nothing is started, nothing is left behind, and it may be asked again."""
    free = {name: count for name, count in trial.free().items() if count > 0}
    if not free:
        raise Skipped("no node is up with a CPU free")
    name, count = min(free.items(), key=lambda item: item[1])
    trial.begin((Share(name, tasks=1, cpus=count),))
    outcome = _refused(trial, trial.order((Share(name),)), waits=True)
    came = f"start on the busy {name} answered {outcome.did}: {outcome.text}"
    expect(outcome.did is not Did.NEVER, came, "refused, as there will be room one day")


@case
def refuses_what_is_too_large(trial: Trial) -> None:
    """More CPUs than a node has are refused, and nothing is left behind."""
    name = trial.place()[0].node
    cpus = next(node.cpus for node in trial.nodes().nodes if node.name == name)
    _refused(trial, trial.order((Share(name, cpus=cpus + 1),)))


@case
def refuses_nodes_that_it_does_not_have(trial: Trial) -> None:
    """A node that is not there is refused, and no other is taken instead."""
    _refused(trial, trial.order((Share("no-such-node"),)))


@case
def refuses_a_node_that_is_down(trial: Trial) -> None:
    """On a node that is down nothing is started, and nothing is left behind."""
    name = trial.place()[0].node
    trial.bench.down(name)
    try:
        _refused(trial, trial.order((Share(name),)))
    finally:
        trial.bench.up(name)


@case
def takes_all_nodes_or_none(trial: Trial) -> None:
    """With one of two nodes busy, the other is not taken."""
    trial.has(Option.MANY_NODES)
    one, other = trial.place(nodes=2)
    free = trial.free()
    trial.begin((Share(other.node, cpus=free[other.node]),))
    _refused(trial, trial.order((one, other)), waits=True)
    left = trial.free().get(one.node, 0)
    expect(left == free[one.node], f"{left} CPUs of {one.node} are free", f"{free[one.node]}")


@case
def refuses_a_job_that_it_does_not_have(trial: Trial) -> None:
    """A job that is not there is refused, and none is made."""
    order = replace(trial.bench.order(trial.token(), trial.place(), "987654321"), argv=())
    _refused(trial, order)


def _the_same(trial: Trial, order: Start, job: str) -> None:
    """Start again what is or was there."""
    outcome = trial.start(order)
    came = f"the same start again answered {outcome.did} with {outcome.id!r}: {outcome.text}"
    expect(outcome.did in TAKEN and outcome.id == job, came, f"done or accepted, with {job}")
    for _ in range(3):
        trial.bench.pause()
    times = trial.bench.begun(order.token)
    expect(times == 1, f"it has begun {times} times", "once")
    jobs = trial.jobs().jobs
    ours = [each.id for each in jobs if each.token == order.token or each.id == job]
    expect(len(ours) <= 1, f"jobs {', '.join(ours)} have its token", "one")


@case
def starts_the_same_token_once(trial: Trial) -> None:
    """The same token again is the same start, and is answered as before."""
    begun = trial.begin()
    _the_same(trial, begun.order, begun.id)


@case
def starts_the_same_token_once_without_waiting(trial: Trial) -> None:
    """The same token again is the same start also before the job runs."""
    order = trial.order(trial.place())
    first = trial.start(order)
    expect(first.did in TAKEN, f"start answered {first.did}: {first.text}", "done or accepted")
    again = trial.start(order)
    came = f"the same start at once answered {again.did} with {again.id!r}: {again.text}"
    expect(again.did in TAKEN and again.id == first.id, came, f"done or accepted, with {first.id}")
    trial.until_begun(Begun(order, first.id))
    trial.until_state(first.id, ForeignState.RUNNING)
    _the_same(trial, order, first.id)


@case
def knows_a_token_after_a_restart(trial: Trial) -> None:
    """The same token given to a new driver object is the same start."""
    begun = trial.begin()
    trial.restart()
    _the_same(trial, begun.order, begun.id)


@case
def knows_the_token_of_what_has_ended(trial: Trial) -> None:
    """The same token again starts nothing when the job has ended meanwhile."""
    begun = trial.begin()
    trial.bench.finish(begun.token, 0)
    trial.until_ended(begun.id)
    trial.restart()
    outcome = trial.start(begun.order)
    for _ in range(3):
        trial.bench.pause()
    times = trial.bench.begun(begun.token)
    came = f"the same start after its end answered {outcome.did}, and it has begun {times} times"
    expect(times == 1, came, "once")
    seen = trial.told(begun.id)
    expect(
        not seen or isinstance(seen, End), f"job {begun.id} has begun anew", "its end, as before"
    )


@case
def refuses_a_token_that_means_something_else(trial: Trial) -> None:
    """A token that is known is not taken for other nodes or CPUs, and what runs goes on."""
    shares = trial.place(cpus=2)
    begun = trial.begin((replace(shares[0], cpus=1),))
    outcome = trial.start(replace(begun.order, shares=shares))
    came = f"its token with other CPUs answered {outcome.did}"
    expect(outcome.did in REFUSED, came, "refused or never: they are in conflict")
    times = trial.bench.begun(begun.token)
    expect(times == 1, f"it has begun {times} times", "once")
    trial.until_state(begun.id, ForeignState.RUNNING)


@case
def claims_no_start_while_nobody_answers(trial: Trial) -> None:
    """A start that the resource manager cannot hear is unknown; repeated later, it is one start."""
    order = trial.order(trial.place())
    with trial.bench.away():
        try:
            outcome = trial.start(order)
        except Trouble:
            pass
        else:
            unclear = outcome.did in {Did.UNKNOWN, Did.REFUSED}
            came = f"start while the resource manager is away answered {outcome.did}"
            expect(unclear, came, "Trouble, unknown or refused")
    again = trial.until(
        lambda: _taken(trial, order), "it cannot be started any more", "a start once it is back"
    )
    trial.until_state(again.id, ForeignState.RUNNING)
    _the_same(trial, order, again.id)


def _taken(trial: Trial, order: Start) -> Outcome | None:
    try:
        outcome = trial.start(order)
    except Trouble:  # it is not all back yet
        return None
    return outcome if outcome.did in TAKEN else None

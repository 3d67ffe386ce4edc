"""Cases of what a driver says of itself, of its nodes and of its jobs."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ostler.drivers.contract import Driver, Trouble
from ostler.model.foreign import End, ForeignJob, ForeignState, NodeState, Option
from ostler.model.states import Result
from ostler.testing.conformance.cases import case
from ostler.testing.conformance.finding import Failed, expect
from ostler.testing.conformance.trial import Trial, now, said

OF_AN_END = frozenset(Result) - {Result.REJECTED, Result.DEPENDENCY}
VERBS = {
    option: option.value
    for option in (
        Option.SUSPEND, Option.RESUME, Option.CHECKPOINT, Option.REQUEUE, Option.MODIFY,
        Option.NODE, Option.EVENTS,
    )
}  # fmt: skip
WORD = "odd-word-9"  # that no resource manager has


@case
def says_what_is_particular_to_it(trial: Trial) -> None:
    """It says its name, its states, and each setting in a sentence."""
    about = trial.about
    expect(isinstance(trial.driver, Driver), "a verb is missing", "all of the four")
    expect(re.fullmatch(r"[a-z][a-z0-9_-]*", about.name), f"its name is {about.name!r}", "a word")
    expect(
        about.title and "\n" not in about.title, f"its title is {about.title!r}", "one line of text"
    )
    for key, text in about.settings.items():
        expect(text, f"setting {key} has no sentence", "what it means")
    for word, state in about.job_states.items():
        ours = isinstance(state, ForeignState) or state in set(ForeignState) | OF_AN_END
        expect(ours, f"the job state {word} is translated to {state!r}", "a state, or a result")


@case
def has_the_options_that_it_declares(trial: Trial) -> None:
    """It has the verb of each option that it declares, and of no other."""
    for option, verb in VERBS.items():
        has = callable(getattr(trial.driver, verb, None))
        declared = option in trial.about.options
        expect(has or not declared, f"it declares {option} and has no {verb}()", "the verb")
        expect(declared or not has, f"it has {verb}() and does not declare {option}", "neither")


@case
def lists_nodes(trial: Trial) -> None:
    """It lists nodes in the contract's form, each once."""
    nodes = trial.nodes().nodes
    listed = [node.name for node in nodes]
    expect(listed, "it lists no node", "at least one on a bench")
    twice = sorted({name for name in listed if listed.count(name) > 1})
    expect(not twice, f"it lists {', '.join(twice)} twice", "each node once")
    for node in nodes:
        expect(
            node.state is NodeState.UP or node.reason or node.native_state,
            f"{node.name} is {node.state} without a word",
            "a reason or the native state",
        )


@case
def lists_jobs(trial: Trial) -> None:
    """It lists jobs in the contract's form, each once, and each end with its proof."""
    begun = trial.begin()
    jobs = trial.jobs()
    _jobs_are_sound(jobs.jobs, jobs.ended)
    expect(begun.id in {job.id for job in jobs.jobs}, f"job {begun.id} is not listed", "what runs")
    trial.bench.finish(begun.token, 0)
    trial.until_ended(begun.id)
    jobs = trial.jobs()
    _jobs_are_sound(jobs.jobs, jobs.ended)


def _jobs_are_sound(jobs: Sequence[ForeignJob], ended: Sequence[End]) -> None:
    listed = [(job.id, job.incarnation) for job in jobs]
    listed += [(end.id, end.incarnation) for end in ended]
    for key in listed:
        expect(listed.count(key) == 1, f"job {key[0]} is listed twice", "each once, as one thing")
    for job in jobs:
        expect(job.user, f"job {job.id} is nobody's", "its user")
        expect(job.state in set(ForeignState), f"job {job.id} is {job.state!r}", "a known state")
        placed = job.state in {ForeignState.RUNNING, ForeignState.SUSPENDED}
        expect(job.shares or not placed, f"job {job.id} is {job.state} nowhere", "its shares")
    for end in ended:
        expect(end.proof, f"the end of {end.id} has no proof", "what says so")
        expect(end.result in OF_AN_END, f"job {end.id} ended as {end.result!r}", "a known result")


@case
def keeps_the_order_of_nodes(trial: Trial) -> None:
    """It lists the same nodes in the same order each time, and after a restart."""
    first = [node.name for node in trial.nodes().nodes]
    trial.restart()
    for _ in range(3):
        again = [node.name for node in trial.nodes().nodes]
        expect(again == first, f"it lists {again[:5]} after {first[:5]}", "the same order")


@case
def tells_no_fact_of_the_future(trial: Trial) -> None:
    """No age and no time of what has happened lies ahead."""
    trial.begin()
    nodes, jobs = trial.nodes(), trial.jobs()
    times = {"the list of nodes": nodes.at, "the list of jobs": jobs.at}
    times |= {f"node {node.name}": node.at for node in nodes.nodes}
    for job in jobs.jobs:
        times |= {f"job {job.id}": job.at, f"the submission of {job.id}": job.submitted_at}
        times[f"the start of {job.id}"] = job.started_at or 0.0
    times |= {f"the end of {end.id}": end.ended_at for end in jobs.ended}
    for what, at in times.items():
        ahead = at - now()
        expect(ahead <= 0, f"{what} holds as of a time {ahead:.0f} s ahead", "now at the latest")


@case
def lists_all_when_it_says_so(trial: Trial) -> None:
    """A list that is called complete holds what runs, and all nodes."""
    begun = trial.begin()
    for _ in range(3):
        jobs, nodes = trial.jobs(), trial.nodes()
        listed = {job.id for job in jobs.jobs}
        there = {node.name for node in nodes.nodes}
        if jobs.complete:
            expect(begun.id in listed, f"a complete list without {begun.id}", "all unfinished jobs")
        if nodes.complete:
            node = begun.order.shares[0].node
            expect(node in there, f"a complete list without {node}", "all nodes")


@case
def says_when_a_list_is_partial(trial: Trial) -> None:
    """A list of which a part is missing is not called complete."""
    begun = trial.begin()
    with trial.bench.partial():
        try:
            jobs = trial.jobs()
        except Trouble:
            return
        expect(not jobs.complete, "it calls a part of the list complete", "complete=False")
        ended = {end.id for end in jobs.ended}
        expect(begun.id not in ended, f"it told an end of {begun.id}", "nothing of what is missing")


@case
def translates_by_its_table(trial: Trial) -> None:
    """A native state is told beside its translation, which is the table's."""
    trial.begin()
    about, jobs = trial.about, trial.jobs()
    for job in jobs.jobs:
        wanted = about.job_states.get(job.native_state, ForeignState.UNKNOWN)
        if job.native_state:
            came = f"job {job.id} is {job.state} for {job.native_state}"
            expect(job.state == wanted, came, f"{wanted}, as its table says")
    for node in trial.nodes().nodes:
        state = about.node_states.get(node.native_state, NodeState.UNKNOWN)
        if node.native_state:
            came = f"node {node.name} is {node.state} for {node.native_state}"
            expect(node.state == state, came, f"{state}, as its table says")


@case
def does_not_guess_at_a_job(trial: Trial) -> None:
    """A word for a job's state that it does not know is unknown, and told as it is."""
    begun = trial.begin()
    trial.bench.odd_job(begun.id, WORD)
    seen = trial.told(begun.id)
    known = isinstance(seen, ForeignJob) and seen.state is ForeignState.UNKNOWN
    expect(known, f"job {begun.id} is {said(seen)} for {WORD}", "unknown")
    native = getattr(seen, "native_state", "")
    expect(native == WORD, f"its native state is {native!r}", WORD)


@case
def does_not_guess_at_a_node(trial: Trial) -> None:
    """A word for a node's state that it does not know is unknown, and told as it is."""
    name = trial.place()[0].node
    trial.bench.odd_node(name, WORD)
    try:
        node = next((node for node in trial.nodes().nodes if node.name == name), None)
    finally:
        trial.bench.up(name)
    if node is None:
        raise Failed(f"node {name} is not listed any more; expected it as unknown")
    expect(node.state is NodeState.UNKNOWN, f"{name} is {node.state} for {WORD}", "unknown")
    expect(node.native_state == WORD, f"its native state is {node.native_state!r}", WORD)


@case
def sees_a_node_fail(trial: Trial) -> None:
    """A node that has failed is down, with a reason, and comes back."""
    name = trial.place()[0].node

    def is_up(wanted: bool) -> bool:  # noqa: FBT001
        node = next((node for node in trial.nodes().nodes if node.name == name), None)
        return node is not None and (node.state is NodeState.UP) == wanted

    trial.bench.down(name)
    try:
        trial.until(lambda: is_up(False), f"{name} failed and is up or not listed", "down")
    finally:
        trial.bench.up(name)
    trial.until(lambda: is_up(True), f"{name} was mended and is not up", "up")


@case
def sees_what_others_do(trial: Trial) -> None:
    """A job that somebody else runs is listed, where it is, and its CPUs are in use."""
    name = trial.place()[0].node
    free = trial.free()[name]
    job = trial.occupy(name, trial.token())
    seen = trial.until_state(job, ForeignState.RUNNING)
    nodes = {share.node for share in seen.shares}
    expect(nodes == {name}, f"job {job} is on {sorted(nodes)}", f"on {name}")
    left = trial.free().get(name, 0)
    expect(left < free, f"{left} CPUs of {name} are free beside it", f"fewer than {free}")


@case
def sees_what_waits(trial: Trial) -> None:
    """A job that somebody else has submitted is listed as waiting, with what it needs."""
    job = trial.submit()
    seen = trial.until_state(job, ForeignState.IDLE, ForeignState.HELD)
    expect(not seen.shares, f"job {job} waits, and has shares", "none before it is started")
    expect(seen.tasks and seen.cpus, f"job {job} needs no CPU", "what it needs")


@case
def answers_for_many_nodes_at_once(trial: Trial) -> None:
    """`node` is right when it is called from several threads at once."""
    trial.has(Option.NODE)
    listed = [node.name for node in trial.call("list_nodes").nodes]
    asked = (listed * 16)[:64]
    with ThreadPoolExecutor(8) as pool:
        told = [node.name for node in pool.map(lambda name: trial.call("node", name), asked)]
    wrong = [
        f"{name} for {name_asked}"
        for name_asked, name in zip(asked, told, strict=True)
        if name != name_asked
    ]
    expect(not wrong, f"it answered {', '.join(wrong[:3])}", "each node for its own name")

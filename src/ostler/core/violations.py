"""What must hold of the core's state at any time: one sentence for each thing that does not."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from ostler.core.books import Books
from ostler.core.delta import held
from ostler.core.entry import Entry
from ostler.core.moved import away
from ostler.core.moves import total_state
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.core.waiting import account_of
from ostler.model.allocation import Allocation
from ostler.model.ids import is_step, job_name
from ostler.model.states import AllocationState, JobState, Rule, Suspender


def violations(s: State) -> Iterator[str]:
    """Yield a sentence for each broken invariant. Cost: everything in memory is looked at."""
    for name, node in s.nodes.items():
        yield from node_violations(s, name, node)
    for alloc in s.allocations.values():
        yield from allocation_violations(s, alloc)
    for entry in s.jobs.values():
        yield from job_violations(s, entry)
    yield from _sides(s)
    yield from _steps(s)
    yield from _users(s)
    yield from _waiters(s)
    for number in s.jobs.keys() & s.ended.keys():
        yield f"job {number} is both unfinished and ended"
    for number in s.resuming - s.allocations.keys():
        yield f"allocation {number} is to go on, and is released"
    for number in s.recent.keys() - s.ended.keys():
        yield f"job {number} is kept as ended and has no result"


def node_violations(s: State, name: str, node: NodeEntry) -> Iterator[str]:
    """Yield what is wrong with one node: its books, and who uses its CPUs and GPUs."""
    books, facts = Books(node.node.facts), node.node.facts
    for kind in ("cpus", "gpus"):
        users: Counter[int] = Counter()
        for number in sorted(node.allocations):
            alloc = s.allocations.get(number)
            if alloc is None:
                yield f"{name} lists allocation {number}, which is released"
                continue
            if not is_step(alloc.job) and (kind == "gpus" or alloc.suspended_at is None):
                for place in alloc.placements:
                    if place.node == name:
                        users.update(getattr(place, kind))
        for index, count in sorted(users.items()):
            if count > 1:
                yield f"{kind[:-1].upper()} {index} of {name} is in {count} allocations"
    for number in node.allocations & s.allocations.keys():
        alloc = s.allocations[number]
        for place in () if is_step(alloc.job) else alloc.placements:
            if place.node == name:
                books.force(place, cpus=alloc.suspended_at is None)
    books.cpus.difference_update(node.extra)
    for what in ("cpus", "gpus", "memory", "generic"):
        kept, right = getattr(node.books, what), getattr(books, what)
        if kept != right:
            yield f"the books of {name} have {what} {kept} free, and {right} of {facts} are"


def allocation_violations(s: State, alloc: Allocation) -> Iterator[str]:
    """Yield what is wrong with one allocation."""
    name = f"allocation {alloc.id}"
    if alloc.state is AllocationState.RELEASED:
        yield f"{name} is released and still in memory"
    entry = s.jobs.get(alloc.job)
    if entry is None:
        yield f"{name} belongs to job {alloc.job}, which has ended"
    else:
        yield from _elements_of(entry, alloc)
    for node in alloc.nodes:
        if node not in s.nodes or alloc.id not in s.nodes[node].allocations:
            yield f"{name} is not among those of {node}"
    if alloc.resuming != (alloc.id in s.resuming):
        yield f"{name} is to go on: {alloc.resuming}, and is among those that are to go on, or not"
    if alloc.resuming and alloc.state is not AllocationState.SUSPENDED:
        yield f"{name} is to go on, and is not suspended"
    if not alloc.freed < alloc.nodes:
        yield f"{name} is {alloc.state} with {len(alloc.freed)} of {len(alloc.nodes)} nodes freed"
    if alloc.state is AllocationState.SUSPENDED and alloc.suspended_at is None:
        yield f"{name} is suspended since no time"
    if (alloc.suspended_at is None) != (alloc.suspended_by is None):
        yield f"{name} is suspended since {alloc.suspended_at} by {alloc.suspended_by}"
    stands_by = alloc.state is AllocationState.SUSPENDED and not alloc.resuming
    if stands_by and alloc.suspended_by is Suspender.SCHEDULER:
        yield f"{name} was suspended by a scheduler, and is not to go on"
    if (alloc.state is AllocationState.RELEASING) != bool(alloc.cause):
        yield f"{name} is {alloc.state} with the cause {alloc.cause!r}"
    if alloc.started != (alloc.started_at is not None):
        yield f"{name} has started at {alloc.started_at}, and is said to have: {alloc.started}"


def _elements_of(entry: Entry, alloc: Allocation) -> Iterator[str]:
    name = f"allocation {alloc.id}"
    if alloc.id not in entry.slots:
        yield f"{name} is not among those of job {alloc.job}"
    claimed = alloc.chunk if alloc.slot else ((alloc.element, alloc.element),)
    mine = {i for low, high in claimed for i in range(low, high + 1)}
    if mine != {i for i, number in entry.live.items() if number == alloc.id}:
        yield f"{name} is not the one of elements {sorted(mine)[:5]} of job {alloc.job}"
    if alloc.slot and alloc.running >= 0 and alloc.running not in mine:
        yield f"{name} runs element {alloc.running}, which it does not have"


def job_violations(s: State, entry: Entry) -> Iterator[str]:
    """Yield what is wrong with one unfinished job."""
    job, name = entry.job, f"job {entry.job.id}"
    if job.state is not (right := total_state(s, entry)):
        yield f"{name} is {job.state}, and its elements make it {right}"
    if job.state is JobState.DONE or job.result is not None:
        yield f"{name} is among the unfinished ones, {job.state} with result {job.result}"
    waiting, ended = set(entry.waiting), {i for found in entry.results.values() for i in found}
    if entry.slots.keys() != {a.id for a in s.allocations.values() if a.job == job.id}:
        yield f"{name} has the allocations {sorted(entry.slots)}, and others say they are its own"
    held = {e.index for e in entry.touched.values() if e.held_by and e.index not in entry.live}
    if (tied := {i for found in entry.tied.values() for i in found}) & waiting:
        yield f"{name} lets elements wait for their turn that wait for others: {tied & waiting}"
    if not set(entry.barred) <= tied - waiting:
        yield f"{name} bars {entry.barred.spans}, and what it waits for is {sorted(tied)[:5]}"
    waiting |= set(entry.barred)
    count = len(waiting) + len(entry.live) + entry.ended + len(held - waiting)
    if (waiting & entry.live.keys()) or (ended & (waiting | entry.live.keys() | held)):
        yield f"{name} has elements that are in two places"
    if count != entry.total:
        yield f"{name} has {entry.total} elements, and {count} of them wait, run or have ended"
    for index in entry.touched.keys() - waiting - entry.live.keys() - held:
        yield f"element {job.id}_{index} has a record and no place"
    for index, number in entry.live.items():
        if number not in s.allocations:
            yield f"element {job.id}_{index} holds allocation {number}, which is released"
    for number in entry.unmet:
        if number in s.ended or job.id not in s.dependents.get(number, ()):
            yield f"{name} waits for job {number}, which will not tell it"
    if s.requests.get((job.uid, job.request_id)) != job.id:
        yield f"{name} is not found by its request"


def unexplained(s: State) -> Iterator[str]:
    """Yield each job that waits without a rule; there is none after a planning pass."""
    for entry in s.jobs.values():
        waits = entry.waiting or entry.barred or (held(entry) and not entry.queued)
        if waits and entry.job.rule in ("", Rule.NEW):
            yield f"job {entry.job.id} is {entry.job.state} and waits by rule {entry.job.rule!r}"


def _sides(s: State) -> Iterator[str]:
    """Yield what is wrong with what is on nodes of another partition than its own."""
    for name, node in s.nodes.items():
        if node.node.partition != s.division.of(name):
            yield f"{name} is in partition {node.node.partition}, not {s.division.of(name)}"
    right = {
        alloc.id
        for alloc in s.allocations.values()
        if not is_step(alloc.job) and away(s, s.jobs[alloc.job], alloc)
    }
    if s.parts.strangers != right:
        yield f"{right} are on nodes of other partitions, and {s.parts.strangers} are said to be"
    for name, node in s.nodes.items():
        if not node.guests <= right & node.allocations:
            yield f"{name} waits for {node.guests}, and of others it has {right & node.allocations}"
    for number in s.parts.awaited - right:
        yield f"allocation {number} is to stand still, and is where it belongs"
    for alloc in s.allocations.values():
        lost = alloc.state is AllocationState.SUSPENDED and not alloc.resuming
        if lost and alloc.suspended_by is Suspender.CONFIGURATION and alloc.id not in right:
            yield f"allocation {alloc.id} stands still for its nodes, which are its partition's"


def _steps(s: State) -> Iterator[str]:
    """Yield what is wrong with the steps of allocations: each has its own part of what is held."""
    right: dict[int, set[int]] = {}
    for number, entry in s.jobs.items():
        if entry.job.spec.within:
            right.setdefault(entry.job.spec.within, set()).add(number)
    if s.steps != right:
        yield f"the unfinished steps are {right}, and are said to be {s.steps}"
    for holder, numbers in right.items():
        if holder not in s.jobs:
            yield f"job {holder} has ended before its steps {sorted(numbers)}"
            continue
        held = [s.allocations[a] for a in s.jobs[holder].slots]
        free = {(p.node, cpu) for alloc in held for p in alloc.placements for cpu in p.cpus}
        for number in sorted(numbers):
            for alloc in [s.allocations[a] for a in s.jobs[number].slots]:
                used = {(p.node, cpu) for p in alloc.placements for cpu in p.cpus}
                if not used <= free:
                    yield f"step {job_name(number)} has {sorted(used - free)}, which are not free in it"
                free -= used


def _users(s: State) -> Iterator[str]:
    cpus: Counter[str] = Counter()
    jobs: defaultdict[str, set[int]] = defaultdict(set)
    for entry in s.jobs.values():
        jobs[entry.job.user].add(entry.job.id)
        for number in entry.slots:
            alloc = s.allocations.get(number)
            if alloc is not None and alloc.suspended_at is None and not entry.job.spec.within:
                cpus[entry.job.user] += s.cpus_of(alloc)
    if (held := {u: n for u, n in s.user_cpus.items() if n}) != dict(+cpus):
        yield f"users hold {dict(+cpus)} CPUs, and are said to hold {held}"
    weight: Counter[str] = Counter()
    for entry in s.jobs.values():
        weight[entry.job.user] += entry.job.spec.weight
    if (heavy := {u: n for u, n in s.user_weight.items() if n}) != dict(+weight):
        yield f"unfinished jobs take {dict(+weight)} bytes, and are said to take {heavy}"
    licences: Counter[str] = Counter()
    for entry in s.jobs.values():
        for name, count in entry.job.spec.request.licences.items():
            licences[name] += 0 if entry.job.spec.within else count * len(entry.slots)
    if s.licences_held != dict(+licences):
        yield f"jobs hold the licences {dict(+licences)}, and are said to hold {s.licences_held}"
    for user in sorted(jobs.keys() | s.jobs_of.keys()):
        if (known := set(s.jobs_of.get(user, ()))) != jobs[user]:
            yield f"{user} has the unfinished jobs {jobs[user]}, and is said to have {known}"

    if s.holds.broken(s):
        yield "what is held under limits is not what is counted"
    waits = Counter(found for entry in s.jobs.values() if (found := account_of(entry)))
    if dict(waits) != s.waiting.counts:
        yield f"of accounts {dict(waits)} jobs wait, and are said to be {s.waiting.counts}"


def _waiters(s: State) -> Iterator[str]:
    for to, waiter in s.waiters.items():
        if not waiter.left:
            yield f"request {to} waits for nothing"
        for job in waiter.left:
            if job not in s.jobs or to not in s.waited.get(job, ()):
                yield f"request {to} waits for job {job}, which will not tell it"

"""What the core holds in memory, and the few ways in which everything else changes it."""

from collections import defaultdict, deque
from heapq import heappop, heappush

from ostler.core.absent import absent
from ostler.core.desk import Desk
from ostler.core.effects import Address, Effect, Save, Send
from ostler.core.entry import Entry
from ostler.core.fitting import Fitting
from ostler.core.foreign import orders
from ostler.core.foreign.rms import Rm
from ostler.core.holds import Holds
from ostler.core.marks import Marks
from ostler.core.node_entry import NodeEntry
from ostler.core.own import OwnJobs
from ostler.core.parts import Parts
from ostler.core.postbox import Postbox
from ostler.core.recent import Recent
from ostler.core.waiter import Waiter
from ostler.core.waiting import WaitingJobs
from ostler.model.allocation import Allocation
from ostler.model.errors import IllegalEvent
from ostler.model.ids import AllocationId, Ref
from ostler.model.job import Job
from ostler.model.orders import Order
from ostler.model.record import Event, Write
from ostler.model.settings import ATTRIBUTES
from ostler.model.site import SHIPPED
from ostler.model.states import (
    JOB_STATE_OF,
    LEGAL_ALLOCATION,
    AllocationState,
    JobState,
)
from ostler.schedule.limits import Limits
from ostler.schedule.reservations import Calendar
from ostler.schedule.rules import Rules, ShareRules
from ostler.schedule.shares import Ledger, rate
from ostler.schedule.snapshot import Standing

NO_JOB = 0  # what a deadline is for that is no job's
STORY = 20  # events told of an object when something illegal happens to it


class State:
    """The truth in memory. Changes are saved by effects; `changed` asks for a planning pass."""

    def __init__(self) -> None:
        self.epoch = 0
        self.site, self.parts = SHIPPED, Parts()
        self.division, self.closed = SHIPPED.division(), SHIPPED.closed
        self.rules, self.limits = Rules(), Limits(Rules())  # as site and settings have them
        self.nodes: dict[str, NodeEntry] = {}
        self.rms: dict[str, Rm] = {}  # other resource managers, by name
        self.identity, self.next_call = "", 1  # the machine's name there; of calls of drivers
        self.jobs: dict[int, Entry] = {}  # unfinished
        self.recent = Recent()  # ended
        self.ended: dict[int, str] = {}  # every ended job -> result
        self.allocations: dict[int, Allocation] = {}  # not released
        self.requests: dict[tuple[int, str], int] = {}  # (uid, request id) -> job
        self.steps: dict[int, set[int]] = {}  # job of an `alloc` -> its unfinished steps
        self.next_step: dict[int, int] = {}  # unfinished job of an `alloc` -> its next step
        self.alloc_news: set[int] = set()  # such jobs with news, of them or of their steps
        self.immediate: set[int] = set()  # jobs that the next planning pass starts, or rejects
        self.attended: set[int] = set()  # unfinished jobs whose clients wait for them
        self.dependents: dict[int, set[int]] = {}  # job -> unfinished ones that named it
        self.to_tell: deque[int] = deque()  # jobs that have ended and whose dependents wait to hear
        self.settings: dict[str, str] = {}
        self._calendar: tuple[Rules, Calendar | None] = self.rules, None  # of which rules
        self.user_cpus: dict[str, int] = {}
        self.members: dict[str, tuple[str, ...]] = {}  # user -> groups, as far as they were told
        self.holds = Holds()
        self.licences_held: dict[str, int] = {}  # by allocations, suspended ones too
        self.ledger = Ledger(ShareRules())
        self.standings: tuple[Standing, ...] = ()
        self.ranked_until = 0.0  # Unix seconds for which `standings` are good
        self.jobs_of: defaultdict[str, OwnJobs] = defaultdict(OwnJobs)  # unfinished ones by user
        self.user_weight: dict[str, int] = {}  # bytes of unfinished jobs
        self.fitting, self.waiting = Fitting(), WaitingJobs()
        self.next_job = self.next_allocation = self.next_event = self.next_transaction = 1
        self.stopping = ""  # how the machine is being stopped; empty: it is not
        self.stop_waiters: list[Address] = []
        self.stop_answered_at = 0.0  # when the last of them was told that all has stopped
        self.postbox = Postbox()
        self.desk = Desk()
        self.waiters: dict[Address, Waiter] = {}
        self.waited: dict[int, set[Address]] = {}  # job -> those who wait for it
        self.changed = True
        self.marks = Marks()
        self.refused_late = 0  # lines of plans that were legal when their planning began
        self.turned: dict[str, float] = {}  # partition -> Unix seconds of its last time slice's end
        self.plan_at = 0.0  # Unix seconds at which time alone changes the plan
        self.resuming: set[AllocationId] = set()  # suspended ones that are to go on
        self.effects: list[Effect] = []
        self._deadlines: list[tuple[float, int]] = []
        self._stories: dict[tuple[str, int], tuple[str, ...]] = {}

    # -- effects ---------------------------------------------------------------------------

    def save(self, write: Write) -> None:
        """Put a row into this turn's transaction."""
        self.effects.append(Save(write))

    def send(self, node: str, order: Order, blobs: tuple[str, str, str] = ("", "", "")) -> None:
        """Order something of an agent, once this turn is durable."""
        entry = self.nodes[node]
        if entry.node.rm:
            orders.take(self, entry.node.rm, node, order, blobs)
        elif entry.connected:
            self.effects.append(Send(node, order, blobs))

    def note(
        self,
        now: float,
        kind: str,
        text: str,
        *,
        job: int | None = None,
        element: int | None = None,
        allocation: int | None = None,
        node: str | None = None,
        user: str | None = None,
        about: str | None = None,
    ) -> None:
        """Record an event. about: what is neither a job nor a node."""
        number = self.next_event
        event = Event(number, now, kind, job, element, allocation, node, user, text, about)
        self.next_event += 1
        self.save(event)
        if self.desk.handlers:
            self.desk.see(self, now, event)
        for what, ident, there in (
            ("job", job, self.jobs),
            ("allocation", allocation, self.allocations),
        ):
            if ident is not None and ident in there:
                story = self._stories.get((what, ident), ())
                told = f"{now:.3f} {kind}: {text}"
                self._stories[what, ident] = (*story[1 - STORY :], told)

    def forget_story(self, kind: str, ident: int) -> None:
        """Drop what was kept of an object that is over."""
        self._stories.pop((kind, ident), None)

    def illegal(self, kind: str, ident: int, state: str, event: str) -> IllegalEvent:
        """Return the error for an event that cannot happen, with the object's story."""
        return IllegalEvent(kind, ident, state, event, self._stories.get((kind, ident), ()))

    # -- look-ups --------------------------------------------------------------------------

    def entry(self, ref: Ref) -> Entry:
        """Return the job, unfinished or recently ended; raise `Missing`."""
        found = self.jobs.get(ref.job) or self.recent.get(ref.job)
        if found is None:
            raise absent(self, ref.job)
        found.check(ref)
        return found

    def setting(self, key: str) -> int:
        """Return the value in force of an attribute that is a number."""
        return int(self.settings.get(key, ATTRIBUTES[key].default))

    def text(self, key: str) -> str:
        """Return the value in force of an attribute that is text."""
        return str(self.settings.get(key, ATTRIBUTES[key].default))

    @property
    def calendar(self) -> Calendar | None:
        """Return when nodes are reserved; None: none ever is."""
        if self._calendar[0] is not self.rules:
            made = Calendar(self.rules) if self.rules.reservations else None
            self._calendar = self.rules, made
        return self._calendar[1]

    # -- allocations -----------------------------------------------------------------------

    def put(self, alloc: Allocation) -> Allocation:
        """Replace an allocation after a legal move, and save it."""
        old = self.allocations.get(alloc.id)
        moved = old is not None and old.state is not alloc.state
        if old is not None and moved and alloc.state not in LEGAL_ALLOCATION[old.state]:
            raise self.illegal("allocation", alloc.id, old.state, f"a move to {alloc.state}")
        self.allocations[alloc.id] = alloc
        self.marks.allocations.add(alloc.id)
        if alloc.resuming or alloc.id in self.resuming:
            self._resumes(alloc)
        self.save(alloc)
        if alloc.state is AllocationState.RELEASED:
            del self.allocations[alloc.id]
            self.parts.released(alloc.id)
            self.forget_story("allocation", alloc.id)
        return alloc

    def _resumes(self, alloc: Allocation) -> None:
        self.marks.resuming = True
        if alloc.resuming and alloc.state is not AllocationState.RELEASED:
            self.resuming.add(alloc.id)
        else:
            self.resuming.discard(alloc.id)

    def live_state(self, number: AllocationId) -> JobState:
        """Return the state of the element that holds this allocation."""
        return JOB_STATE_OF[self.allocations[number].state]

    def cpus_of(self, alloc: Allocation) -> int:
        """Return how many CPUs the allocation holds when it is not suspended."""
        return sum(len(p.cpus) for p in alloc.placements)

    def uses(self, now: float, job: Job, alloc: Allocation) -> None:
        """Count the CPUs of an allocation, which its user holds and uses from now on."""
        self._count_cpus(job.user, self.cpus_of(alloc))
        self.holds.uses(job, alloc)
        cost = rate(self.ledger.rules, alloc.placements)
        self.ledger.start(alloc.id, (job.spec.project, job.user), cost, now)

    def used(self, now: float, job: Job, alloc: Allocation) -> None:
        """Count its CPUs no more: they are given back, or it stands still."""
        self._count_cpus(job.user, -self.cpus_of(alloc))
        self.holds.used(alloc.id)
        self.ledger.stop(alloc.id, now)

    def rank(self, now: float) -> bool:
        """Work out anew how all stand by their share, if that is due; say whether it was."""
        rules = self.rules
        if rules.shares != self.ledger.rules:
            self.ledger.change(rules.shares, now)
        if not rules.weights.share:
            due, self.standings = bool(self.standings), ()
            return due
        if now < self.ranked_until or not self.jobs:
            return False
        waiting = {(entry.job.spec.project, entry.job.user) for entry in self.jobs.values()}
        factors = self.ledger.factors(sorted(waiting), now)
        self.standings = tuple(Standing(*account, each) for account, each in factors.items())
        period = rules.shares.period
        self.ranked_until = (now // period + 1) * period
        self.wake(self.ranked_until, NO_JOB)
        return True

    def _count_cpus(self, user: str, change: int) -> None:
        left = self.user_cpus.get(user, 0) + change
        if left:
            self.user_cpus[user] = left
        else:
            self.user_cpus.pop(user, None)

    # -- jobs ------------------------------------------------------------------------------

    def unmet(self, job: Job) -> frozenset[int]:
        """Return the jobs that must end before this one may start."""
        after = job.spec.after
        return frozenset(d.job for d in after if d.kind != "each" and d.job not in self.ended)

    def add(self, entry: Entry) -> None:
        """Take an unfinished job in."""
        job = entry.job
        named = {dep.job for dep in job.spec.after}
        entry.unmet = self.unmet(job)
        for number in named:
            self.dependents.setdefault(number, set()).add(job.id)
        self.jobs[job.id] = entry
        self.waiting.look(entry)
        self.requests[job.uid, job.request_id] = job.id
        self.jobs_of[job.user].add(job.id)
        self.user_weight[job.user] = self.user_weight.get(job.user, 0) + entry.weight
        if job.spec.within:
            self.steps.setdefault(job.spec.within, set()).add(job.id)
        if job.spec.immediate and not job.spec.within:
            self.immediate.add(job.id)
        if job.is_attended:
            self.attended.add(job.id)
        if job.holds:
            self.next_step.setdefault(job.id, 0)
            self.alloc_news.add(job.id)

    def retire(self, entry: Entry) -> None:
        """Move a job that ended out of the way."""
        job = entry.job
        del self.jobs[job.id]
        self.waiting.look(entry, over=True)
        self.jobs_of[job.user].discard(job.id)
        self.user_weight[job.user] -= entry.weight
        self.ended[job.id] = job.result or ""
        self.immediate.discard(job.id)
        self.attended.discard(job.id)
        if job.holds:
            del self.next_step[job.id]
        if job.spec.within:
            unfinished = self.steps[job.spec.within]
            unfinished.discard(job.id)
            if not unfinished:
                del self.steps[job.spec.within]
        for named in {dep.job for dep in job.spec.after}:
            self.dependents[named].discard(job.id)
            if not self.dependents[named]:
                del self.dependents[named]
        self.forget_story("job", job.id)
        self.remember(entry)

    def reopen(self, entry: Entry) -> None:
        """Take a job that had ended in again; whoever named it and still waits, waits for it."""
        number = entry.job.id
        self.ended.pop(number, None)
        self.recent.forget(number)
        self.add(entry)
        for dependent in self.dependents.get(number, ()):
            waiting = self.jobs[dependent]
            waiting.unmet |= self.unmet(waiting.job) & {number}
            self.marks.jobs.add(dependent)

    def remember(self, entry: Entry) -> None:
        """Keep an ended job whole for a while."""
        for old in self.recent.keep(entry):
            self.requests.pop((old.job.uid, old.job.request_id), None)

    # -- deadlines -------------------------------------------------------------------------

    def wake(self, at: float, job: int) -> None:
        """Look at this job again at that time."""
        heappush(self._deadlines, (at, job))

    def next_deadline(self) -> float | None:
        """Return when `Tick` should come next."""
        return self._deadlines[0][0] if self._deadlines else None

    def due(self, now: float) -> list[int]:
        """Return the jobs whose deadline has come."""
        found: list[int] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            found.append(heappop(self._deadlines)[1])
        return found

"""Drivers with one fault each, and the case of the suite that catches it."""

import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from ostler.drivers.contract import Trouble
from ostler.model.foreign import (
    End,
    ForeignJob,
    ForeignNode,
    ForeignState,
    Jobs,
    Nodes,
    NodeState,
    Option,
    Outcome,
    Share,
)
from tests.toy_faulty_orders import (
    AnotherStartAfterTheEnd,
    CancelsByIdOnly,
    CancelsOnce,
    CancelsOnlyWhatRuns,
    CancelsTheWrongOne,
    ClaimsCancels,
    ClaimsStarts,
    DoneThoughItHadEnded,
    KnowsOnlyWhatRuns,
    LeavesItBehind,
    MakesWhatIsNotThere,
    OtherNode,
    QueuesWhatDoesNotFit,
    RefusesForEver,
    RefusesWithoutAWord,
    RunsAgainWhatWasForgotten,
    StartsOnWhatIsDown,
    StartsTwice,
    TakesAllForRun,
    TakesAnyShares,
    TakesTheFirstNodeTwice,
    TakesTheNodesThatAreFree,
    TellsAnotherUser,
    TokensInMemory,
)
from tests.toy_rm import Toy, ToyJob, with_fields


class EmptyWhenAway(Toy):
    def list_jobs(self) -> Jobs:
        try:
            return super().list_jobs()
        except Trouble:
            return Jobs(())


class Raises(Toy):
    def list_jobs(self) -> Jobs:
        raise KeyError("JOBID")


class Exits(Toy):
    def list_nodes(self) -> Nodes:
        raise SystemExit(1)


class Hangs(Toy):
    def list_nodes(self) -> Nodes:
        threading.Event().wait()
        return super().list_nodes()


class Garbage(Toy):
    def list_jobs(self) -> Jobs:
        return {"jobs": []}  # type: ignore[return-value]


class OutOfBounds(Toy):
    def node(self, name: str) -> ForeignNode:
        return with_fields(super().node(name), cpus=-1)


class Oversized(Toy):
    def node(self, name: str) -> ForeignNode:
        return with_fields(super().node(name), reason="x" * 100_000)


class Duplicates(Toy):
    def list_nodes(self) -> Nodes:
        return Nodes(super().list_nodes().nodes * 2)


class Shuffles(Toy):
    turns = 0

    def list_nodes(self) -> Nodes:
        Shuffles.turns += 1
        nodes = super().list_nodes().nodes
        return Nodes(nodes[:: -1 if Shuffles.turns % 2 else 1])


class ClockAhead(Toy):
    def list_jobs(self) -> Jobs:
        return with_fields(super().list_jobs(), at=time.time() + 3600)


class Truncates(Toy):
    def list_jobs(self) -> Jobs:
        return with_fields(super().list_jobs(), jobs=())


class CallsAPartComplete(Toy):
    def list_jobs(self) -> Jobs:
        return with_fields(super().list_jobs(), complete=True)


class GuessesAWord(Toy):
    def job(self, job: ToyJob) -> ForeignJob:
        fact = super().job(job)
        guess = fact.state is ForeignState.UNKNOWN
        return with_fields(fact, state=ForeignState.RUNNING) if guess else fact


class Mistranslates(Toy):
    about = with_fields(Toy.about, job_states=Toy.about.job_states | {"active": "held"})

    def job(self, job: ToyJob) -> ForeignJob:
        fact = super().job(job)
        runs = fact.state is ForeignState.HELD
        return with_fields(fact, state=ForeignState.RUNNING) if runs else fact


class NobodysJobs(Toy):
    def job(self, job: ToyJob) -> ForeignJob:
        return with_fields(super().job(job), user="")


class HidesOthersJobs(Toy):
    def list_jobs(self) -> Jobs:
        jobs = super().list_jobs()
        ours = tuple(job for job in jobs.jobs if job.user != "ann")
        return with_fields(jobs, jobs=ours)


class EndsByAbsence(Toy):
    seen: ClassVar[dict[str, ForeignJob]] = {}

    def list_jobs(self) -> Jobs:
        jobs = super().list_jobs()
        listed = {job.id: job for job in jobs.jobs}
        told = {end.id for end in jobs.ended}
        gone = [job for job in self.seen.values() if job.id not in listed | dict.fromkeys(told)]
        self.seen.update(listed)
        ends = tuple(End(job.id, "success", "it is not listed") for job in gone)
        return with_fields(jobs, ended=jobs.ended + ends)


class EndsInMemory(Toy):
    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._seen: set[str] = set()

    def list_jobs(self) -> Jobs:
        jobs = super().list_jobs()
        self._seen.update(job.id for job in jobs.jobs)
        ended = tuple(end for end in jobs.ended if end.id in self._seen)
        return with_fields(jobs, ended=ended)


class NoProof(Toy):
    def end(self, job: ToyJob) -> End:
        return with_fields(super().end(job), proof="")


class AlwaysSuccess(Toy):
    def end(self, job: ToyJob) -> End:
        return with_fields(super().end(job), result="success")


class NoIncarnation(Toy):
    def job(self, job: ToyJob) -> ForeignJob:
        return with_fields(super().job(job), incarnation="")


class WaitingJobsHaveShares(Toy):
    def job(self, job: ToyJob) -> ForeignJob:
        fact = super().job(job)
        return with_fields(fact, shares=fact.shares or (Share("n1"),))


class StatesOfItsOwn(Toy):
    about = with_fields(Toy.about, job_states=Toy.about.job_states | {"frozen": "standing"})


class GuessesANode(Toy):
    def node(self, name: str) -> ForeignNode:
        node = super().node(name)
        guess = node.state is NodeState.UNKNOWN
        return with_fields(node, state=NodeState.UP) if guess else node


class StopsAtACheckpoint(Toy):
    def checkpoint(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "stopping")


class RequeuesNothing(Toy):
    def requeue(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "active")


class UndeclaredVerb(Toy):
    about = with_fields(Toy.about, options=Toy.about.options - {Option.SUSPEND})


class DeclaredWithoutVerb(Toy):
    suspend = None  # type: ignore[assignment]


class SuspendsNothing(Toy):
    def suspend(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "active")


class ForgetsTheTimeLimit(Toy):
    def modify(self, job: str, token: str, time_limit: int) -> Outcome:
        return super().modify(job, token, 600)


class NotForThreads(Toy):
    """Keeps the name that it was asked for in the object, and waits for a call with another."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._asked: list[str] = []
        self._another = threading.Event()

    def list_nodes(self) -> Nodes:
        return Nodes(tuple(map(super().node, self.reach().words)))

    def node(self, name: str) -> ForeignNode:
        self._asked.append(name)
        if name != self._asked[0]:
            self._another.set()
        self._another.wait(5)
        return super().node(next((other for other in self._asked if other != name), name))


class EventsAreNumbers(Toy):
    def events(self) -> Iterator[str]:
        for _ in super().events():
            yield 1  # type: ignore[misc]


class CountsNoCpus(Toy):
    def node(self, name: str) -> ForeignNode:
        return with_fields(super().node(name), used_cpus=None)


class CountsTheDead(Toy):
    def node(self, name: str) -> ForeignNode:
        jobs = self.reach().jobs.values()
        used = sum(s.cpus for job in jobs for s in job.shares if s.node == name)
        return with_fields(super().node(name), used_cpus=used)


class SaysAllIsUp(Toy):
    about = with_fields(Toy.about, node_states=Toy.about.node_states | {"off": "up"})


class OddIds(Toy):
    def node(self, name: str) -> ForeignNode:
        return with_fields(super().node(name), name=f"{name} (rack 1)")


FAULTS: list[tuple[type[Toy], str, str]] = [
    (EmptyWhenAway, "lists-nothing-while-nobody-answers", "list_jobs answered while"),
    (Raises, "lists-jobs", "list_jobs raised KeyError: 'JOBID'; expected an answer, or Trouble"),
    (Exits, "lists-nodes", "list_nodes raised SystemExit: 1"),
    (Hangs, "lists-nodes", "list_nodes gave no answer; expected one within 0.05 s, or Trouble"),
    (Garbage, "lists-jobs", "list_jobs answered dict; expected Jobs"),
    (OutOfBounds, "lists-nodes", "Expected `int` >= 0"),
    (Oversized, "lists-nodes", "Expected `str` of length <= 1000"),
    (Duplicates, "lists-nodes", "it lists n1, n2, n3 twice; expected each node once"),
    (Shuffles, "keeps-the-order-of-nodes", "expected the same order"),
    (ClockAhead, "tells-no-fact-of-the-future", "ahead; expected now at the latest"),
    (Truncates, "lists-all-when-it-says-so", "expected running"),
    (CallsAPartComplete, "says-when-a-list-is-partial", "calls a part of the list complete"),
    (GuessesAWord, "does-not-guess-at-a-job", "is running (odd-word-9) for odd-word-9"),
    (Mistranslates, "translates-by-its-table", "is running for active; expected held"),
    (NobodysJobs, "lists-jobs", "is nobody's; expected its user"),
    (HidesOthersJobs, "sees-what-others-do", "is not listed; expected running"),
    (OtherNode, "starts-on-exactly-these-nodes", "it runs on n1; expected on n3"),
    (TokensInMemory, "knows-a-token-after-a-restart", "expected done or accepted, with 1"),
    (StartsTwice, "starts-the-same-token-once", "expected done or accepted, with 1"),
    (AnotherStartAfterTheEnd, "knows-the-token-of-what-has-ended", "begun 2 times; expected once"),
    (LeavesItBehind, "refuses-what-is-too-large", "left behind by a refused start"),
    (QueuesWhatDoesNotFit, "refuses-what-finds-no-room", "answered accepted; expected refused"),
    (RefusesForEver, "refuses-what-finds-no-room", "answered never"),
    (RefusesWithoutAWord, "refuses-nodes-that-it-does-not-have", "without a word"),
    (TakesAnyShares, "refuses-a-token-that-means-something-else", "answered done"),
    (TakesTheNodesThatAreFree, "takes-all-nodes-or-none", "answered accepted; expected refused"),
    (ClaimsStarts, "claims-no-start-while-nobody-answers", "is away answered done"),
    (DoneThoughItHadEnded, "says-that-it-had-ended", "answered done: ; expected already"),
    (CancelsOnlyWhatRuns, "cancels-what-is-starting", "expected an End with its proof"),
    (CancelsByIdOnly, "cancels-by-token-after-a-restart", "answered never"),
    (CancelsTheWrongOne, "cancels-nothing-else", "that never was answered accepted"),
    (EndsByAbsence, "ends-nothing-by-absence", "it is not listed"),
    (NoProof, "proves-a-success", "has no proof"),
    (AlwaysSuccess, "proves-a-failure", "ended as success"),
    (NoIncarnation, "tells-a-reused-id-from-the-old-one", "has incarnation ''"),
    (UndeclaredVerb, "has-the-options-that-it-declares", "has suspend() and does not declare"),
    (DeclaredWithoutVerb, "has-the-options-that-it-declares", "declares suspend and has no"),
    (RunsAgainWhatWasForgotten, "runs-once-what-was-forgotten", "expected an End with its proof"),
    (TakesAllForRun, "runs-what-was-forgotten-before-it-began", "expected done or accepted"),
    (SuspendsNothing, "suspends-and-resumes", "is running (active); expected suspended"),
    (ForgetsTheTimeLimit, "changes-time-limits", "expected 1200 s"),
    (NotForThreads, "answers-for-many-nodes-at-once", "expected each node for its own name"),
    (EventsAreNumbers, "tells-that-something-has-happened", "an event is 1"),
    (CountsNoCpus, "counts-what-it-has-started", "CPUs of n3 are free"),
    (SaysAllIsUp, "sees-a-node-fail", "expected down"),
    (OddIds, "lists-nodes", "matching regex"),
    (CancelsOnlyWhatRuns, "cancels-what-waits", "expected an End with its proof"),
    (CancelsOnlyWhatRuns, "cancels-what-is-suspended", "expected an End with its proof"),
    (CancelsOnce, "cancels-twice-without-harm", "answered never"),
    (ClaimsCancels, "claims-no-cancel-while-nobody-answers", "is away answered done"),
    (CountsTheDead, "cancels-what-runs", "n3 has not all CPUs free"),
    (EndsInMemory, "tells-an-end-to-a-new-driver", "expected an End with its proof"),
    (GuessesANode, "does-not-guess-at-a-node", "is up for odd-word-9; expected unknown"),
    (KnowsOnlyWhatRuns, "starts-the-same-token-once-without-waiting", "expected done or accepted"),
    (MakesWhatIsNotThere, "refuses-a-job-that-it-does-not-have", "answered accepted"),
    (RequeuesNothing, "requeues", "expected that it waits again"),
    (StartsOnWhatIsDown, "refuses-a-node-that-is-down", "answered accepted; expected refused"),
    (StatesOfItsOwn, "says-what-is-particular-to-it", "'standing'; expected a state, or a result"),
    (StopsAtACheckpoint, "writes-checkpoints", "expected running"),
    (TakesTheFirstNodeTwice, "starts-on-each-of-several-nodes", "it runs on"),
    (TellsAnotherUser, "takes-what-the-order-says", "the user of the job is 'nobody'"),
    (WaitingJobsHaveShares, "sees-what-waits", "waits, and has shares"),
]

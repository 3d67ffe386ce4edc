"""Drivers with one fault each in `start` or `cancel`."""

from typing import Any

from ostler.drivers.contract import Trouble
from ostler.model.foreign import (
    Did,
    Outcome,
    Start,
)
from tests.toy_rm import Toy, ToyJob, with_fields


class OtherNode(Toy):
    def make(self, order: Start) -> Outcome:
        other = tuple(with_fields(share, node="n1") for share in order.shares)
        return super().make(with_fields(order, shares=other))


class TokensInMemory(Toy):
    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._tokens: set[str] = set()

    def make(self, order: Start) -> Outcome:
        self._tokens.add(order.token)
        return super().make(order)

    def known(self, token: str) -> ToyJob | None:
        return super().known(token) if token in self._tokens else None


class StartsTwice(Toy):
    def known(self, token: str) -> ToyJob | None:
        return None


class AnotherStartAfterTheEnd(Toy):
    def known(self, token: str) -> ToyJob | None:
        job = super().known(token)
        return None if job is None or job.end else job


class RunsAgainWhatWasForgotten(Toy):
    def noted(self, order: Start) -> ToyJob | None:
        return None


class TakesAllForRun(Toy):
    def noted(self, order: Start) -> ToyJob | None:
        found = super().noted(order)
        unseen = ToyJob("0", 0, order.user, order.token, end="exit 1")
        return unseen if order.again and found is None else found


class LeavesItBehind(Toy):
    def refusal(self, order: Start) -> Outcome | None:
        refusal = super().refusal(order)
        if refusal:
            self.reach().add(order.user, order.token)
        return refusal


class QueuesWhatDoesNotFit(Toy):
    def refusal(self, order: Start) -> Outcome | None:
        refusal = super().refusal(order)
        return None if refusal and refusal.did is Did.REFUSED else refusal


class RefusesForEver(Toy):
    def refusal(self, order: Start) -> Outcome | None:
        refusal = super().refusal(order)
        return with_fields(refusal, did=Did.NEVER) if refusal else None


class RefusesWithoutAWord(Toy):
    def refusal(self, order: Start) -> Outcome | None:
        refusal = super().refusal(order)
        return with_fields(refusal, text="") if refusal else None


class KnowsOnlyWhatRuns(Toy):
    def known(self, token: str) -> ToyJob | None:
        job = super().known(token)
        return None if job is None or job.word == "booting" else job


class MakesWhatIsNotThere(Toy):
    def start(self, order: Start) -> Outcome:
        return super().start(with_fields(order, id=""))


class StartsOnWhatIsDown(Toy):
    def refusal(self, order: Start) -> Outcome | None:
        rm = self.reach()
        off = any(rm.words.get(share.node) == "off" for share in order.shares)
        return None if off else super().refusal(order)


class TakesTheFirstNodeTwice(Toy):
    def make(self, order: Start) -> Outcome:
        return super().make(with_fields(order, shares=order.shares[:1] * len(order.shares)))


class TellsAnotherUser(Toy):
    def make(self, order: Start) -> Outcome:
        return super().make(with_fields(order, user="nobody"))


class TakesAnyShares(Toy):
    def start(self, order: Start) -> Outcome:
        job = self.known(order.token)
        return Outcome(Did.DONE, job.id) if job else super().start(order)


class TakesTheNodesThatAreFree(Toy):
    def start(self, order: Start) -> Outcome:
        free = tuple(share for share in order.shares if self.reach().free(share.node) > 0)
        return super().start(with_fields(order, shares=free) if free else order)


class ClaimsStarts(Toy):
    def start(self, order: Start) -> Outcome:
        try:
            return super().start(order)
        except Trouble:
            return Outcome(Did.DONE, "1")


class DoneThoughItHadEnded(Toy):
    def turn(self, job: str, token: str, word: str) -> Outcome:
        outcome = super().turn(job, token, word)
        ended = outcome.did is Did.ALREADY
        return Outcome(Did.DONE, outcome.id) if ended else outcome


class CancelsOnlyWhatRuns(Toy):
    def cancel(self, job: str, token: str) -> Outcome:
        found = self.find(job, token)
        if found and found.word != "active" and not found.end:
            return Outcome(Did.DONE, found.id)
        return super().cancel(job, token)


class CancelsOnce(Toy):
    def cancel(self, job: str, token: str) -> Outcome:
        found = self.find(job, token)
        if found and found.word == "stopping":
            return Outcome(Did.NEVER, text="it is being cancelled")
        return super().cancel(job, token)


class ClaimsCancels(Toy):
    def cancel(self, job: str, token: str) -> Outcome:
        try:
            return super().cancel(job, token)
        except Trouble:
            return Outcome(Did.DONE, job)


class CancelsByIdOnly(Toy):
    def find(self, job: str, token: str) -> ToyJob | None:
        return self.reach().jobs.get(job)


class CancelsTheWrongOne(Toy):
    def find(self, job: str, token: str) -> ToyJob | None:
        jobs = self.reach().jobs
        return super().find(job, token) or next(reversed(jobs.values()), None)

"""One case's dealings with a driver: each call has a deadline, and its answer is held to its form."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

from ostler.drivers.contract import Trouble
from ostler.model.foreign import (
    About,
    Did,
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
    Start,
)
from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.finding import Failed, Skipped, expect

TAKEN = frozenset({Did.DONE, Did.ACCEPTED})
FORMS: dict[str, Any] = {"list_nodes": Nodes, "list_jobs": Jobs, "node": ForeignNode}
T = TypeVar("T")


class Begun(NamedTuple):
    """A job that was ordered."""

    order: Start
    id: str

    @property
    def token(self) -> str:
        """Return the token of its order."""
        return self.order.token


class Trial:
    """A bench, a driver on it, and what was begun there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.driver: Any = bench.driver()
        self._tokens: list[str] = []  # of all orders
        self._behind: list[str] = []  # ids of jobs that the bench has submitted
        self._mark = secrets.token_hex(4)

    @property
    def about(self) -> About:
        """Return what the driver says of itself, held to its form."""
        return same(self.driver.about, About, "about")

    def has(self, *options: Option) -> None:
        """Raise `Skipped` unless it declares these."""
        if missing := [option for option in options if option not in self.about.options]:
            raise Skipped(f"the driver does not declare {', '.join(missing)}")

    def restart(self) -> None:
        """Go on with a new driver object, which remembers nothing."""
        self.driver = self.bench.driver()

    # -- calls -------------------------------------------------------------------------------

    def call(self, verb: str, *words: Any) -> Any:
        """Call the driver and return its answer; `Trouble` goes through, all else is a failure."""
        answers: list[Any] = []
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                answers.append(getattr(self.driver, verb)(*words))
            except BaseException as error:  # noqa: BLE001 - a driver's own; SystemExit, too
                errors.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(self.bench.deadline)
        if errors:
            if isinstance(errors[0], Trouble):
                expect(str(errors[0]), f"{verb} raised Trouble without a word", "a sentence")
                raise errors[0]
            came = f"{verb} raised {type(errors[0]).__name__}: {errors[0]}"
            raise Failed(f"{came}; expected an answer, or Trouble") from errors[0]
        expect(
            answers, f"{verb} gave no answer", f"one within {self.bench.deadline:g} s, or Trouble"
        )
        return same(answers[0], FORMS.get(verb, Outcome), verb)

    def nodes(self) -> Nodes:
        """Call `list_nodes`; ask for each where that is the driver's way."""
        nodes: Nodes = self.call("list_nodes")
        if Option.NODE in self.about.options:
            each = tuple(self.call("node", node.name) for node in nodes.nodes)
            nodes = msgspec.structs.replace(nodes, nodes=each)
        return nodes

    def jobs(self) -> Jobs:
        """Call `list_jobs`."""
        jobs: Jobs = self.call("list_jobs")
        return jobs

    def start(self, order: Start) -> Outcome:
        """Call `start`. Whatever comes of it is taken away after the case."""
        self._tokens.append(order.token)
        outcome: Outcome = self.call("start", order)
        if outcome.did in TAKEN:
            expect(outcome.id, f"start answered {outcome.did} without an id", "the job's id")
        else:
            expect(outcome.text, f"start answered {outcome.did} without a word", "a reason")
        return outcome

    def cancel(self, job: str, token: str = "") -> Outcome:
        """Call `cancel`."""
        outcome: Outcome = self.call("cancel", job, token)
        return outcome

    # -- orders ------------------------------------------------------------------------------

    def token(self) -> str:
        """Return a token that was never used."""
        return f"check-{self._mark}-{len(self._tokens) + len(self._behind)}-{secrets.token_hex(2)}"

    def place(self, cpus: int = 1, *, nodes: int = 1) -> tuple[Share, ...]:
        """Return shares on the last nodes that have so many CPUs free; raise `Skipped`."""
        free = [name for name, count in self.free().items() if count >= cpus]
        if len(free) < nodes:
            raise Skipped(f"{len(free)} nodes are up with {cpus} CPUs free, and it takes {nodes}")
        return tuple(Share(name, tasks=1, cpus=cpus) for name in free[-nodes:])

    def free(self) -> dict[str, int]:
        """Return how many CPUs are free on each node that is up."""
        up = [node for node in self.nodes().nodes if node.state is NodeState.UP]
        return {node.name: node.cpus - (node.used_cpus or 0) for node in up}

    def order(self, shares: Sequence[Share]) -> Start:
        """Return an order for a new job, or for one that the bench has submitted."""
        key = self.token()
        job = "" if Option.SUBMIT in self.about.options else self.submit(key)
        return self.bench.order(key, shares, job)

    def submit(self, key: str = "") -> str:
        """Have the bench submit a job that waits."""
        job = self.bench.submit(key or self.token())
        self._behind.append(job)
        return job

    def occupy(self, node: str, key: str) -> str:
        """Have the bench run a job."""
        job = self.bench.occupy(node, key)
        self._behind.append(job)
        return job

    def begin(self, shares: Sequence[Share] = ()) -> Begun:
        """Start a job and wait until it runs."""
        order = self.order(shares or self.place())
        outcome = self.start(order)
        expect(
            outcome.did in TAKEN,
            f"start on {names(order.shares)} answered {outcome.did}: {outcome.text}",
            "done or accepted",
        )
        begun = Begun(order, outcome.id)
        self.until_state(begun.id, ForeignState.RUNNING)
        self.until_begun(begun)
        return begun

    def until_begun(self, begun: Begun) -> None:
        """Wait until the command of a job has begun."""
        for _ in range(self.bench.polls):
            if self.bench.begun(begun.token):
                return
            self.bench.pause()
        said = self.bench.said(begun.token)
        came = f"job {begun.id} runs, and its command has not begun"
        raise Failed(f"{came}{f' (it wrote: {said})' if said else ''}; expected a start")

    # -- looks -------------------------------------------------------------------------------

    def until(self, look: Callable[[], T | None], came: str, wanted: str) -> T:
        """Look until there is something to see, and return it."""
        for _ in range(self.bench.polls):
            if seen := look():
                return seen
            self.bench.pause()
        raise Failed(f"{came} after {self.bench.polls} looks; expected {wanted}")

    def told(self, job: str) -> ForeignJob | End | None:
        """Return what is told of a job."""
        jobs = self.jobs()
        all_told: list[ForeignJob | End] = [*jobs.jobs, *jobs.ended]
        return next((each for each in all_told if each.id == job), None)

    def until_state(self, job: str, *states: ForeignState) -> ForeignJob:
        """Wait until a job is in one of these states."""
        seen: ForeignJob | End | None = None
        for _ in range(self.bench.polls):
            seen = self.told(job)
            if isinstance(seen, ForeignJob) and seen.state in states:
                return seen
            if isinstance(seen, End):
                break
            self.bench.pause()
        raise Failed(f"job {job} is {said(seen)}; expected {' or '.join(states)}")

    def until_ended(self, job: str) -> End:
        """Wait until the end of a job is proved."""

        def look() -> End | None:
            seen = self.told(job)
            return seen if isinstance(seen, End) else None

        for _ in range(self.bench.polls):
            if end := look():
                return end
            self.bench.pause()
        raise Failed(f"job {job} is {said(self.told(job))}; expected an End with its proof")

    def close(self) -> None:
        """End what was begun, as far as the driver can."""
        if not self._tokens and not self._behind:
            return
        with suppress(Exception):
            self.restart()
            left = [("", token) for token in self._tokens]
            for job, token in [*left, *((job, "") for job in self._behind)]:
                with suppress(Exception):
                    self.cancel(job, token)
            ours = set(self._tokens)
            for _ in range(self.bench.polls):
                listed = self.jobs().jobs
                if not any(j.token in ours or j.id in self._behind for j in listed):
                    break
                self.bench.pause()


def same(answer: Any, form: type[T], verb: str) -> T:
    """Return an answer as it is after its way to the manager, which holds it to all bounds."""
    came = f"{verb} answered {type(answer).__name__}"
    expect(isinstance(answer, form), came, form.__name__)
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=form)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise Failed(f"{came} that is not in form: {error}; expected what its type says") from error


def said(seen: ForeignJob | End | None) -> str:
    """Return the words for what is told of a job."""
    if seen is None:
        return "not listed"
    if isinstance(seen, End):
        return f"told to have ended ({seen.result}: {seen.proof})"
    return f"{seen.state} ({seen.native_state or seen.reason or 'no word'})"


def names(shares: Sequence[Share]) -> str:
    """Return the nodes of shares for people."""
    return ",".join(share.node for share in shares) or "no node"


def now() -> float:
    """Return the time that facts may have at most: clocks of two hosts differ a little."""
    return time.time() + 1.0

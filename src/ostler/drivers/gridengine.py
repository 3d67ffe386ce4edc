"""Grid Engine, by the commands that all its descendants have: qstat, qhost, qsub, qdel, qmod.

A load is two of them and a look into the accounting file, which alone tells how a job has ended.
The only text of a job that is kept there is its name, so a job of ours has its token in its name.
"""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from ostler.drivers import gridengine_orders as orders
from ostler.drivers import gridengine_words as words
from ostler.drivers.completions import Completions
from ostler.drivers.contract import Trouble
from ostler.drivers.programs import (
    Answer,
    Person,
    Programs,
    folder_of,
    known,
    local_time,
    place_of,
    seconds_of,
)
from ostler.model.foreign import (
    About,
    Did,
    End,
    ForeignJob,
    ForeignState,
    Jobs,
    Nodes,
    Option,
    Outcome,
    Start,
)
from ostler.model.limits import MAX_FOREIGN_JOBS, MAX_SENTENCE
from ostler.model.states import Result

SETTINGS = {
    "root": "The folder of the installation (SGE_ROOT); that of the environment.",
    "cell": "Its cell (SGE_CELL); default.",
    "ports": "Ports of qmaster and execd, as in 6444,6445; those of the environment or of services.",
    "path": "Folders of the commands, with colons between them; those of PATH.",
    "timeout": "Seconds that one command may take; 8.",
    "accounts": "Path of the accounting file; common/accounting of the cell.",
    "history": "How far back ends are looked for after a pause, in seconds; 86400.",
    "flush": "Seconds after which an end has its line there (flush_time); 15.",
    "pe": "Parallel environment that gives several slots of one host; smp.",
    "memory": "The resource by which a job's memory is asked for, as in h_vmem; none.",
    "options": "More options of qsub for each job, as in `-P grid -l arch=lx-amd64`; none.",
}
DEBIAN = "/usr/lib/gridengine"
LOOK = 2.0  # seconds for which one look serves for starts
Key = tuple[str, str]  # user and token of a start
ASKED_AT_ONCE = 500  # jobs whose details are asked for by one command
ENVIRONMENT = (
    *("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_ARCH"),
    "LD_LIBRARY_PATH",
)


class GridEngine:
    """Grid Engine through its commands, as the user who runs them."""

    about = About(
        name="gridengine",
        title="Grid Engine (Son of Grid Engine and its relatives), by its commands",
        options=frozenset({Option.SUBMIT, Option.SCHEDULES, Option.SUSPEND, Option.RESUME}),
        settings=SETTINGS,
        job_states=words.JOB_STATES,
        node_states=words.NODE_STATES,
        oldest="8.1.9",
        limits=(
            "Only root submits for others: qsub runs as the user the job is for.",
            "A job gets one host: parallel environments over several are seen, and not asked for.",
            "CPUs are slots of queues; a node's CPUs are those of all its queues together.",
            "A job of ours has its token in its name, which is all of it that the accounts keep.",
            "A script of several tasks is refused, and a script has the umask of its execd.",
            "An end is known when the accounts are written, up to 15 seconds (flush_time) later.",
            "A waiting job that was deleted has no accounts: its end is believed two flush_times later.",
            "The accounts do not tell a job that was deleted from one that was killed.",
            "Grid Engine itself says why a job waits only with schedd_job_info, and slowly.",
        ),
    )

    def __init__(self, settings: Mapping[str, str]) -> None:
        known(settings, SETTINGS)
        env = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        if root := place_of(settings, "root"):
            env["SGE_ROOT"] = root
        if cell := settings.get("cell"):
            env["SGE_CELL"] = cell
        if ports := settings.get("ports"):
            numbers = ports.split(",")
            if len(numbers) != 2 or not all(each.isdigit() for each in numbers):
                raise ValueError(f"ports={ports}: expected two numbers, as in 6444,6445")
            env["SGE_QMASTER_PORT"], env["SGE_EXECD_PORT"] = numbers
        self._env = env
        self._programs = Programs(
            settings.get("path") or _folder(env),
            env,
            seconds_of(settings, "timeout", 8.0),
            root,
        )
        place = Path(env.get("SGE_ROOT", "/"), env.get("SGE_CELL", "default"), "common/accounting")
        self._accounts = Completions(folder_of(settings, "accounts") or str(place))
        self._history = seconds_of(settings, "history", 86_400.0)
        self._settled = 2 * seconds_of(settings, "flush", 15.0)
        self._asked = orders.Asked.of(settings)
        self._submitted: dict[str, str] = {}  # number of a job that runs -> its incarnation
        self._seen: set[str] = set()  # ids of jobs that were listed before they ended
        self._began: set[str] = set()  # ids of jobs that were seen to run
        self._deleted: set[str] = set()  # ids of jobs that were seen while they were deleted
        self._past: Completions | None = None  # for ends by token
        self._ended: dict[Key, End] = {}
        self._known: dict[Key, ForeignJob | End | words.Gone] = {}  # when it was looked
        self._tried: set[str] = set()  # tokens of starts since then
        self._looked_at = -LOOK  # monotonic
        self._gone: dict[str, float] = {}  # id of what qstat calls ended -> when first seen so

    # ── the four verbs ───────────────────────────────────────────────────────────────────────────

    def list_nodes(self) -> Nodes:
        try:
            return Nodes(tuple(words.nodes_of(self._programs.ask(["qhost", "-xml", "-q"]))))
        except words.NotXml as error:
            raise Trouble(f"qhost: {error}") from None

    def list_jobs(self) -> Jobs:
        now, listed = time.time(), self._dated(self._qstat())
        ends = {end.id: end for end in self._ends(now - self._history)}  # the last of each
        jobs: list[ForeignJob] = []
        remembered: set[str] = set()
        for each in listed:
            if isinstance(each, words.Gone):
                remembered.add(each.id)
                end = ends.get(each.id)
                if end is None or end.incarnation != each.incarnation:
                    ends.pop(each.id, None)
                    fact = self._of_gone(each)
                    if isinstance(fact, End):
                        ends[each.id] = fact
                    elif each.id in self._seen:
                        jobs.append(fact)
                continue
            jobs.append(each)
            self._seen.add(each.id)
            ends.pop(each.id, None)  # of an older one, or of a run before
            if each.shares:
                self._began.add(each.id)
            if each.state is ForeignState.ENDING:
                self._deleted.add(each.id)
        for ident in self._gone.keys() - remembered:
            del self._gone[ident]
        if len(self._seen) > 2 * MAX_FOREIGN_JOBS:
            self._seen.clear()
            self._began.clear()
            self._deleted.clear()
        complete = len(jobs) <= MAX_FOREIGN_JOBS
        jobs.sort(key=lambda job: not job.shares)
        latest = sorted(ends.values(), key=lambda end: end.ended_at)[-MAX_FOREIGN_JOBS:]
        return Jobs(tuple(jobs[:MAX_FOREIGN_JOBS]), tuple(latest), complete)

    def start(self, order: Start) -> Outcome:
        if wrong := orders.unfit(order):
            return Outcome(Did.NEVER, text=wrong)
        if found := self._before(order):
            if isinstance(found, ForeignJob) and orders.other_than(order, found):
                return Outcome(Did.NEVER, found.id, text="its token is that of another job")
            return Outcome(Did.ACCEPTED, found.id, found.incarnation, "it was submitted before")
        command, tail = orders.command_of(order, self._asked)
        files = [orders.script_of(order)]
        env = {**orders.environment(order.env), **self._env}

        def submit(*more: str) -> Answer:
            return self._programs.run(
                [*command, *more, *tail],
                files=files,
                person=Person(order.uid, order.gid),
                env=env,
                cwd=order.cwd,
            )

        self._tried.add(order.token)
        trial = submit("-w", "p")
        if refusal := orders.refusal(trial, heard=False):
            return refusal
        try:
            done = submit("-w", "n", "-terse")
        except Trouble as error:
            return Outcome(Did.UNKNOWN, text=str(error)[:MAX_SENTENCE])
        if done.status == 0 and (ident := done.out.strip()).isdigit():
            return Outcome(Did.ACCEPTED, ident)
        unclear = Outcome(Did.UNKNOWN, text=done.complaint[:MAX_SENTENCE])
        return orders.refusal(done, heard=True) or unclear

    def cancel(self, job: str, token: str) -> Outcome:
        outcome = self._order(job, token, ["qdel"])
        if outcome.did is Did.ACCEPTED:
            self._deleted.add(outcome.id)
        return outcome

    # ── what it declares beside them ─────────────────────────────────────────────────────────────

    def suspend(self, job: str, token: str) -> Outcome:
        return self._order(job, token, ["qmod", "-sj"])

    def resume(self, job: str, token: str) -> Outcome:
        return self._order(job, token, ["qmod", "-usj"])

    def _order(self, job: str, token: str, command: Sequence[str]) -> Outcome:
        """Run a command that concerns a job; return what became of it."""
        found = self._job(job) if job else self._find(token)
        if found is None:
            what = f"job {job}" if job else f"job of the start {token}"
            text = f"Grid Engine knows no {what}, and no proof of its end"
            return Outcome(Did.UNKNOWN, job, text=text)
        if not isinstance(found, ForeignJob):
            text = found.proof if isinstance(found, End) else "qstat says that it has ended"
            return Outcome(Did.ALREADY, found.id, text=text)
        if job and token and found.token != token:
            return Outcome(Did.NEVER, job, text=f"job {job} is not of the start {token}")
        try:
            done = self._programs.run([*command, found.id])
        except Trouble as error:
            return Outcome(Did.UNKNOWN, found.id, text=str(error)[:MAX_SENTENCE])
        return orders.outcome(done, found.id)

    # ── finding jobs ─────────────────────────────────────────────────────────────────────────────

    def _qstat(self, user: str = "*") -> list[ForeignJob | words.Gone]:
        command = ["qstat", "-xml", "-r", "-g", "dt", "-s", "prsz", "-u", user]
        try:
            return words.jobs_of(self._programs.ask(command), local_time)
        except words.NotXml as error:
            raise Trouble(f"qstat: {error}") from None

    def _dated(self, listed: list[ForeignJob | words.Gone]) -> list[ForeignJob | words.Gone]:
        """Return jobs with their submissions, which tell one from an older one of its number."""
        numbers = {each.id.partition(".")[0] for each in listed if not each.incarnation}
        self._submitted = {n: at for n, at in self._submitted.items() if n in numbers}
        new = sorted(numbers - self._submitted.keys())
        for at in range(0, len(new), ASKED_AT_ONCE):
            some = ",".join(new[at : at + ASKED_AT_ONCE])
            answer = self._programs.run(["qstat", "-xml", "-j", some])
            self._submitted |= words.submissions_of(answer.out)
        return [
            each
            if each.incarnation
            else replace(each, incarnation=self._submitted.get(each.id.partition(".")[0], ""))
            for each in listed
            if isinstance(each, ForeignJob)
        ] + [each for each in listed if isinstance(each, words.Gone)]

    def _ends(self, since: float) -> list[End]:
        return [
            end if end.id not in self._deleted else _cancelled(end)
            for end in words.ends_of(self._accounts.lines())
            if end.ended_at >= since
        ]

    def _of_gone(self, gone: words.Gone) -> ForeignJob | End:
        """Return what to tell of a job that has ended, and has no line in the accounts (yet)."""
        first = self._gone.setdefault(gone.id, time.monotonic())
        name, token = words.token_of(gone.name)
        if time.monotonic() < first + self._settled:
            its = (gone.id, ForeignState.ENDING, gone.user, gone.incarnation, token, name)
            return ForeignJob(*its, native_state="z")
        ran = gone.id in self._began
        return End(
            gone.id,
            Result.LOST if ran else Result.CANCELLED,
            f"qstat -s z: ended, and not in the accounts {self._settled:g} s later",
            incarnation=gone.incarnation,
            token=token,
            user=gone.user,
            reason="" if ran else "it was deleted before it began",
        )

    def _before(self, order: Start) -> ForeignJob | End | words.Gone | None:
        """Return what an earlier start of this token has made.

        One look is enough for many starts in a row: what it does not show was not started before
        it, and of what was tried since it is known that it was.
        """
        if order.token in self._tried or time.monotonic() > self._looked_at + LOOK:
            self._tried.clear()
            self._known = self._tokens()
            self._looked_at = time.monotonic()
        found = self._known.get((order.user, order.token))
        return self._dated([found])[0] if isinstance(found, ForeignJob) else found

    def _tokens(self) -> "dict[Key, ForeignJob | End | words.Gone]":
        """Return what anything remembers of starts. A token is part of a name: others may have it."""
        if self._past is None:
            self._past = Completions(self._accounts.path)
        for end in words.ends_of(self._past.lines()):
            if end.token:
                self._ended[end.user, end.token] = end
        for key in [*islice(self._ended, max(0, len(self._ended) - MAX_FOREIGN_JOBS))]:
            del self._ended[key]
        found: dict[Key, ForeignJob | End | words.Gone] = {**self._ended}
        for each in self._qstat():
            token = words.token_of(each.name)[1] if isinstance(each, words.Gone) else each.token
            if token:
                found[each.user, token] = each
        return found

    def _find(self, token: str) -> ForeignJob | End | words.Gone | None:
        """Return the job that a start of this token has made, if anything remembers one.

        It is the first one: others can write a token only once they have seen it.
        """
        same = [each for (_, its), each in self._tokens().items() if its == token]
        return min(same, key=lambda each: int(each.id.partition(".")[0]), default=None)

    def _job(self, job: str) -> ForeignJob | End | words.Gone | None:
        same = [each for each in self._qstat() if each.id == job]
        found = next((each for each in same if isinstance(each, ForeignJob)), (*same, None)[0])
        if found is not None:
            return found
        ends = words.ends_of(Completions(self._accounts.path).lines())
        return next((end for end in ends if end.id == job), None)


def _folder(env: Mapping[str, str]) -> str:
    """Return where Debian has the programs themselves, if they are its own and know their root.

    What it has in /usr/bin are scripts, which find out the root: a command takes 80 ms by them, and
    4 ms without.
    """
    own = "SGE_ROOT" in env and shutil.which("qsub") == "/usr/bin/qsub"
    return DEBIAN if own and os.access(f"{DEBIAN}/qsub", os.X_OK) else ""


def _cancelled(end: End) -> End:
    """Return the end of a job that was seen while it was deleted."""
    if end.result != Result.FAILED or not end.signal:
        return end
    return replace(end, result=Result.CANCELLED)

"""Slurm, by the commands that every installation of it has: squeue, scontrol, sbatch, scancel, sacct.

A load is two of them: `squeue` tells all jobs, and for some minutes (MinJobAge) those that have
ended; `scontrol` tells all nodes. The ends that Slurm's controller has forgotten are in its accounts
(sacct) or in its job completion file. A start is known by its token, which is the job's comment.
slurmctld saves its jobs every five seconds: one that is killed forgets what it took since, and starts
again what began since. So jobs themselves note that they began and how they ended (`begun`).
"""

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex

from msgspec.structs import replace

from ostler.drivers import slurm_ends as past
from ostler.drivers import slurm_orders as orders
from ostler.drivers import slurm_words as words
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
from ostler.drivers.slurm_notes import Notes
from ostler.model.foreign import (
    About,
    Did,
    End,
    ForeignJob,
    Jobs,
    Nodes,
    NodeState,
    Option,
    Outcome,
    Start,
)
from ostler.model.limits import MAX_FOREIGN_JOBS, MAX_SENTENCE

SETTINGS = {
    "config": "Path of slurm.conf (SLURM_CONF); the one that the commands find.",
    "path": "Folders of Slurm's commands, with colons between them; those of PATH.",
    "timeout": "Seconds that one command may take; 8.",
    "completions": "Path of the job completion file; what Slurm's JobCompLoc names.",
    "history": "How far back ends are looked for after a pause, in seconds; 86400.",
    "records": "Folder, shared with the nodes and as open as /tmp, where jobs note that they "
    "began and ended; .local/state/ostler/jobs of their user's home.",
    "options": "More options of sbatch for each job, as in `--account=grid --qos=low`; none.",
}
SITE_AGE = 600.0  # seconds for which what Slurm says of its configuration is taken as it was
OVERLAP = 600.0  # seconds before the last load in which ends are told again
ENDED = "CD,CA,F,TO,DL,OOM,NF,BF,PR,RV"


@dataclass(frozen=True)
class Found:
    """A job that is there for a token. row: what squeue says; None if only accounts know it."""

    fact: ForeignJob | End
    row: words.Row | None = None

    def other_than(self, order: Start) -> bool:
        """Tell whether it is another job than what is ordered."""
        return self.row is not None and (
            set(words.names(self.row["ReqNodes"])) != {share.node for share in order.shares}
            or orders.size_of(order)
            != (words.number(self.row["NumTasks"]), words.number(self.row["cpus-per-task"]))
        )


class Slurm:
    """Slurm through its commands, as the user who runs them."""

    about = About(
        name="slurm",
        title="Slurm, by its commands",
        options=frozenset(
            {Option.SUBMIT, Option.SCHEDULES, Option.SUSPEND, Option.RESUME}
            | {Option.REQUEUE, Option.MODIFY, Option.MANY_NODES, Option.ONCE}
        ),
        settings=SETTINGS,
        job_states=words.JOB_STATES,
        node_states=words.NODE_STATES,
        oldest="22.05",
        limits=(
            "Only root submits for others: sbatch runs as the user the job is for.",
            "Where a job of several nodes has its CPUs is known as a whole: shown evenly.",
            "Slurm itself spreads tasks that are not the same number on each node.",
            "Time limits are rounded up to minutes, memory to MiB.",
            "A start whose answer was lost is found while slurmctld has the job's comment.",
            "Later it is found only in accounts with AccountingStoreFlags=job_comment.",
            "A killed slurmctld starts again what began last: what can leave no notes may run twice.",
            "Where nodes share no records, how a forgotten job ended is told once Slurm took it again.",
            "What `scancel --batch` sends reaches a job only if it was submitted with --signal=B:.",
            "Without accounts and job completion file, an end is known for MinJobAge only.",
            "Suspend and resume need a Slurm operator; so does a longer time limit.",
            "A job that Slurm has requeued is told without its submission: that is forgotten.",
            "Where PrivateData hides others' jobs or nodes, what is hidden stays unknown.",
        ),
    )

    def __init__(self, settings: Mapping[str, str]) -> None:
        known(settings, SETTINGS)
        config = place_of(settings, "config")
        env = {"SLURM_CONF": config} if config else {}
        if not config and "SLURM_CONF" in os.environ:
            env["SLURM_CONF"] = os.environ["SLURM_CONF"]
        self._programs = Programs(
            settings.get("path", ""), env, seconds_of(settings, "timeout", 8.0), config
        )
        self._completions = folder_of(settings, "completions")
        self._history = seconds_of(settings, "history", 86_400.0)
        self._options = shlex.split(settings.get("options", ""))
        if wrong := orders.unfit(self._options):
            raise ValueError(f"options: {wrong} cannot be given to each job")
        self._notes = Notes(settings)
        self._site: dict[str, str] = {}
        self._site_until = 0.0
        self._file: Completions | None = None
        self._elements: dict[str, str] = {}  # of arrays: number -> id
        self._requeued: set[str] = set()  # ids of jobs that do not know their first submission
        self._since = 0.0  # when the last complete list began

    # ── the four verbs ───────────────────────────────────────────────────────────────────────────

    def list_nodes(self) -> Nodes:
        text = self._programs.ask(["scontrol", "--oneliner", "--all", "show", "node"])
        try:
            nodes = words.nodes_of(text)
        except ValueError as error:
            raise Trouble(f"scontrol show node: {error}") from None
        return Nodes(tuple(nodes), complete=not self._hides("nodes"))

    def list_jobs(self) -> Jobs:
        began = time.time()
        jobs: list[ForeignJob] = []
        ends: dict[tuple[str, str], End] = {}
        self._notes.begin_load()
        for row in self._rows("--all"):
            if row["JobID"] != row["JobArrayID"]:
                self._elements[row["JobID"]] = row["JobArrayID"]
            if row["restartcnt"] != "0":
                self._requeued.add(row["JobArrayID"])
            each = self._notes.told(words.job_of(row), words.number(row["restartcnt"]))
            if isinstance(each, ForeignJob):
                jobs.append(each)
            else:
                ends[each.id, each.incarnation] = each
        self._notes.clear(self._programs)
        alive = {job.id for job in jobs}
        known_ends = {end.id for end in ends.values()}
        for end in self._forgotten(began):
            if end.id not in alive and end.id not in known_ends:
                if end.id in self._requeued:
                    end = replace(end, incarnation="")  # noqa: PLW2901
                ends[end.id, end.incarnation] = end
        complete = not self._hides("jobs")
        if len(jobs) > MAX_FOREIGN_JOBS:
            jobs.sort(key=lambda job: not job.shares)
            del jobs[MAX_FOREIGN_JOBS:]
            complete = False
        if len(self._elements) + len(self._requeued) > 2 * MAX_FOREIGN_JOBS:
            self._elements.clear()
            self._requeued.clear()
        self._since = began
        latest = sorted(ends.values(), key=lambda end: end.ended_at)[-MAX_FOREIGN_JOBS:]
        return Jobs(tuple(jobs), tuple(latest), complete)

    def start(self, order: Start) -> Outcome:
        if wrong := self._unfit(order):
            return Outcome(Did.NEVER, text=wrong)
        if found := self._find(order.token, order.user):
            fact = found.fact
            if found.other_than(order):
                return Outcome(Did.NEVER, fact.id, text="its token is that of another job")
            return Outcome(Did.ACCEPTED, fact.id, fact.incarnation, "it was submitted before")
        if end := self._notes.before(order):
            return Outcome(Did.DONE, end.id, text="it has run before", end=end)
        try:
            command = orders.command_of(order, self._options)
            notes = self._notes.path(order)
            script = orders.script_of(order, self._programs.find("srun"), notes, self._options)
            files = (orders.environment(order.env), script)
        except ValueError as error:
            return Outcome(Did.NEVER, text=str(error))
        person = Person(order.uid, order.gid)

        def submit(*more: str) -> Answer:
            words = [*command, *more, *orders.tail(order)]
            return self._programs.run(words, files=files, person=person, umask=order.umask)

        trial = submit("--test-only")
        if trial.status:
            return orders.refusal(trial.complaint, heard=False)
        if (later := orders.later(trial.complaint)) and not self._have_room(order):
            return Outcome(Did.REFUSED, text=later)
        try:
            done = submit()
        except Trouble as error:
            return Outcome(Did.UNKNOWN, text=str(error)[:MAX_SENTENCE])
        if done.status:
            return orders.refusal(done.complaint, heard=True)
        self._notes.sweep(self._programs, order.user, person)
        return Outcome(Did.ACCEPTED, done.out.strip().partition(";")[0])

    def _have_room(self, order: Start) -> bool:
        """Tell whether the nodes have the CPUs: Slurm expects a start later while others wait."""
        names = ",".join(share.node for share in order.shares)
        text = self._programs.ask(["scontrol", "--oneliner", "--all", "show", "node", names])
        try:
            nodes = {node.name: node for node in words.nodes_of(text)}
        except ValueError as error:
            raise Trouble(f"scontrol show node: {error}") from None
        known = [(share, nodes.get(share.node)) for share in order.shares]
        return all(
            node is not None
            and node.state is NodeState.UP
            and node.cpus - (node.used_cpus or 0) >= share.cpus
            for share, node in known
        )

    def cancel(self, job: str, token: str) -> Outcome:
        found = self._job(job, token)
        if not isinstance(found, ForeignJob):
            return found
        return self._order(found, ["scancel", found.id])

    # ── what it declares beside them ─────────────────────────────────────────────────────────────

    def suspend(self, job: str, token: str) -> Outcome:
        return self._control(job, token, "suspend")

    def resume(self, job: str, token: str) -> Outcome:
        return self._control(job, token, "resume")

    def requeue(self, job: str, token: str) -> Outcome:
        found = self._job(job, token)
        if not isinstance(found, ForeignJob):
            return found
        allowed = self._order(found, ["scontrol", "update", f"JobId={found.id}", "Requeue=1"])
        if allowed.did is not Did.ACCEPTED:
            return allowed
        done = self._order(found, ["scontrol", "requeue", found.id])
        self._order(found, ["scontrol", "update", f"JobId={found.id}", "Requeue=0"])
        return done

    def modify(self, job: str, token: str, time_limit: int) -> Outcome:
        found = self._job(job, token)
        if not isinstance(found, ForeignJob):
            return found
        limit = f"TimeLimit={orders.minutes(time_limit)}"
        return self._order(found, ["scontrol", "update", f"JobId={found.id}", limit])

    def _control(self, job: str, token: str, verb: str) -> Outcome:
        found = self._job(job, token)
        if not isinstance(found, ForeignJob):
            return found
        return self._order(found, ["scontrol", verb, found.id])

    def _order(self, job: ForeignJob, command: Sequence[str]) -> Outcome:
        """Run a command that concerns a job; return what became of it."""
        try:
            done = self._programs.run(command)
        except Trouble as error:
            return Outcome(Did.UNKNOWN, job.id, text=str(error)[:MAX_SENTENCE])
        text = done.complaint[:MAX_SENTENCE]
        if not done.status:
            return Outcome(Did.ACCEPTED, job.id, job.incarnation)
        if orders.says(text, orders.OVER):
            return Outcome(Did.ALREADY, job.id, job.incarnation, text)
        if orders.says(text, orders.UNSURE):
            return Outcome(Did.UNKNOWN, job.id, job.incarnation, text)
        never = orders.says(text, orders.NEVER)
        return Outcome(Did.NEVER if never else Did.REFUSED, job.id, job.incarnation, text)

    # ── finding jobs ─────────────────────────────────────────────────────────────────────────────

    def _rows(self, *which: str) -> list[words.Row]:
        separator = f"\x1f{token_hex(8)}\x1f"
        command = ["squeue", "--noheader", "--array", "--local", "--states=all", *which]
        shown = f"--Format={words.squeue_format(separator)}"
        text = self._programs.ask([*command, shown], env={"SLURM_TIME_FORMAT": "%s"})
        try:
            return words.rows(text, separator, words.FIELDS)
        except ValueError as error:
            raise Trouble(f"squeue: {error}") from None

    def _find(self, token: str, user: str = "") -> "Found | None":
        """Return the job that a start of this token has made, if Slurm remembers one.

        It is the first one: others can write a token only once they have seen it.
        """
        whose = [f"--user={user}"] if user else []
        rows = self._rows("--all", *whose)
        same = [r for r in rows if r["Comment"] == token and user in ("", r["UserName"])]
        if same:
            row = min(same, key=lambda each: words.number(each["JobID"]))
            return Found(words.job_of(row), row)
        if "job_comment" in self._told().get("AccountingStoreFlags", ""):
            for end in self._accounts(time.time() - self._history, whose):
                if end.token == token and user in ("", end.user):
                    return Found(end)
        return None

    def _job(self, job: str, token: str) -> ForeignJob | Outcome:
        """Return a job that has not ended, or the answer to an order for one that is not there."""
        found: ForeignJob | End | None = None
        if job:
            try:
                found = next(map(words.job_of, self._rows("--all", f"--jobs={job}")), None)
            except Trouble as error:
                if "Invalid job id" not in str(error):
                    raise
            if found is None:
                found = next((end for end in self._forgotten(time.time()) if end.id == job), None)
        elif its := self._find(token):
            found = its.fact
        if found is None:
            what = f"job {job}" if job else f"job of the start {token}"
            return Outcome(Did.UNKNOWN, job, text=f"Slurm knows no {what}, and no proof of its end")
        if isinstance(found, End):
            return Outcome(Did.ALREADY, found.id, found.incarnation, found.proof)
        if token and found.token != token:
            return Outcome(Did.NEVER, job, text=f"job {job} is not of the start {token}")
        return found

    def _forgotten(self, now: float) -> list[End]:
        """Return ends that slurmctld need not know any more."""
        told = self._told()
        since = self._since - OVERLAP if self._since else now - self._history
        if told.get("AccountingStorageType", "").endswith("slurmdbd"):
            return self._accounts(since, ["--allusers"])
        path = self._completions
        if not path and told.get("JobCompType", "").endswith("filetxt"):
            path = told.get("JobCompLoc", "")
        if not path:
            return []
        self._file = self._file or Completions(path)
        ends = past.ends_of_file(self._file.lines(), local_time, self._elements)
        return [end for end in ends if end.ended_at >= since and self._notes.believed(end)]

    def _accounts(self, since: float, whose: Sequence[str]) -> list[End]:
        separator = f"\x1f{token_hex(8)}\x1f"
        when = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        command = ["sacct", "--noheader", "--allocations", "--parsable", "--duplicates", *whose]
        bounds = [f"--starttime={when}", "--endtime=now", f"--state={ENDED}"]
        shown = [f"--delimiter={separator}", f"--format={','.join(past.SACCT)}"]
        env = {"SLURM_TIME_FORMAT": "%s", "TZ": "UTC"}
        text = self._programs.ask([*command, *bounds, *shown], env=env)
        try:
            found = [past.end_of_sacct(row) for row in words.rows(text, separator, past.SACCT)]
        except ValueError as error:
            raise Trouble(f"sacct: {error}") from None
        return [end for end in found if end is not None]

    def _told(self) -> dict[str, str]:
        """Return Slurm's configuration, as of some minutes ago at most."""
        if time.monotonic() >= self._site_until:
            text = self._programs.ask(["scontrol", "show", "config"])
            pairs = (line.partition("=") for line in text.splitlines())
            self._site = {key.strip(): value.strip() for key, _, value in pairs}
            self._site_until = time.monotonic() + SITE_AGE
        return self._site

    def _hides(self, what: str) -> bool:
        """Tell whether Slurm shows us our own alone."""
        told = self._told()
        ours = told.get("SlurmUser", "").endswith(f"({os.geteuid()})")
        return what in told.get("PrivateData", "") and os.geteuid() != 0 and not ours

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    def _unfit(self, order: Start) -> str:
        """Return why an order can never be carried out here; nothing if it can."""
        if order.id:
            return f"job {order.id} is Slurm's own: Slurm starts it"
        if os.geteuid() not in (0, order.uid):
            return (
                f"only root submits for others; this is uid {os.geteuid()}, the job's {order.uid}"
            )
        if not order.shares:
            return "a start names its nodes"
        if wrong := orders.unfit(order.options):
            return f"option {wrong} would make another job of it; write values as in --account=x"
        if any(b"\n" in path for path in (order.output, order.error, order.input)):
            return "a path with a newline in it"
        return ""

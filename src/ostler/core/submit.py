"""Submission: access, then sense, then limits, and only then the queue."""

from collections.abc import Mapping

from msgspec.structs import replace

from ostler.core import roles, steps
from ostler.core.access import check_access, check_limits, most_priority
from ostler.core.access import settled as access_settled
from ostler.core.claims import check_fits, settled
from ostler.core.effects import Fail, Reply
from ostler.core.entry import Entry
from ostler.core.events import Submitted
from ostler.core.explain import preview
from ostler.core.explain import settled as settled_row
from ostler.core.foreign import wish
from ostler.core.foreign.bind import settled as bind_settled
from ostler.core.foreign.closed import kept_out
from ostler.core.holds import learn
from ostler.core.moves import broken_dependency, settle, tell_dependents
from ostler.core.queue import check_depth
from ostler.core.serving import check_partition
from ostler.core.state import State
from ostler.core.ties import check as check_ties
from ostler.core.ties import tie
from ostler.model import limits
from ostler.model.caller import Caller
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.ids import job_name, step_id
from ostler.model.job import ALLOC, ATTENDED, DISTRIBUTIONS, KINDS, Job, JobSpec
from ostler.model.notify import check_notify
from ostler.model.patterns import unknown
from ostler.model.record import Blob
from ostler.model.resources import Request
from ostler.model.site import Work
from ostler.model.states import JobState
from ostler.model.units import format_size
from ostler.schedule.words import counted, task_of


def on_submitted(s: State, now: float, event: Submitted) -> None:
    """Queue a job, or refuse it with the reason; the same request id names the same job."""
    known = s.requests.get((event.caller.uid, event.request_id))
    if known is not None and not event.dry:
        s.effects.append(Reply(event.to, {"job": job_name(known)}))
        return
    if not event.dry:
        learn(s, event.caller)
    try:
        job = checked(s, now, event)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    if event.dry:
        would = settled_row(s, now, preview(s, now, job))
        s.effects.append(Reply(event.to, {"would": would}))
        return
    keep_blobs(s, event.caller, event.blobs)
    admit(s, now, [Entry(job)])
    s.effects.append(Reply(event.to, {"job": job.name}))


def checked(s: State, now: float, event: Submitted) -> Job:
    """Return the job of a submission; raise the error that refuses it, if there is one."""
    check_open(s)
    event = steps.placed(s, event)
    job = make_job(s, now, event.caller, event.spec, event.request_id)
    check(s, event.caller, job, event.blobs, Beside())
    return job


def keep_blobs(s: State, caller: Caller, blobs: Mapping[str, bytes]) -> None:
    """Save what the digests of a submission stand for."""
    for digest, data in blobs.items():
        s.save(Blob(digest, caller.uid, data))


def admit(s: State, now: float, entries: list[Entry]) -> None:
    """Take checked jobs into the queue."""
    for entry in entries:
        if entry.job.spec.within:
            s.next_step[entry.job.spec.within] += 1
        else:
            s.next_job = entry.job.id + 1
        s.add(entry)
    for entry in entries:
        tie(s, entry)
        _enter(s, now, entry)
    for number in sorted({n for entry in entries for n in entry.tied}):
        tell_dependents(s, now, number)


def _enter(s: State, now: float, entry: Entry) -> None:
    job = entry.job
    s.save(job)
    s.note(now, "job/submitted", _told(job), job=job.id, user=job.user)
    if job.spec.not_before > now:
        s.wake(job.spec.not_before, job.id)
    if job.spec.kind in ATTENDED and not job.spec.detach:
        entry.abandoned_at = now
        s.wake(now + s.setting("client-grace"), job.id)
    settle(s, now, entry)
    if job.spec.within:
        s.alloc_news.add(job.spec.within)


def make_job(
    s: State, now: float, caller: Caller, spec: JobSpec, request_id: str, *, later: int = 0
) -> Job:
    """Return the job of a specification. later: how many others get their ids before it."""
    held = spec.hold and caller.user
    spec = access_settled(s, caller, wish.placed(s, spec))
    spec = bind_settled(s, replace(spec, request=settled(spec.request)))
    spec = wish.together(s, kept_out(s, spec))
    if spec.grace == -1:
        spec = replace(spec, grace=s.setting("grace-period"))
    if spec.kind == ALLOC and spec.idle < 0:
        spec = replace(spec, idle=s.setting("idle-time"))
    holder = spec.within
    return Job(
        step_id(holder, s.next_step[holder]) if holder else s.next_job + later,
        spec,
        caller.user,
        caller.uid,
        caller.gid,
        request_id,
        now,
        state=JobState.HELD if held else JobState.PENDING,
        held_by=caller.user if held else "",
        reason=f"held by {caller.user} at submission" if held else "",
        rule="hold" if held else "new",
        priority=spec.priority,
    )


def _told(job: Job) -> str:
    request = job.spec.request
    what = task_of(request)
    if request.tasks > 1:
        what = f"{request.tasks} tasks of {what}"
    if job.is_array:
        what = f"{counted(Entry(job).total, 'element')} of {what}"
    return f"{job.user} asked for {what}"


class Beside:
    """What a job is submitted together with, and what the check of those has found."""

    __slots__ = ("count", "fitting", "places", "specs", "weight")

    def __init__(self, specs: Mapping[int, JobSpec] | None = None) -> None:
        self.specs = specs or {}  # of all jobs of the submission, by id; empty for a job alone
        self.count = 0  # of those that were checked
        self.places: dict[str, int] = {}  # so many of them in each partition
        self.weight = 0  # and their bytes
        self.fitting: set[tuple[object, ...]] = set()  # shapes that fit


def check_open(s: State) -> None:
    """Raise `NotNow` while no jobs are taken."""
    if s.stopping:
        raise NotNow("the machine is being stopped", hint="start it again with `ostler up`")


def check(s: State, caller: Caller, job: Job, blobs: Mapping[str, bytes], beside: Beside) -> None:
    """Raise the error that refuses this submission, if there is one."""
    spec = job.spec
    check_words(spec)
    check_access(s, caller, spec)
    check_partition(s, spec)
    _check_sizes(spec, blobs)
    check_request(spec.request)
    check_ranges(spec)
    for dep in spec.after:
        if not (dep.job in s.jobs or dep.job in s.ended or dep.job in beside.specs):
            raise Missing(f"there is no job {dep.job} to wait for", hint="see `ostler jobs --all`")
    check_ties(s, job, beside.specs)
    if broken := broken_dependency(s, job):
        raise Refused(f"it could never start: {broken}")
    check_priority(s, spec, caller, most_priority(s, caller, spec))
    here = beside.places[spec.partition] = beside.places.get(spec.partition, 0) + 1
    check_limits(s, caller, spec, jobs=beside.count + 1, here=here)
    shape = (spec.partition, spec.request.shape)
    if spec.within:
        steps.check_fits(s, spec)
    elif shape not in beside.fitting:
        check_fits(s, spec, caller.user)
        beside.fitting.add(shape)
    if job.is_attended:
        check_depth(s, spec)
    _check_room(s, caller.user, spec.weight, beside)


def _check_room(s: State, user: str, weight: int, beside: Beside) -> None:
    """Raise `Refused` if the user has too much in the queue for one job more."""
    beside.count += 1
    beside.weight += weight
    if s.user_weight.get(user, 0) + beside.weight > limits.MAX_WAITING_BYTES:
        raise Refused(
            f"the commands and lists of {user}'s unfinished jobs take too much memory",
            expected=f"most: {format_size(limits.MAX_WAITING_BYTES)}",
            hint="wait for some to end, or put what is long into files",
        )
    if len(s.jobs_of.get(user, ())) + beside.count > limits.MAX_WAITING:
        raise Refused(
            f"{user} would have over {limits.MAX_WAITING} unfinished jobs, the most allowed",
            hint="wait for some to end, or submit an array",
        )


def check_priority(
    s: State, spec: JobSpec, caller: Caller, most: int = limits.USUAL_PRIORITY, boost: int = 0
) -> None:
    """Raise `Refused` if somebody wants to go before the others who may not.

    most, boost: what the job may have in any case.
    """
    if spec.boost > boost:
        roles.check(s, caller, "boost")
    if spec.priority > most and not roles.may(s, caller, "raise"):
        raise Refused(
            f"only an operator may give priority {spec.priority}", expected=f"0 to {most}"
        )


def _check_sizes(spec: JobSpec, blobs: Mapping[str, bytes]) -> None:
    argv = sum(len(a) + 1 for a in spec.argv)
    bounds = (
        ("the command", argv, limits.MAX_ARGV, "bytes"),
        ("the command", len(spec.argv), limits.MAX_ARGUMENTS, "arguments"),
        ("the environment", len(blobs.get(spec.env, b"")), limits.MAX_ENVIRONMENT, "bytes"),
        ("the script", len(blobs.get(spec.script, b"")), limits.MAX_SCRIPT, "bytes"),
        ("the list of --each", len(blobs.get(spec.items, b"")), limits.MAX_ITEMS, "bytes"),
        ("the working directory", len(spec.cwd), limits.MAX_PATH, "bytes"),
        ("the output pattern", len(spec.output), limits.MAX_PATH, "bytes"),
        ("the error pattern", len(spec.error), limits.MAX_PATH, "bytes"),
        ("the input path", len(spec.input), limits.MAX_PATH, "bytes"),
        ("the list of dependencies", len(spec.after), limits.MAX_DEPENDENCIES, "jobs"),
        ("the list of --retry-on", len(spec.retry_on), limits.MAX_ARGUMENTS, "entries"),
    )
    for what, size, most, unit in bounds:
        if size > most:
            raise UsageError(f"{what} is too large: {size} {unit}", expected=f"most: {most}")
    for digest in (spec.env, spec.script, spec.items):
        if digest and digest not in blobs:
            raise UsageError(f"the text with digest {digest[:12]} did not come along")
    if not spec.argv and not spec.script:
        raise UsageError("there is nothing to run", hint="give a script, or -- and a command")
    if any(b"\0" in part for part in (*spec.argv, spec.cwd, spec.output, spec.error, spec.input)):
        raise UsageError("a command or path holds a NUL byte")
    _check_patterns(spec)
    if not spec.cwd.startswith(b"/"):
        raise UsageError(f"the working directory {spec.cwd!r} is not absolute")
    if spec.items:
        lines = len(blobs[spec.items].splitlines())
        if spec.array != ((0, lines - 1),):
            raise UsageError(f"--each has {lines} lines, and the array does not go with them")


def _check_patterns(spec: JobSpec) -> None:
    patterns = (("output", spec.output), ("error", spec.error), ("input", spec.input))
    for what, pattern in patterns:
        if letter := unknown(pattern):
            raise UsageError(
                f"{letter!r} in the name of its {what} file means nothing",
                expected="%j job, %a element, %t task, %n node, %x name, %u user, %% for %",
            )


def check_request(request: Request) -> None:
    """Raise `UsageError` for sizes that make no sense."""
    bounds = (
        ("--tasks", request.tasks, 1, limits.MAX_TASKS),
        ("--cpus", request.cpus, 1, limits.MAX_CPUS),
        ("--memory", request.memory, 0, 1 << 60),
        ("--gpus", request.gpus, 0, limits.MAX_CPUS),
        ("--nodes", request.nodes, 0, limits.MAX_TASKS),
        ("--tasks-per-node", request.tasks_per_node, 0, limits.MAX_TASKS),
        ("--generic", len(request.generic), 0, limits.MAX_GENERIC),
        ("--licences", len(request.licences), 0, limits.MAX_LICENCES),
        *((f"--generic {name}", n, 1, 1 << 40) for name, n in request.generic.items()),
        *((f"--licences {n}", c, 1, limits.MAX_LICENCE) for n, c in request.licences.items()),
    )
    for what, value, least, most in bounds:
        if not least <= value <= most:
            raise UsageError(f"{what} cannot be {value}", expected=f"from {least} to {most}")


def check_words(spec: JobSpec) -> None:
    """Raise `UsageError` for texts that are too long, or that could pass for something else.

    They are shown to other people, on terminals and in logs: so no control characters.
    """
    request = spec.request
    names = (*request.nodelist, *request.exclude, *request.generic, *request.licences)
    if len(names) > limits.MAX_ARGUMENTS:
        raise UsageError(f"{len(names)} nodes are named", expected=f"most: {limits.MAX_ARGUMENTS}")
    words = [
        ("the name", spec.name),
        ("the project", spec.project),
        ("the partition", spec.partition),
        ("the name of a reservation", request.reservation),
        ("the token of a client's descriptors", spec.stdio),
        *(("an entry of --retry-on", word) for word in spec.retry_on),
        *(("the name of a node or resource", name) for name in names),
    ]
    for what, word in words:
        if len(word) > limits.MAX_NAME:
            raise UsageError(
                f"{what} is too long: {len(word)} characters", expected=f"most: {limits.MAX_NAME}"
            )
        if not word.isprintable():
            raise UsageError(f"{what} {word!r} is not text", expected="printable characters")


def check_ranges(spec: JobSpec) -> None:
    """Raise `UsageError` for times, priorities and arrays that make no sense."""
    bounds = (
        ("--priority", spec.priority, 0, 100),
        ("--boost", spec.boost, 0, 100),
        ("--time", spec.time_limit, 0, 1 << 40),
        ("--retries", spec.retries, 0, limits.MAX_RETRIES),
        ("the grace period", spec.grace, -1, 86_400),
        ("--umask", spec.umask, 0, 0o777),
        ("the %cap of --array", spec.array_cap, 0, limits.MAX_ARRAY),
        ("--not-before", spec.not_before, 0, 1 << 40),
        ("--signal", spec.warn_signal, 0, 64),
        ("--signal's lead", spec.warn_before, 0, 1 << 40),
        ("--idle", spec.idle, -1, 1 << 40),
    )
    for what, value, least, most in bounds:
        if not least <= value <= most:
            raise UsageError(f"{what} cannot be {value}", expected=f"from {least} to {most}")
    if unknown := set(spec.rlimits) - set(limits.RLIMITS):
        known = ", ".join(limits.RLIMITS)
        raise UsageError(f"{min(unknown)!r} is no limit of processes", expected=known)
    if not all(-1 <= value < 1 << 63 for value in spec.rlimits.values()):
        raise UsageError("a limit of processes is out of range", expected="-1 or more")
    if spec.work not in ("", *Work):
        raise UsageError(f"--kind cannot be {spec.work!r}", expected=", ".join(Work))
    if spec.kind not in ("batch", *ATTENDED):
        raise UsageError(f"{spec.kind!r} is no kind of job", expected="batch, run or alloc")
    if spec.kind == ALLOC and (spec.array or spec.requeue or spec.retries):
        raise UsageError("what `alloc` holds is no array, and is held once", hint="use `submit`")
    if spec.within and (spec.array or spec.after or spec.not_before or spec.kind != "run"):
        raise UsageError("a step is run at once, and is no array", hint="use `submit` for a job")
    if spec.within and (spec.request.licences or spec.request.reservation):
        raise UsageError(
            "a step uses the licences and the reservation of its allocation",
            hint="ask for them with `ostler alloc`",
        )
    check_notify(spec.mail, spec.mail_to, spec.notify)
    _check_streams(spec)
    if spec.distribution not in DISTRIBUTIONS:
        known = " or ".join(DISTRIBUTIONS)
        raise UsageError(f"--distribution cannot be {spec.distribution!r}", expected=known)
    if any(d.kind not in KINDS for d in spec.after):
        raise UsageError("a dependency is of no known kind", expected=", ".join(KINDS))
    last = -1
    for low, high in spec.array:
        if not last < low <= high <= limits.MAX_ELEMENT:
            raise UsageError(f"{low}-{high} is no range of elements here")
        last = high
    total = sum(high - low + 1 for low, high in spec.array)
    if total > limits.MAX_ARRAY:
        raise UsageError(f"the array has {total} elements", expected=f"most: {limits.MAX_ARRAY}")


def _check_streams(spec: JobSpec) -> None:
    """Raise `UsageError` for streams that cannot be held so."""
    streams = spec.streams
    if spec.stdin not in limits.STDIN:
        raise UsageError(f"--stdin cannot be {spec.stdin!r}", expected=", ".join(limits.STDIN))
    if streams is None:
        if spec.stdin == "all" and spec.kind == "run":
            raise UsageError("--stdin all needs a relay")
        return
    if spec.kind != "run" or spec.array or spec.stdio:
        raise UsageError("only the streams of a `run` are held by a relay")
    if streams.window is not None:
        if spec.request.tasks != 1:
            raise UsageError(
                f"--pty gives one task a terminal, and there are {spec.request.tasks}",
                hint="leave out -n, or --pty",
            )
        if not all(0 <= n <= limits.MAX_WINDOW for n in streams.window):
            raise UsageError(f"no terminal has a size of {streams.window}")


def respec(spec: JobSpec, **changes: object) -> JobSpec:
    """Return the spec with changed fields, checked for sense."""
    changed = replace(spec, **changes)
    changed = replace(changed, request=settled(changed.request))
    check_words(changed)
    check_request(changed.request)
    check_ranges(changed)
    return changed

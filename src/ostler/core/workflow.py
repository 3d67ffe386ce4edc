"""Several jobs in one submission: all of them or none, and some of them after others."""

from collections import deque

from msgspec.structs import replace

from ostler.core.effects import Fail, Reply
from ostler.core.entry import Entry
from ostler.core.events import SubmittedAll
from ostler.core.explain import Prepared, preview_all, settled
from ostler.core.holds import learn
from ostler.core.state import State
from ostler.core.submit import Beside, admit, check, check_open, keep_blobs, make_job
from ostler.model import limits
from ostler.model.errors import Missing, NotNow, OstlerError, UsageError
from ostler.model.ids import job_name
from ostler.model.job import ALLOC, Dependency, Job, JobSpec, Link

_NAMED = 10  # jobs of a circle that are told, at most

Links = tuple[tuple[Link, ...], ...]


def part_id(request_id: str, at: int) -> str:
    """Return the request id of one job of a submission of several."""
    return f"{request_id}/{at}"


def on_submitted_all(s: State, now: float, event: SubmittedAll) -> None:
    """Queue all the jobs, or refuse them all; the same request id names the same jobs."""
    try:
        if not event.dry and (known := _known(s, event)):
            s.effects.append(Reply(event.to, _answer(known, event.specs)))
            return
        check_open(s)
        if not event.dry:
            learn(s, event.caller)
        jobs = _checked(s, now, event)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    if event.dry:
        s.effects.append(Reply(event.to, settled(s, now, preview_all(s, now, jobs))))
        return
    keep_blobs(s, event.caller, event.blobs)
    admit(s, now, [Entry(job) for job in jobs])
    s.effects.append(Reply(event.to, _answer([job.id for job in jobs], event.specs)))


def prepare_dry_all(s: State, now: float, event: SubmittedAll) -> Prepared:
    """Return what to ask for what a dry submission of several shows; raise what would refuse it."""
    check_open(s)
    return preview_all(s, now, _checked(s, now, event))


def _known(s: State, event: SubmittedAll) -> list[int]:
    """Return the ids that a repeated submission was given; none if it is new. Raises `NotNow`."""
    names = [(event.caller.uid, part_id(event.request_id, at)) for at in range(len(event.specs))]
    found = [s.requests.get(name) for name in names]
    ids = [number for number in found if number is not None]
    if ids and len(ids) < len(found):  # the server asks the database before it asks us
        raise NotNow("this was submitted, and some of it has ended meanwhile", hint="ask again")
    return ids


def _answer(ids: list[int], specs: tuple[JobSpec, ...]) -> dict[str, object]:
    rows = [{"id": job_name(i), "name": spec.name} for i, spec in zip(ids, specs, strict=True)]
    return {"jobs": rows}


def _checked(s: State, now: float, event: SubmittedAll) -> list[Job]:
    """Return the jobs as they are to be queued; raise the error that refuses them."""
    count = len(event.specs)
    if not 1 <= count <= limits.MAX_TOGETHER:
        raise UsageError(
            f"{count} jobs are submitted together", expected=f"1 to {limits.MAX_TOGETHER}"
        )
    check_links(event.specs, event.links)
    ids = range(s.next_job, s.next_job + count)
    beside = Beside(dict(zip(ids, event.specs, strict=True)))
    jobs = []
    for at, (spec, links) in enumerate(zip(event.specs, event.links, strict=True)):
        named = tuple(Dependency(ids[link.at], link.kind) for link in links)
        whole = replace(spec, after=spec.after + named) if named else spec
        if spec.within or spec.kind == ALLOC:
            raise UsageError(f"{_name(event.specs, at)} is no job that waits by itself")
        request_id = part_id(event.request_id, at)
        job = make_job(s, now, event.caller, whole, request_id, later=at)
        try:
            if foreseen := [dep.job for dep in spec.after if dep.job in ids]:
                raise Missing(f"there is no job {foreseen[0]} to wait for yet")
            check(s, event.caller, job, event.blobs, beside)
        except OstlerError as error:
            error.message = f"{_name(event.specs, at)}: {error.message}"
            raise
        jobs.append(job)
    return jobs


def check_links(specs: tuple[JobSpec, ...], links: Links) -> None:
    """Raise `UsageError` unless the jobs can be put in an order. Cost: jobs and links together."""
    if len(links) != len(specs):
        raise UsageError(f"{len(specs)} jobs have the links of {len(links)}")
    total = sum(map(len, links))
    if total > limits.MAX_LINKS:
        raise UsageError(
            f"the jobs have {total} dependencies among them", expected=f"most: {limits.MAX_LINKS}"
        )
    followers: list[list[int]] = [[] for _ in specs]
    unmet = [len(each) for each in links]
    for at, each in enumerate(links):
        for link in each:
            if link.at >= len(specs):
                raise UsageError(f"{_name(specs, at)} waits for a job that is not among the others")
            followers[link.at].append(at)
    ready = deque(at for at, count in enumerate(unmet) if not count)
    while ready:
        for follower in followers[ready.popleft()]:
            unmet[follower] -= 1
            if not unmet[follower]:
                ready.append(follower)
    if any(unmet):
        raise UsageError(_circle(specs, links, unmet), hint="take one of these dependencies out")


def _circle(specs: tuple[JobSpec, ...], links: Links, unmet: list[int]) -> str:
    """Return the sentence that names jobs which wait for each other."""
    at = next(at for at, count in enumerate(unmet) if count)
    path: dict[int, None] = {}
    while at not in path:  # whatever is left waits for something that is left
        path[at] = None
        at = next(link.at for link in links[at] if unmet[link.at])
    members = list(path)[list(path).index(at) :]
    if len(members) == 1:
        return f"{_name(specs, at)} waits for itself"
    names = [_bare(specs, member) for member in members]
    if len(names) > _NAMED:
        names[_NAMED - 1 :] = [f"{len(names) - _NAMED + 1} more"]
    return f"{len(members)} jobs wait for each other: {' after '.join([*names, names[0]])}"


def _name(specs: tuple[JobSpec, ...], at: int) -> str:
    return f"job {_bare(specs, at)}"


def _bare(specs: tuple[JobSpec, ...], at: int) -> str:
    """Return the name of a job that has not been checked yet; its place where it has none."""
    name = specs[at].name[: limits.MAX_NAME]
    return repr(name) if name else f"number {at + 1}"

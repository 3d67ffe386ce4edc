"""Who may do what: one table, which the machine consults for every event."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ostler.core import events
from ostler.core.state import State
from ostler.model.caller import Caller
from ostler.model.errors import Refused
from ostler.model.job import BY_NAME, Job
from ostler.model.site import Role
from ostler.model.site_kinds import ATTRIBUTE, KINDS, Kind

USER, OPERATOR, ADMIN = Role.USER, Role.OPERATOR, Role.ADMIN
PARTITION_VERBS = ("start", "stop", "reload")
_WHO = {USER: "anybody", OPERATOR: "an operator", ADMIN: "an administrator"}


class Need(NamedTuple):
    """The least role for a verb. words: what it does, as in: ann may not WORDS."""

    own: Role  # to what is one's own, or is nobody's
    others: Role  # to what is another user's
    words: str


def _jobs(verb: str, others: Role = OPERATOR) -> Need:
    return Need(USER, others, f"{verb} jobs")


def _all(role: Role, words: str) -> Need:
    return Need(role, role, words)


def _words(kind: Kind) -> str:
    """Return what people call the rows of a kind, which is not always their table."""
    named = {"access": "access rules", "handler": "handlers"}
    return named.get(kind.name, kind.table.replace("_", " "))


NEEDS: dict[str, Need] = {
    "submit": _jobs("submit", USER),
    "wait": _jobs("wait for", USER),
    "see": _jobs("see the commands and files of", ADMIN),
    "attach": _jobs("attach to", ADMIN),
    **{verb: _jobs(verb) for verb in ("cancel", "end", "hold", "release", "suspend", "resume")},
    **{verb: _jobs(verb) for verb in ("requeue", "signal", "modify", "detach")},
    "raise": _all(OPERATOR, "give priority beyond what is usual"),
    "boost": _all(OPERATOR, "give a job a boost"),
    "any project": _all(OPERATOR, "account work to any project"),
    "exceed": _all(OPERATOR, "let a job exceed its owner's limits"),
    "drain": _all(OPERATOR, "drain nodes"),
    "undrain": _all(OPERATOR, "undrain nodes"),
    "fence": _all(OPERATOR, "fence nodes"),
    "features": _all(OPERATOR, "describe nodes"),
    "use": _all(OPERATOR, "switch to another configuration"),
    **{f"{verb} partition": _all(OPERATOR, f"{verb} partitions") for verb in PARTITION_VERBS},
    "separate": _all(ADMIN, "separate nodes"),
    "post": _all(USER, "post events"),
    "post any": _all(OPERATOR, "post events of any class"),
    "deal": _all(OPERATOR, "say that events are dealt with"),
    "subscribe": _all(USER, "subscribe to events"),
    "stop": _all(ADMIN, "stop the machine"),
    f"change {ATTRIBUTE}": _all(ADMIN, "change settings"),
    **{f"change {kind}": _all(ADMIN, f"change {_words(known)}") for kind, known in KINDS.items()},
}  # fmt: skip

VERBS: Mapping[type, Callable[[Any], Iterable[str]]] = {
    events.Submitted: lambda _: ("submit",),
    events.SubmittedAll: lambda _: ("submit",),
    events.Acted: lambda event: (event.verb,),
    events.Modified: lambda _: ("modify",),
    events.Awaited: lambda event: ("attach" if event.attach else "wait",),
    events.NodesWorded: lambda event: (event.verb,),
    events.Administered: lambda event: {f"change {each.kind}" for each in event.changes},
    events.Posted: lambda _: ("post",),
    events.DealtWith: lambda _: ("deal",),
    events.Subscribed: lambda _: ("subscribe",),
    events.ConfigurationUsed: lambda _: ("use",),
    events.PartitionWorded: lambda event: (f"{event.verb} partition",),
    events.ShutdownAsked: lambda _: ("stop",),
}  # what each event that has a caller asks for


def role_of(s: State, caller: Caller) -> Role:
    """Return the caller's role: what the users table says; the machine's owner is an admin."""
    return ADMIN if caller.owner else s.site.role(caller.user)


def may(s: State, caller: Caller, verb: str, job: Job | None = None) -> bool:
    """Say whether the caller may do this, to this job."""
    return role_of(s, caller) >= _least(caller, verb, job)


def may_see_all(s: State, caller: Caller) -> bool:
    """Say whether the caller may see what else is shown to the owner of a job alone."""
    return role_of(s, caller) >= NEEDS["see"].others


def _least(caller: Caller, verb: str, job: Job | None) -> Role:
    need = NEEDS[verb]
    # Of a job that was submitted to another resource manager only its owner's name is known.
    mine = job is None or (job.user == caller.user and job.uid in (caller.uid, BY_NAME))
    return need.own if mine else need.others


def check(s: State, caller: Caller, verb: str) -> None:
    """Raise `Refused` unless the caller may do this at all."""
    least = NEEDS[verb].own
    if role_of(s, caller) < least:
        raise Refused(f"{caller.user} may not {NEEDS[verb].words}; {_WHO[least]} may")


def check_event(s: State, event: Any) -> None:
    """Raise `Refused` unless its caller may ask for such a thing at all.

    What else depends on whose job it is, is asked with `check_job` for each that is named.
    """
    verbs = VERBS.get(type(event))
    for verb in verbs(event) if verbs else ():
        if verb in NEEDS:  # else it means nothing, which the event's own function says
            check(s, event.caller, verb)


def check_job(s: State, caller: Caller, job: Job, verb: str) -> None:
    """Raise `Refused` unless the caller may do this to the job."""
    if not may(s, caller, verb, job):
        word = "attach to" if verb == "attach" else verb
        raise Refused(
            f"job {job.name} belongs to {job.user}; {caller.user} may not {word} it",
            hint=f"ask {job.user} or {_WHO[NEEDS[verb].others]}",
        )

"""Submissions from the wire to events; one that was answered before is answered from the database."""

import grp
import hashlib
import os
from contextlib import suppress
from time import monotonic

from msgspec.structs import replace

from ostler.core.events import MembersTold, Submitted, SubmittedAll
from ostler.core.explain import Prepared, Row
from ostler.core.whatif import prepare_dry
from ostler.core.workflow import part_id, prepare_dry_all
from ostler.manager.native import Blobs
from ostler.manager.reads import Reads
from ostler.manager.session import Client
from ostler.manager.sketch import Sketch
from ostler.manager.turns import Turns
from ostler.model import limits
from ostler.model.caller import Caller
from ostler.model.errors import Refused, UsageError
from ostler.model.ids import Ref, job_name
from ostler.model.job import JobSpec
from ostler.model.site import SHIPPED, Holder
from ostler.store.protocol import Store
from ostler.wire import messages

_GROUPS_GOOD = 60.0  # seconds for which it is remembered who is in which group
_PART = 10  # characters that the request id of one of several jobs has more


class Submissions:
    """What comes before the core: who may submit at all, repetitions, and the blobs."""

    def __init__(
        self, store: Store, turns: Turns, blobs: Blobs, reads: Reads, *, system: bool
    ) -> None:
        self._store = store
        self._turns = turns
        self._blobs = blobs
        self._reads = reads
        self._system = system
        self._site, self._by_group = SHIPPED, False  # as it was last seen
        self._groups: dict[int, tuple[float, tuple[str, ...]]] = {}  # uid -> until when good, names
        # Who asks for the first time, as nearly all do, need not be looked for in the database.
        self._asked = Sketch(store.requests(), turns.machine.state.next_job)

    def member(self, caller: Caller) -> Caller:
        """Return the caller with the names of their groups, where rules are about some."""
        site = self._turns.machine.state.site
        if site is not self._site:
            self._site, self._by_group = site, site.by_group
        if not self._by_group:
            return caller
        now = monotonic()
        until, names = self._groups.get(caller.uid, (0.0, ()))
        if now >= until:
            names = _group_names(caller)
            self._groups[caller.uid] = (now + _GROUPS_GOOD, names)
        return replace(caller, groups=names)

    def tell_members(self, message: messages.Request | None = None) -> None:
        """Let the core know of which groups the users of unfinished jobs are, where that matters.

        message: before which that is asked; None: the manager has just begun.
        """
        state = self._turns.machine.state
        match message:
            case messages.Administer(changes=changes):
                now = any(c.kind == "access" and Holder.GROUP in c.key for c in changes)
            case messages.PartitionWord(verb=verb):
                now = verb == "reload" and state.site.by_group
            case None:
                now = state.site.by_group
            case _:
                now = False
        if now:
            users = {entry.job.user: entry.job for entry in state.jobs.values()}
            callers = {name: Caller(job.uid, job.gid, name) for name, job in users.items()}
            groups = {name: _group_names(caller) for name, caller in callers.items()}
            self._turns.put(MembersTold(groups))

    def one(self, client: Client, message: messages.Submit, to: int) -> Submitted | None:
        """Return the event, or None if the answer was known; raise what refuses it."""
        caller = self.member(client.caller)
        self._check(caller, message.request_id, limits.MAX_NAME)
        if not message.dry and (found := self._forgotten(caller, message.request_id)) is not None:
            client.say(messages.Reply(message.id, {"job": job_name(found)}))
            return None
        self._recall(message.spec)
        self._asked.add((caller.uid, message.request_id))
        blobs = self._taken(message.blobs)
        return Submitted(to, caller, message.request_id, message.spec, blobs, message.dry)

    def dry(
        self, client: Client, message: messages.Submit | messages.SubmitAll, now: float
    ) -> Row | Prepared:
        """Return what would become of a submission, or what to ask for it; raise what refuses it."""
        state = self._turns.machine.state
        if isinstance(message, messages.Submit):
            if (one := self.one(client, message, 0)) is not None:
                return prepare_dry(state, now, one)
        elif (several := self.several(client, message, 0)) is not None:
            return prepare_dry_all(state, now, several)
        raise UsageError("a dry submission has no answer of before")

    def several(self, client: Client, message: messages.SubmitAll, to: int) -> SubmittedAll | None:
        """Return the event, or None if the answer was known; raise what refuses it."""
        caller = self.member(client.caller)
        self._check(caller, message.request_id, limits.MAX_NAME - _PART)
        names = [part_id(message.request_id, at) for at in range(len(message.jobs))]
        known = self._turns.machine.state.requests
        if not message.dry and not all((caller.uid, name) in known for name in names):
            ids = [self._number(caller, name) for name in names[:1]]
            if None not in ids:  # they were written together: where one is, all are
                ids += [self._number(caller, name) for name in names[1:]]
            if ids and None not in ids:
                rows = [
                    {"id": str(number), "name": part.spec.name}
                    for number, part in zip(ids, message.jobs, strict=True)
                ]
                client.say(messages.Reply(message.id, {"jobs": rows}))
                return None
        for name, part in zip(names, message.jobs, strict=True):
            self._recall(part.spec)
            self._asked.add((caller.uid, name))
        return SubmittedAll(
            to,
            caller,
            message.request_id,
            tuple(part.spec for part in message.jobs),
            tuple(tuple(part.links) for part in message.jobs),
            self._taken(message.blobs),
            message.dry,
        )

    def _check(self, caller: Caller, request_id: str, most: int) -> None:
        if not 1 <= len(request_id) <= most:
            raise UsageError("a submission needs a request_id", expected=f"1 to {most} characters")
        if self._system and caller.uid < limits.UID_MIN:
            raise Refused(
                f"tasks of {caller.user} are not run on a system machine",
                expected=f"a user number of {limits.UID_MIN} or more",
                hint="submit as an ordinary user, or start a machine of your own: ostler up",
            )

    def _recall(self, spec: JobSpec) -> None:
        """Bring back into memory what the core has to know of other jobs to take this one.

        Those whose elements this one's are to wait for; and an allocation that it names and that
        has ended, as else it would be taken for a job of its own.
        """
        for number in spec.tied_to:
            self._reads.jobs.recall(Ref(number))
        state = self._turns.machine.state
        if spec.within in state.ended and spec.within not in state.recent:
            holder = self._store.job(spec.within)
            if holder is not None and holder.holds:
                self._reads.jobs.recall(Ref(spec.within))

    def _forgotten(self, caller: Caller, name: str) -> int | None:
        """Return a job of this request that memory has forgotten."""
        key = caller.uid, name
        if key in self._turns.machine.state.requests:
            return None
        return self._store.find_request(name, caller.uid) if key in self._asked else None

    def _number(self, caller: Caller, name: str) -> int | None:
        """Return the job of this request, wherever it is known."""
        found = self._turns.machine.state.requests.get((caller.uid, name))
        return self._forgotten(caller, name) if found is None else found

    def _taken(self, found: list[bytes]) -> dict[str, bytes]:
        blobs = {hashlib.sha256(data).hexdigest(): data for data in found}
        for digest, data in blobs.items():
            self._blobs.put(digest, data)
        return blobs


def _group_names(caller: Caller) -> tuple[str, ...]:
    """Return the groups that the system knows the user to be in."""
    try:
        numbers = os.getgrouplist(caller.user, caller.gid)
    except (KeyError, OSError):
        numbers = [caller.gid]
    found = []
    for number in numbers:
        with suppress(KeyError):
            found.append(grp.getgrgid(number).gr_name)
    return tuple(found)

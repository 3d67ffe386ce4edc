"""What administrators change: checked together, saved together, told row by row."""

from typing import Any

from msgspec.json import Encoder
from msgspec.structs import replace

from ostler.core import charge
from ostler.core.effects import Fail, Reply
from ostler.core.events import Administered
from ostler.core.follow import follow_site
from ostler.core.foreign.leaving import check_removal, follow_rms
from ostler.core.foreign.rms import appoint
from ostler.core.holds import members_of
from ostler.core.lasting import with_ends
from ostler.core.rules import rules_of
from ostler.core.state import State
from ostler.model.errors import OstlerError, Refused
from ostler.model.job import FOREIGN
from ostler.model.record import Answered, Setting, SiteRow, Transaction
from ostler.model.site import Division, Site
from ostler.model.site_changes import REMOVE, Changed, Draft, check_serial, describe
from ostler.model.site_kinds import ATTRIBUTE, told
from ostler.schedule.limits import Limits
from ostler.schedule.words import counted

_json = Encoder(order="deterministic").encode
_DONE = {"create": "created", "set": "changed", "remove": "removed"}


def on_administered(s: State, now: float, event: Administered) -> None:
    """Make all changes of a request, or refuse them all with the first thing that is wrong."""
    uid, name = event.caller.uid, event.request_id
    if (answer := s.postbox.changed.find(uid, name)) is not None:
        s.effects.append(Reply(event.to, answer))
        return
    try:
        check_serial(event.serial, s.next_transaction - 1)
        draft = Draft(s.site, s.settings)
        changed = draft.take(event.changes)
        rules_of(draft.site, draft.settings)  # it may be well written and yet mean nothing
        _check_unused(s, changed)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    rows = [_row(each) | _joined(each, s.site, draft.site) for each in changed]
    if changed and not event.dry:
        carry_out(s, now, event.caller.user, draft, changed)
    serial = s.next_transaction - 1
    answer = {"changes": rows, "serial": serial}
    if name and not event.dry:
        s.save(Answered(uid, name, now, _json(answer).decode()))
        s.postbox.changed.remember(uid, name, answer)
    s.effects.append(Reply(event.to, answer))


def carry_out(s: State, now: float, user: str, draft: Draft, changed: list[Changed]) -> None:
    """Save checked changes, tell of them, and let everything follow: all of it in one turn."""
    first = s.next_transaction
    for each in changed:
        _save(s, now, user, each, first)
    old, rms = s.site, s.rms
    take_site(s, now, draft.site, draft.settings)
    if rms:
        follow_rms(s, now, rms, old)
    for each in changed:
        _tell(s, now, user, each)
    follow_site(s, now, old, move_nodes(s, now))


def _joined(each: Changed, old: Site, new: Site) -> dict[str, Any]:
    """Return what is said of a resource manager whose nodes come to a partition that there was."""
    (name, *_) = each.key
    if (each.verb, each.kind) != ("create", "rm") or name not in old.partitions:
        return {}
    if Division(new.active.nodes).of(f"{name}/") != name:  # they are named elsewhere
        return {}
    others = old.active.nodes.get(name, "")
    text = f"{_row(each)['text']}; its nodes join partition {name}, which there was before"
    return {"text": f"{text}, with nodes {others}" if others else text, "joins": name}


def _row(each: Changed) -> dict[str, Any]:
    name = told(each.kind, each.key)
    return {
        "verb": each.verb,
        "kind": each.kind,
        "name": " ".join(each.key),
        "before": each.before,
        "after": each.after,
        "text": f"{_DONE[each.verb]} {name}" + (f": {text}" if (text := describe(each)) else ""),
    }


def _check_unused(s: State, changed: list[Changed]) -> None:
    """Raise `Refused` if a partition is to go that has jobs, or a resource manager with some."""
    gone = [(each.kind, each.key[0]) for each in changed if each.verb == REMOVE]
    rms = {name for kind, name in gone if kind == "rm"}
    for name in rms:
        check_removal(s, name)
    for name in (name for kind, name in gone if kind == "partition"):
        jobs = (entry.job for entry in s.jobs.values() if entry.job.spec.partition == name)
        if count := sum(not (job.spec.kind == FOREIGN and job.rm in rms) for job in jobs):
            raise Refused(
                f"{counted(count, 'unfinished job')} of partition {name} would have no place",
                hint="cancel them, or wait for them to end",
            )


def take_site(s: State, now: float, site: Site, settings: dict[str, str]) -> None:
    """Let this be what administrators have set; a scheduler is told."""
    old = s.site
    s.site, s.settings = site, settings
    s.division, s.closed = site.division(), site.closed
    rules = replace(rules_of(site, settings, s.rules.utc_offset), members=members_of(s, site))
    s.rules = with_ends(s, rules)
    s.desk.appoint(site.handlers.values())
    s.rms = appoint(s.rms, site.rms.values(), now)
    s.limits = Limits(s.rules)
    s.holds.appoint(s)
    s.fitting.clear()
    s.parts.fitting.clear()
    s.parts.foreign = None
    s.marks.rules = s.changed = True
    charge.appointed(s, old)


def move_nodes(s: State, now: float) -> list[str]:
    """Bring each node into the partition that the active configuration gives it.

    Return those that are in another one now.
    """
    moved = []
    for name, entry in s.nodes.items():
        partition, old = s.division.of(name), entry.node.partition
        if partition == old:
            continue
        entry.node = replace(entry.node, partition=partition)
        moved.append(name)
        s.marks.nodes.add(name)
        s.save(entry.node)
        text = f"{old or 'no partition'} -> {partition or 'no partition'}"
        s.note(now, "node/partition", text, node=name)
    return moved


def _save(s: State, now: float, user: str, each: Changed, first: int) -> None:
    """Write the row and, beside it, who changed it, before and after.

    first: serial of the first row of the request.
    """
    if each.kind == ATTRIBUTE:
        value = None if each.after is None else str(each.after["value"])
        s.save(Setting(each.key[0], value, user, now))
    else:
        s.save(SiteRow(each.kind, each.key, each.row))
    before, after = (
        None if row is None else _json(row).decode() for row in (each.before, each.after)
    )
    serial = s.next_transaction
    s.next_transaction += 1
    name = " ".join(word for word in each.key if word)
    s.save(Transaction(serial, now, user, each.verb, each.kind, name, before, after, first))


def _tell(s: State, now: float, user: str, each: Changed) -> None:
    if each.kind == ATTRIBUTE:
        (key,) = each.key
        said = f"unset {key}" if each.after is None else f"set {key} to {each.after['value']}"
        s.note(now, "setting", f"{user} {said}", user=user, about=key)
        return
    text = f"{user} {_DONE[each.verb]} {told(each.kind, each.key)}"
    if words := describe(each):
        text += f": {words}"
    about = " ".join(word for word in each.key if word)
    s.note(now, f"{each.kind}/{_DONE[each.verb]}", text, user=user, about=about)

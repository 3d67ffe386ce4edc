"""What administrators have set, as the rules of a scheduler."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ostler.model.nodeset import unfold
from ostler.model.settings import ATTRIBUTES, licences
from ostler.model.site import ANYWHERE, Partition, Reservation, Site
from ostler.model.site import Holder as Class
from ostler.schedule import rules
from ostler.schedule.policy import parse_policy
from ostler.schedule.rules import (
    Holder,
    Limit,
    Member,
    PartitionRules,
    Preemption,
    Rules,
    ShareRules,
    Weights,
)

_HOLDERS = {
    Class.USER: Holder.USER,
    Class.GROUP: Holder.GROUP,
    Class.PROJECT: Holder.PROJECT,
    Class.DEFAULT: Holder.USER,
}


def rules_of(site: Site, changed: Mapping[str, str], utc_offset: int = 0) -> Rules:
    """Return the rules in force. Raises `UsageError`.

    changed: attributes that are not as shipped. utc_offset: of this host now, in seconds east.
    """
    settings = {key: str(known.default) for key, known in ATTRIBUTES.items()} | dict(changed)
    default = PartitionRules(parse_policy(settings["scheduler-policy"]).name)
    each = {name: _partition(default, row) for name, row in site.partitions.items()}
    return Rules(
        default,
        {name: row for name, row in sorted(each.items()) if row != default},
        _weights(settings),
        max_cpus_per_user=int(settings["max-cpus-per-user"]),
        limits=tuple(_limits(site)),
        licences=dict(licences(settings["licences"])),
        reservations=tuple(_reservation(row) for row in site.reservations.values()),
        shares=ShareRules(
            tuple(rules.Project(p.name, p.parent, p.shares) for p in site.projects.values()),
            tuple(_members(site)),
            half_life=float(settings["share-half-life"]),
        ),
        utc_offset=utc_offset,
    )


def _partition(default: PartitionRules, row: Partition) -> PartitionRules:
    return replace(
        default,
        policy=default.policy if row.policy is None else parse_policy(row.policy).name,
        factor=row.factor,
        tier=row.tier,
        priority_gap=row.priority_gap,
        preemption=Preemption(row.preemption),
        least_run=float(row.least_run),
        preempt_grace=-1 if row.preempt_grace is None else row.preempt_grace,
        time_slice=float(row.time_slice),
    )


def _limits(site: Site) -> Iterator[Limit]:
    """Yield what is counted of users, groups and projects; all else of access is known at submission."""
    for row in site.access.values():
        counted = row.running, row.waiting, row.max_cpus, row.cpu_minutes
        if counted != (None, None, None, None):
            partition = "" if row.partition == ANYWHERE else row.partition
            yield Limit(_HOLDERS[row.holder], row.name, partition, *counted, ranked=True)


def _reservation(row: Reservation) -> rules.Reservation:
    return rules.Reservation(
        row.name,
        () if row.partition is not None else tuple(unfold(row.nodes)),  # see core/lasting.py
        row.start,
        float(row.duration),
        row.users,
        row.projects,
        row.days,
        row.until,
        row.utc_offset,
    )


def _members(site: Site) -> Iterator[Member]:
    for user in site.users.values():
        for project in user.projects if user.shares != 1 else ():
            yield Member(project, user.name, user.shares)


def _weights(settings: Mapping[str, str]) -> Weights:
    names = ("priority", "age", "size", "share", "partition", "boost")
    weights = {name: int(settings[f"weight-{name}"]) for name in names}
    return Weights(
        **weights,
        max_age=int(settings["max-age"]),
        small_first=settings["small-jobs-first"] == "1",
    )

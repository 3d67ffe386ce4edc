"""Rules travel with snapshots."""

from msgspec import json, msgpack

from ostler.schedule.rules import (
    Holder,
    Limit,
    PartitionRules,
    Preemption,
    Project,
    Reservation,
    Rules,
    ShareRules,
)

FULL = Rules(
    partitions={"night": PartitionRules(policy="fcfs", preemption=Preemption.REQUEUE, tier=2)},
    limits=(Limit(Holder.USER, cpus=4),),
    licences={"cad": 3},
    reservations=(Reservation("disks", ("n1",), 0.0, 60.0, days=(0, 6)),),
    shares=ShareRules(projects=(Project("bio", shares=3),)),
)


def test_what_is_not_said_of_a_partition_is_as_for_all() -> None:
    assert FULL.of("night").policy == "fcfs"
    assert FULL.of("day") == FULL.default == PartitionRules()


def test_rules_come_back_as_they_were_written() -> None:
    for rules in (Rules(), FULL):
        assert json.decode(json.encode(rules), type=Rules) == rules
        assert msgpack.decode(msgpack.encode(rules), type=Rules) == rules
    assert json.encode(Rules()) == b"{}"

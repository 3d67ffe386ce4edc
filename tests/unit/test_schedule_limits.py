"""What one may have beside what it holds."""

from collections.abc import Sequence
from math import ceil, inf
from random import Random

import pytest

from ostler.model.states import Rule
from ostler.schedule.limits import Breach, Claim, Held, Limits, Room
from ostler.schedule.rules import Holder, Limit, Rules

USER, PROJECT, PARTITION = Holder.USER, Holder.PROJECT, Holder.PARTITION


def claim(cpus: int = 1, user: str = "ann", project: str = "bio", **more: float) -> Claim:
    return Claim(user, project, "main", cpus, more.get("ends_at", inf))


def held(limits: Sequence[Limit], *claims: Claim, each: int = 0) -> Held:
    found = Held(Limits(Rules(limits=tuple(limits), max_cpus_per_user=each)))
    for one in claims:
        found.add(one)
    return found


@pytest.mark.parametrize(
    ("limit", "held_by", "fits"),
    [
        (Limit(USER, cpus=4), claim(2), True),
        (Limit(USER, cpus=4), claim(3), False),
        (Limit(USER, cpus=4), claim(3, user="bob"), True),
        (Limit(USER, "ann", cpus=4), claim(3), False),
        (Limit(USER, "bob", cpus=4), claim(3), True),
        (Limit(USER, "", "main", cpus=4), claim(3), False),
        (Limit(USER, "", "other", cpus=4), claim(3), True),
        (Limit(PROJECT, "bio", cpus=4), claim(3, user="bob"), False),
        (Limit(PROJECT, "", cpus=4), claim(3, user="bob"), False),
        (Limit(PROJECT, "", cpus=4), claim(3, project="law"), True),
        (Limit(PARTITION, "", "main", cpus=4), claim(3, "bob", "law"), False),
        (Limit(USER, running=1), claim(), False),
        (Limit(USER, running=2), claim(), True),
    ],
)
def test_a_limit_counts_what_its_holder_has(limit: Limit, held_by: Claim, *, fits: bool) -> None:
    found = held([limit], held_by)
    assert (found.breach(claim(2), 0.0) is None) == fits
    found.remove(held_by)
    assert found.breach(claim(2), 0.0) is None


def test_one_with_a_name_goes_before_the_one_for_each() -> None:
    limits = [Limit(USER, cpus=1), Limit(USER, "ann", cpus=8), Limit(PROJECT, "", cpus=1)]
    found = held(limits)
    assert found.breach(claim(8), 0.0) is None
    assert found.breach(claim(2, user="bob"), 0.0) is not None
    strict = held([*limits, Limit(PROJECT, "bio", cpus=4)])
    assert strict.breach(claim(8), 0.0) is not None


def test_the_setting_for_each_user_is_such_a_limit() -> None:
    found = held([], claim(3), each=4)
    breach = found.breach(claim(2), 0.0)
    assert breach == Breach((USER, "ann", ""), "cpus", 4, 3, 2)
    assert not breach.alone
    assert found.refusal(claim(2), 0.0) is None
    refusal = found.refusal(claim(5), 0.0)
    assert refusal is not None
    assert refusal.alone
    assert held([Limit(USER, cpus=2)], each=4).breach(claim(3), 0.0) is not None


def test_a_job_that_waits_for_a_limit_is_told_which_and_whose() -> None:
    found = held([Limit(PROJECT, "bio", "main", cpus=4)], claim(3, user="bob"))
    breach = found.breach(claim(2), 0.0)
    assert breach is not None
    assert breach.wait.rule is Rule.LIMIT
    assert breach.wait.numbers == {
        "limit": 4,
        "held": 3,
        "asked": 2,
        "what": "cpus",
        "whose": "project bio in partition main",
    }
    whose = [Breach((PARTITION, "", where), "cpus", 1, 1, 1).whose for where in ("main", "")]
    assert whose == ["partition main", "the machine"]


def test_cpu_minutes_become_free_as_time_passes() -> None:
    found = held([Limit(USER, cpu_minutes=100)], claim(4, ends_at=1_200.0))
    asked = [claim(2, ends_at=at + 1_200.0) for at in (0.0, 300.0)]
    first = found.breach(asked[0], 0.0)
    assert first is not None
    assert (first.held, first.asked) == (80, 40)
    assert found.breach(asked[1], 300.0) is None
    forever = found.refusal(claim(1), 0.0)
    assert forever is not None
    assert forever.asked == inf


def test_the_number_of_waiting_jobs_is_limited_at_submission() -> None:
    found = held([Limit(USER, waiting=2)])
    found.queue("ann", "bio", "main", 2)
    refusal = found.refusal(claim(), 0.0)
    assert refusal is not None
    assert (refusal.what, refusal.held) == ("waiting", 2)
    assert found.breach(claim(), 0.0) is None
    found.queue("ann", "bio", "main", -1)
    assert found.refusal(claim(), 0.0) is None


def test_jobs_that_nothing_limits_have_one_key() -> None:
    limits = Limits(Rules(limits=(Limit(PROJECT, "bio", cpus=3),)))
    assert limits.key("ann", "law", "main") == limits.key("bob", "", "x") == ()
    assert limits.key("ann", "bio", "main") == limits.key("bob", "bio", "x") != ()
    assert Held(limits).room((), 0.0) == Room()


def any_limits(chance: Random) -> list[Limit]:
    rows = {}
    for _ in range(chance.randint(0, 6)):
        holder = chance.choice(list(Holder))
        name = {USER: ["", "ann"], PROJECT: ["", "bio"], PARTITION: [""]}[holder]
        kinds = {"running": 4, "cpus": 9, "cpu_minutes": 90}
        what = {kind: chance.randint(0, most) for kind, most in kinds.items()}
        what = {kind: most for kind, most in what.items() if chance.random() < 0.5}
        row = Limit(holder, chance.choice(name), chance.choice(["", "main", "p"]), **what)
        rows[row.holder, row.name, row.partition] = row
    return list(rows.values())


def holds(limit: Limit, all_limits: Sequence[Limit], one: Claim, claims: list[Claim]) -> bool:
    """Say from the definitions whether `one` may be added beside the claims, as of second 0."""
    named = {(row.holder, row.name, row.partition) for row in all_limits}
    scope = limit.partition
    if scope not in ("", one.partition):
        return True
    own = (USER, one.user, scope) in named
    if limit.holder is USER:
        if limit.name != ("" if not own else one.user):
            return True
        same = [c for c in claims if c.user == one.user]
    elif limit.holder is PROJECT:
        has = (PROJECT, one.project, scope) in named
        if limit.name != (one.project if has else "") or (own and not has):
            return True
        same = [c for c in claims if c.project == one.project]
    else:
        same = claims
    same = [c for c in same if scope in ("", c.partition)]
    minutes = sum(c.cpus * ceil(c.ends_at) / 60 for c in same)
    return (
        (limit.running is None or len(same) + 1 <= limit.running)
        and (limit.cpus is None or sum(c.cpus for c in [*same, one]) <= limit.cpus)
        and (
            limit.cpu_minutes is None
            or minutes + one.cpus * ceil(one.ends_at) / 60 <= limit.cpu_minutes
        )
    )


def test_counters_say_what_a_look_at_everything_says() -> None:
    chance = Random(1)
    found = {True: 0, False: 0}
    for _ in range(400):
        limits = any_limits(chance)
        count, claims = held(limits), list[Claim]()
        for _ in range(8):
            if claims and chance.random() < 0.2:
                count.remove(claims.pop(chance.randrange(len(claims))))
            one = Claim(
                chance.choice(["ann", "bob"]),
                chance.choice(["bio", "law"]),
                chance.choice(["main", "p"]),
                chance.randint(1, 4),
                chance.choice([60.0, 600.5]),
            )
            breach = count.breach(one, 0.0)
            fits = all(holds(limit, limits, one, claims) for limit in limits)
            assert (breach is None) == fits
            room = count.room(count.limits.key(one.user, one.project, one.partition), 0.0)
            within = room.running >= 1 and one.cpus <= room.cpus
            assert (within and one.minutes(0.0) <= room.cpu_minutes) == fits
            found[fits] += 1
            if fits:
                claims.append(one)
                count.add(one)
        other = count.copy()
        other.add(claim())
        for one in claims:
            count.remove(one)
        assert all(count.room(count.limits.key(u, "bio", "p"), 0.0).cpus >= 0 for u in ("ann", ""))
    assert min(found.values()) > 300

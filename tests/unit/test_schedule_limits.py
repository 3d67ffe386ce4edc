"""What one may have beside what it holds."""

from collections.abc import Sequence
from math import ceil, inf
from random import Random

import pytest
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explain
from ostler.schedule.limits import Breach, Claim, Held, Limits
from ostler.schedule.rules import Holder, Limit, Rules
from ostler.schedule.snapshot import (
    Delta,
    Plan,
    RunningView,
    Snapshot,
    Start,
    WaitingView,
    whole,
)
from tests.schedule_kit import job, machine, node, running

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


def any_limits(chance: Random) -> list[Limit]:
    rows = {}
    for _ in range(chance.randint(0, 6)):
        holder = chance.choice([USER, PROJECT, PARTITION])
        name = {USER: ["", "ann"], PROJECT: ["", "bio"], PARTITION: [""]}[holder]
        kinds = {"running": 4, "cpus": 9, "cpu_minutes": 90}
        what = {kind: chance.randint(0, most) for kind, most in kinds.items()}
        what = {kind: most for kind, most in what.items() if chance.random() < 0.5}
        plain = Limit(holder, chance.choice(name), chance.choice(["", "main", "p"]))
        row = replace(plain, **what)
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
            found[fits] += 1
            if fits:
                claims.append(one)
                count.add(one)
        other = count.copy()
        other.add(claim())
        for one in claims:
            count.remove(one)
        assert count.breach(claim(), 0.0) == held(limits).breach(claim(), 0.0)
    assert min(found.values()) > 300


def shown(
    limits: Sequence[Limit], waiting: Sequence[WaitingView], runs: Sequence[RunningView] = ()
) -> Snapshot:
    rules = Rules(limits=tuple(limits))
    return replace(machine([node(cpus=8)], waiting, runs=runs), rules=rules)


def of(view: WaitingView, project: str) -> WaitingView:
    return replace(view, project=project)


def ran(number: int, *cpus: int, project: str = "bio", ends_at: float = inf) -> RunningView:
    return replace(running(number, cpus, ends_at, user="ann"), project=project, partition="main")


def planned(snapshot: Snapshot, now: float = 0.0) -> Plan:
    engine = Engine()
    engine.apply(whole(snapshot))
    return engine.plan(now)


def started(plan: Plan) -> list[int]:
    return [line.job for line in plan.lines if isinstance(line, Start)]


def test_a_plan_passes_no_limit_and_others_start_instead() -> None:
    jobs = [of(job(1, 2), "bio"), of(job(2, 2), "bio"), of(job(3, 2), "law"), of(job(4, 1), "bio")]
    found = planned(shown([Limit(PROJECT, "bio", cpus=3)], jobs))
    assert started(found) == [1, 3, 4]
    assert found.waits[2].rule is Rule.LIMIT
    assert started(planned(shown([Limit(USER, running=2)], jobs))) == [1, 2]
    assert started(planned(shown([Limit(PARTITION, "", "main", cpus=1)], jobs))) == [4]


def test_what_runs_counts_until_it_ends_or_stands_still() -> None:
    limits = [Limit(PROJECT, "bio", running=1)]
    engine = Engine()
    engine.apply(whole(shown(limits, [of(job(1), "bio")], [ran(9, 0)])))
    assert engine.plan(0.0).waits[1].rule is Rule.LIMIT
    still = replace(ran(9, 0), suspended=True)
    other = engine.copy()
    other.apply(Delta(1, running=[still], nodes=machine([node(cpus=8)], runs=[still]).nodes))
    assert started(other.plan(0.0)) == [1]
    engine.apply(Delta(1, over=[9], nodes=[node(cpus=8)]))
    assert started(engine.plan(0.0)) == [1]


def test_cpu_minutes_give_room_with_time_and_the_plan_says_when_to_look_again() -> None:
    limits = [Limit(USER, cpu_minutes=10)]
    engine = Engine()
    engine.apply(whole(shown(limits, [job(1, limit=300.0)], [ran(9, 0, ends_at=600.0)])))
    now, wakes = 0.0, 0
    while not started(found := engine.plan(now)):
        assert found.wake is not None
        now, wakes = found.wake, wakes + 1
    assert (now, wakes) == (300.0, 1)


def test_an_explanation_says_whose_limit_it_is() -> None:
    limits = [Limit(PROJECT, "bio", "main", cpus=3)]
    told = explain(shown(limits, [of(job(1, 2), "bio")], [ran(9, 0, 1)]), 0.0, 1)
    assert told.reason.startswith(
        "project bio in partition main holds 2 CPUs and it asks for 2; 3 may be held"
    )
    assert told.blockers == ["cpus of project bio in partition main", "9"]


def test_engines_that_are_told_of_changes_keep_to_limits_as_fresh_ones_do() -> None:
    chance = Random(5)
    limited = 0
    for _ in range(60):
        limits = any_limits(chance)
        engine, now = Engine(), 0.0
        waiting: dict[int, WaitingView] = {}
        runs: dict[int, RunningView] = {}
        engine.apply(whole(shown(limits, [])))
        for number in range(1, 15):
            now += chance.choice([0.0, 30.0, 60.0])
            fresh_one = job(
                number,
                chance.randint(1, 3),
                chance.choice([60.0, 600.0]),
                user=chance.choice(["ann", "bob"]),
            )
            waiting[number] = of(fresh_one, chance.choice(["bio", "law"]))
            over = [alloc for alloc in runs if chance.random() < 0.3]
            for alloc in over:
                del runs[alloc]
            shot = shown(limits, list(waiting.values()), list(runs.values()))
            engine.apply(Delta(number, nodes=shot.nodes, waiting=[waiting[number]], over=over))
            found = engine.plan(now)
            assert started(found) == started(planned(shot, now))
            for line in found.lines:
                assert isinstance(line, Start)
                view = waiting.pop(line.job)
                one = Claim(view.user, view.project, "main", view.request.cpus, now + view.duration)
                rest = [
                    Claim(r.user, r.project, "main", len(r.placements[0].cpus), r.ends_at - now)
                    for r in runs.values()
                ]
                at_zero = replace(one, ends_at=view.duration)
                assert all(holds(limit, limits, at_zero, rest) for limit in limits)
                run = ran(line.job, *line.placements[0].cpus, ends_at=now + view.duration)
                runs[line.job] = replace(run, user=view.user, project=view.project)
            limited += any(wait.rule is Rule.LIMIT for wait in found.waits.values())
            shot = shown(limits, list(waiting.values()), list(runs.values()))
            gone = [line.job for line in found.lines if isinstance(line, Start)]
            engine.apply(
                Delta(number, nodes=shot.nodes, running=[runs[n] for n in gone], gone=gone)
            )
    assert limited > 50


def test_members_of_a_group_are_limited_together_behind_their_own_limits() -> None:
    group = Limit(Holder.GROUP, "physics", running=2, cpus=3, ranked=True)
    own = Limit(USER, "ann", cpus=8, ranked=True)
    members: dict[str, tuple[str, ...]] = {"ann": ("physics",), "bob": ("physics",)}
    count = Held(Limits(Rules(limits=(group, own), members=members)))
    count.add(replace(claim(), user="ann", cpus=3))
    breach = count.breach(replace(claim(), user="bob", cpus=1), 0.0)
    assert breach is not None
    assert (breach.whose, breach.what, breach.held) == ("group physics", "cpus", 3)
    assert count.breach(replace(claim(), user="ann", cpus=5), 0.0) is None
    assert count.breach(replace(claim(), user="eve", cpus=9), 0.0) is None

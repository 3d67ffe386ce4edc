"""What `explain` says of a job at a limit that it shares with others, and of who is before it there."""

from collections.abc import Sequence

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.explain import explain
from ostler.schedule.rules import Holder, Limit, Rules
from ostler.schedule.snapshot import Explanation, RunningView, Snapshot, WaitingView
from tests.schedule_kit import job, machine, node, running


def waits(
    number: int, cpus: int, user: str, limit: float = 60.0, *, project: str = "bio"
) -> WaitingView:
    return replace(job(number, cpus, limit, user=user), project=project)


def runs(number: int, cpus: Sequence[int], end: float, user: str, on: str = "n1") -> RunningView:
    view = running(number, cpus, end, user=user, on=on)
    return replace(view, project="bio", partition="main")


HELD = [runs(7, [0, 1], 300.0, "ann"), runs(8, [0, 1], 100.0, "bob", "n2")]


def shown(
    waiting: Sequence[WaitingView], held: Sequence[RunningView] = HELD, cpus: int = 4
) -> Snapshot:
    shot = machine([node("n1"), node("n2"), node("n3")], waiting, runs=held)
    return replace(
        shot, rules=Rules(limits=(Limit(Holder.PROJECT, "bio", cpus=cpus, ranked=True),))
    )


def test_who_else_is_under_the_limit_is_named_and_may_end() -> None:
    told = explain(shown([waits(12, 2, "ann")]), 0.0, 12)
    assert (told.rule, told.expected_start) == (Rule.LIMIT, 100.0)
    assert told.blockers == ["cpus of project bio", "8"]
    assert told.assumption == "if what project bio runs takes its whole time limit"
    assert told.to_start_now == (
        "have the limit raised: cpus of project bio to 6; or end job 8 or 7"
    )


def test_all_that_the_limit_keeps_waiting_has_a_place_of_its_own() -> None:
    waiting = [waits(n, cpus, user) for n, cpus, user in ((12, 2, "ann"), (13, 2, "bob"))]
    waiting += [waits(14, 1, "ann"), waits(15, 4, "eve", project="law")]
    shot = shown(waiting, cpus=4)
    found = [explain(shot, 0.0, number) for number in (12, 13, 14)]
    assert [each.numbers["place"] for each in found] == [1, 2, 3]
    assert [each.ahead for each in found] == [[], ["12"], ["12", "13"]]
    assert {each.assumption for each in found[1:]} == {
        "if every job ahead of it takes its whole time limit, and none comes before it"
    }


def test_whole_nodes_at_a_limit_say_whose_limit_it_is_and_how_much_they_count_for() -> None:
    view = waits(12, 1, "bob")
    view = replace(view, request=replace(view.request, exclusive=True))
    found: list[Explanation] = [explain(shown([view], cpus=most), 0.0, 12) for most in (4, 6)]
    for most, told in zip((4, 6), found, strict=True):
        text = f"project bio holds 4 CPUs and it asks for 4; {most} may be held"
        assert told.reason.startswith(text)
    assert found[1].blockers == ["cpus of project bio", "8"]
    assert "max-cpus-per-user" not in found[1].to_start_now


def test_who_waits_for_the_same_licence_is_ahead() -> None:
    waiting = [waits(12, 2, "ann"), waits(13, 1, "bob"), waits(14, 1, "eve")]
    waiting = [
        replace(w, request=replace(w.request, licences={"x": 3 - i})) for i, w in enumerate(waiting)
    ]
    held = replace(running(7, [0], 50.0), licences={"x": 3})
    shot = machine([node()], waiting, runs=[held], licences={"x": 3})
    told = explain(shot, 0.0, 14)
    assert (told.rule, told.ahead, told.numbers["place"]) == (Rule.LICENCES, ["12", "13"], 3)


def test_who_may_be_passed_by_others_when_their_limit_allows_is_told_when_it_starts_then() -> None:
    """Job 7 ends at 100; then 12, which comes first and waits for its project's turn, goes on."""
    rules = Rules(limits=(Limit(Holder.PROJECT, "bio", running=1),))
    waiting = [waits(12, 2, "ann", 10.0), waits(13, 4, "bob", project="law")]
    shot = machine([node()], waiting, runs=[runs(7, [0], 100.0, "ann")])
    told = explain(replace(shot, rules=rules), 0.0, 13)
    assert (told.rule, told.expected_start) == (Rule.RESOURCES, 110.0)
    assert told.reason.endswith(
        "some that are before it in the queue, and wait for something else, start first"
    )
    assert told.assumption == (
        "if all that runs, and all that starts before it, takes its whole time limit"
    )


def test_a_start_that_cannot_be_promised_is_foreseen_where_it_can() -> None:
    """Job 13 is promised nothing beside 12, which may be there for ever; but it is not."""
    waiting = [waits(12, 4, "ann", 10.0), waits(13, 4, "bob")]
    waiting[1] = replace(waiting[1], request=replace(waiting[1].request, licences={"x": 1}))
    held = replace(running(7, [0], 50.0), licences={"x": 1})
    shot = machine([node()], waiting, runs=[held], licences={"x": 1})
    told = explain(shot, 0.0, 13)
    assert (told.rule, told.expected_start) == (Rule.LICENCES, 60.0)


def test_a_limit_that_is_not_all_that_keeps_it_is_not_to_be_raised() -> None:
    held = [running(7, [0, 1], 60.0, user="ann"), running(8, [2], 90.0)]
    shot = machine([node()], [job(12, cpus=2)], runs=held, limit=3)
    assert "raised" not in explain(shot, 0.0, 12).to_start_now

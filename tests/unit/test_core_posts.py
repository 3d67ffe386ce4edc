"""Events that people post, patterns of events, and subscribers who read them all."""

import re
from pathlib import Path

import pytest

from ostler import core
from ostler.core.desk import ESCALATION
from ostler.core.events import DealtWith, Posted, Subscribed
from ostler.core.notices import BEGUN, FAILED
from ostler.core.posts import droppable
from ostler.model.errors import Missing, OstlerError, Refused, UsageError
from ostler.model.event_kinds import TYPES, check_kind, doubt
from ostler.model.happening import Pattern, parse_kind, parse_pattern
from ostler.model.record import Dealt, Event, Subscriber
from ostler.model.site_changes import Change
from ostler.model.site_kinds import KINDS
from ostler.model.states import JobState
from ostler.wire.drivers import Fault
from tests.unit.core_kit import ANN, BOB, ROOT, Box, saved


@pytest.fixture
def box() -> Box:
    return Box(("n1",))


def awaited_by_handler(kind: str) -> Change:
    return Change("create", "handler", ("page",), {"command": "/bin/true", "event": kind})


def posted(box: Box) -> list[Event]:
    return [w for w in saved(box.done) if isinstance(w, Event) and w.user == "root"]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        (Pattern(), True),
        (Pattern("node"), True),
        (Pattern("node", "status"), True),
        (Pattern("", "status", "n0*"), True),
        (Pattern("node", "status", "n05", "running -> *"), True),
        (Pattern(text="no_agent"), True),
        (Pattern("job"), False),
        (Pattern("node", "word"), False),
        (Pattern(object="n0"), False),
        (Pattern(text="no_agent*"), False),
    ],
)
def test_a_pattern_matches_where_each_part_does_or_is_empty(pattern: Pattern, meant: bool) -> None:  # noqa: FBT001
    event = Event(1, 0.0, "node/status", node="n05", text="running -> no_agent")
    assert pattern.matches(event) is meant


def test_a_job_is_meant_with_its_elements_and_an_element_alone() -> None:
    event = Event(1, 0.0, "element/pending", job=12, element=3)
    assert [Pattern(object=o).matches(event) for o in ("12", "12_3", "12_*", "12_4")] == [
        *(True, True, True, False)
    ]


@pytest.mark.parametrize(
    "text", ["node", "node/", "/status", "Node/up", "a-b/c", "a/b c", "x" * 99]
)
def test_a_kind_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_kind(text)


def test_a_pattern_may_name_a_class_alone_and_nothing_else_than_one_could() -> None:
    assert parse_pattern("node") == Pattern("node")
    with pytest.raises(UsageError):
        parse_pattern("no de")


def test_all_kinds_that_the_core_tells_are_known() -> None:
    """Whoever waits for one of them is not told that there is none; and no kind is made up."""
    files = (Path(core.__file__).parent).rglob("*.py")
    source = "\n".join(path.read_text() for path in files)
    told = set(re.findall(r'note\(\s*(?:s,\s*)?now,\s*"([^"]+)"', source))
    told |= {BEGUN, FAILED, ESCALATION, "driver/up", *(f"driver/{fault}" for fault in Fault)}
    known = {f"{c}/{t}".rstrip("/") for c, types in TYPES.items() for t in types or ("",)}
    assert told <= known
    of_rows = {f"{kind}/{done}" for kind in KINDS for done in ("created", "changed", "removed")}
    assert (
        known - told == (of_rows | {f"job/{s}" for s in JobState if s is not JobState.DONE}) - told
    )


@pytest.mark.parametrize(
    ("kind", "near"),
    [
        ("node/sttus", "node/status"),
        ("nodes", "node"),
        ("nodes/status", "node/status"),
        ("job/start", "job/starting"),
    ],
)
def test_a_slip_in_a_kind_of_ours_is_refused_with_the_nearest(
    box: Box, kind: str, near: str
) -> None:
    """Where it is awaited, by a handler, and where it is posted: nobody would ever hear of it."""
    for asked in (
        lambda: check_kind(kind),
        lambda: box.change(awaited_by_handler(kind)),
        lambda: box.ask(Posted, ROOT, f"{kind}/status" if kind == "nodes" else kind, "", "x"),
    ):
        with pytest.raises(UsageError) as caught:
            asked()
        assert near in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["", "/sttus", "user/sttus", "node/hot", "raid/lost", "node"])
def test_what_an_operator_may_post_can_be_awaited(box: Box, kind: str) -> None:
    check_kind(kind)
    box.change(awaited_by_handler(kind))


def test_a_kind_that_comes_only_if_it_is_posted_is_told_with_those_there_are() -> None:
    assert "node/features, fenced, joined" in doubt("node/hot")
    assert doubt("raid/lost") == "raid/lost comes only if an operator posts it"
    assert not any(map(doubt, ("", "/hot", "user/hot", "node", "node/status", "setting")))


def test_an_operator_posts_about_a_node_a_job_or_anything(box: Box) -> None:
    job = box.submit()
    for kind, about in (("node/hot", "n1"), ("job/slow", f"{job}"), ("raid/lost", "sda")):
        assert box.ask(Posted, ROOT, kind, about, "see to it")["events"][0]["kind"]
    told = [(e.kind, e.node, e.job, e.object) for e in posted(box)]
    assert told == [
        *(("node/hot", "n1", None, None), ("job/slow", None, job, None)),
        ("raid/lost", None, None, "sda"),
    ]


def test_a_user_posts_of_class_user_only(box: Box) -> None:
    serial = box.ask(Posted, ANN, "user/backup", "home", "made")["events"][0]["serial"]
    assert serial == box.machine.state.next_event - 1
    with pytest.raises(Refused, match="ann may not post events of class 'node'"):
        box.ask(Posted, ANN, "node/status", "n1", "gone")


def test_a_repeated_request_is_the_same_event(box: Box) -> None:
    rows = [box.ask(Posted, ANN, "user/a", "", "one", "r1")["events"][0] for _ in range(2)]
    other = box.ask(Posted, BOB, "user/a", "", "one", "r1")["events"][0]
    assert rows[0]["serial"] == rows[1]["serial"] == other["serial"] - 1


@pytest.mark.parametrize("text", ["two\nlines", "x" * 1001, "\x1b[31m"])
def test_a_post_is_one_line_of_text(box: Box, text: str) -> None:
    with pytest.raises(UsageError):
        box.ask(Posted, ROOT, "user/x", "", text)


def read_to(box: Box, serial: int | None = None, **more: bool) -> int | None:
    found: int | None = box.ask(Subscribed, ANN, "mirror", serial, **more)["subscribers"][0][
        "serial"
    ]
    return found


def test_a_subscriber_goes_on_after_the_last_event_that_it_acknowledged(box: Box) -> None:
    began = read_to(box)
    assert began == box.machine.state.next_event - 1
    box.ask(Posted, ANN, "user/a", "", "one")
    assert read_to(box) == began  # R-RMS-8: what was not acknowledged comes again
    assert read_to(box, began + 1) == began + 1
    assert read_to(box) == began + 1
    rows = [w for w in saved(box.done) if isinstance(w, Subscriber)]
    assert [row.serial for row in rows] == [began, began + 1]


def test_what_was_not_told_yet_cannot_be_acknowledged_nor_the_past_again(box: Box) -> None:
    began = read_to(box) or 0
    for serial in (began - 1, began + 1):
        with pytest.raises(UsageError, match="cannot acknowledge"):
            read_to(box, serial)


def test_a_subscriber_is_its_users_own_and_can_be_forgotten(box: Box) -> None:
    read_to(box)
    with pytest.raises(Missing):
        box.ask(Subscribed, BOB, "mirror", 1)
    read_to(box, forget=True)
    assert not box.machine.state.postbox.subscribers
    with pytest.raises(Missing):
        read_to(box, forget=True)


def test_a_user_has_a_bounded_number_of_subscribers(box: Box) -> None:
    for number in range(32):
        box.ask(Subscribed, ANN, f"s{number}")
    with pytest.raises(OstlerError, match="32 subscribers"):
        box.ask(Subscribed, ANN, "one more")
    box.ask(Subscribed, BOB, "mine")


def test_events_go_after_their_lifetime_and_never_with_none(box: Box) -> None:
    day = 86_400
    box.configure("events-lifetime", "2d")
    found = droppable(box.machine.state, 10.0 * day)
    assert found is not None
    assert found[0] == 8.0 * day
    box.configure("events-lifetime", "0")
    assert droppable(box.machine.state, 10.0 * day) is None


def test_an_operator_says_who_has_dealt_with_an_event(box: Box) -> None:
    serial = box.ask(Posted, ANN, "user/fire", "hall", "smoke")["events"][0]["serial"]
    with pytest.raises(Refused, match="ann may not say that events are dealt with; an operator"):
        box.ask(DealtWith, ANN, serial, "")
    [row] = box.ask(DealtWith, ROOT, serial, "water")["events"]
    assert (row["serial"], row["dealt_by"], row["dealt_note"]) == (serial, "root", "water")
    assert [w for w in saved(box.done) if isinstance(w, Dealt)] == [
        Dealt(serial, "root", box.now, "water")
    ]
    told = posted(box)[-1]
    assert (told.kind, told.object) == ("event/dealt", str(serial))
    assert told.text == f"root has dealt with event {serial}: water"


@pytest.mark.parametrize(("serial", "note"), [(10**6, ""), (0, ""), (1, "two\nlines")])
def test_what_is_no_event_or_no_line_is_not_dealt_with(box: Box, serial: int, note: str) -> None:
    with pytest.raises((Missing, UsageError)):
        box.ask(DealtWith, ROOT, serial, note)

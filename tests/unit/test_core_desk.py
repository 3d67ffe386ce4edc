"""Which handler does what about which event, and when: in virtual time."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.core import desk
from ostler.core.effects import Effect, Handle
from ostler.core.events import Handled, HandlersLost, Posted, Tick
from ostler.core.machine import Machine
from ostler.core.posts import droppable
from ostler.model.errand import ErrandState, Hook, Mail, Order, Outcome, Program, Ran
from ostler.model.errors import UsageError
from ostler.model.handler import check_handler
from ostler.model.record import Errand, Event
from ostler.model.site import Handler
from tests.unit.core_kit import ANN, EMPTY, ROOT, Box, saved

PROGRAM = Handler("page", "/bin/page --now", event="user/fire")


class Site(Box):
    """A machine with handlers whose programs end when a test says so."""

    def __init__(self, *handlers: Handler) -> None:
        super().__init__(("n1",))
        self.machine.state.desk.appoint(handlers)
        self.done.clear()

    def post(self, kind: str = "user/fire", about: str = "hall", text: str = "smoke") -> int:
        serial: int = self.ask(Posted, ROOT, kind, about, text)["events"][0]["serial"]
        return serial

    def ends(self, order: Order, result: Outcome = Outcome.SUCCESS, status: int = 0) -> None:
        why = "" if result is Outcome.SUCCESS else f"it was {result}"
        self.do(Handled(Ran(order.first, order.handler, order.attempt, result, status, why)))

    def wait(self, seconds: float) -> None:
        """Let time pass, with the ticks that the machine asks for."""
        end = self.now + seconds
        while (at := self.machine.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.do(Tick())
        self.now = end
        self.do(Tick())

    @property
    def orders(self) -> list[Order]:
        return ordered(self.done)

    def told(self, kind: str) -> list[str]:
        return [w.text for w in saved(self.done) if isinstance(w, Event) and w.kind == kind]

    def rows(self) -> dict[tuple[int, str], Errand]:
        """Return the table: the last row that was written of each errand."""
        return {w.key: w for w in saved(self.done) if isinstance(w, Errand)}


def ordered(effects: Iterable[Effect]) -> list[Order]:
    return [effect.order for effect in effects if isinstance(effect, Handle)]


def program(order: Order) -> Program:
    assert isinstance(order.work, Program)
    return order.work


def test_a_handler_gets_the_event_as_five_arguments_and_as_json() -> None:
    site = Site(replace(PROGRAM, user="ops", timeout=7))
    serial = site.post()
    [order] = site.orders
    work = program(order)
    assert work.argv == ("/bin/page", "--now", f"{serial}", "user", "hall", "fire", "smoke")
    assert (work.user, work.timeout) == ("ops", 7.0)
    assert f'"serial":{serial}' in work.stdin
    assert '"object":"hall"' in work.stdin


def test_it_is_written_down_that_a_run_began_before_it_begins_and_how_it_ended() -> None:
    site = Site(PROGRAM)
    serial = site.post()
    kinds = [effect for effect in site.done if not isinstance(effect, Handle)]
    begun = [w for w in saved(kinds) if isinstance(w, Errand)][-1]
    assert (begun.state, begun.attempt) == (ErrandState.RUNNING, 1)
    site.now += 3
    site.ends(site.orders[0])
    row = site.rows()[serial, "page"]
    assert (row.state, row.result, row.exit_status) == (ErrandState.DONE, Outcome.SUCCESS, 0)
    assert (row.began_at, row.ended_at) == (site.now - 3, site.now)


@pytest.mark.parametrize(
    ("handler", "runs"),
    [
        (Handler("any", "/bin/x"), True),
        (Handler("class", "/bin/x", event="user"), True),
        (Handler("object", "/bin/x", event="user/fire", object="h*"), True),
        (Handler("other", "/bin/x", event="user/flood"), False),
        (Handler("elsewhere", "/bin/x", object="cellar"), False),
    ],
)
def test_a_handler_is_run_for_what_its_pattern_matches(handler: Handler, runs: bool) -> None:  # noqa: FBT001
    site = Site(handler)
    site.post()
    assert bool(site.orders) is runs


def test_a_handler_that_is_late_escalates_once_its_retries_are_used_up() -> None:
    site = Site(replace(PROGRAM, retries=1), Handler("boss", "/bin/boss", event="event/escalation"))
    serial = site.post()
    site.ends(site.orders[0], Outcome.LATE, 137)
    assert len(site.orders) == 1
    site.wait(4.9)
    assert len(site.orders) == 1
    site.wait(0.2)
    assert [(o.handler, o.attempt) for o in site.orders] == [("page", 1), ("page", 2)]
    site.ends(site.orders[1], Outcome.LATE, 137)
    text = f"page did not complete for event {serial} (user/fire hall): it was late"
    assert site.told("event/escalation") == [text]
    assert program(site.orders[2]).argv[2:] == ("event", "page", "escalation", text)


def test_an_escalation_that_fails_escalates_no_further() -> None:
    site = Site(Handler("any", "/bin/x"))
    site.post()
    for turn in range(2):
        site.ends(site.orders[turn], Outcome.FAILED, 1)
    assert len(site.told("event/escalation")) == 1
    assert len(site.orders) == 2


def test_what_is_hopeless_is_not_tried_again() -> None:
    site = Site(replace(PROGRAM, retries=9))
    site.post()
    site.ends(site.orders[0], Outcome.HOPELESS)
    site.wait(10_000)
    assert len(site.orders) == 1


def test_a_storm_of_one_event_is_two_runs_and_the_second_has_the_newest() -> None:
    site = Site(PROGRAM)
    serials = [site.post(text=f"smoke {turn}") for turn in range(1000)]
    site.ends(site.orders[0])
    site.ends(site.orders[1])
    assert [program(order).argv[-1] for order in site.orders] == ["smoke 0", "smoke 999"]
    row = site.rows()[serials[1], "page"]
    assert (row.events, row.event.serial) == (999, serials[-1])


def test_other_objects_and_handlers_that_want_every_event_are_not_folded() -> None:
    site = Site(PROGRAM, Handler("log", "/bin/log", event="user/fire", every=True))
    for about in ("hall", "hall", "attic"):
        site.post(about=about)
    while len(site.orders) < 6:
        before = len(site.orders)
        for order in site.orders:
            site.ends(order)
        if len(site.orders) == before:
            break
    names = [order.handler for order in site.orders]
    assert (names.count("page"), names.count("log")) == (3, 3)


def test_a_handler_that_is_far_behind_leaves_events_out_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "WAITING", 4)
    monkeypatch.setattr(desk, "CAUGHT_UP", 2)
    site = Site(PROGRAM)
    for turn in range(8):
        site.post(about=f"room {turn}")
    assert len(site.told("handler/behind")) == 1
    for turn in range(5):
        site.ends(site.orders[turn])
    assert len(site.orders) == 5
    assert site.told("handler/caught-up") == ["3 events were left out"]


def test_a_handler_runs_once_at_a_time_and_all_of_them_in_bounded_number() -> None:
    many = [Handler(f"h{n}", "/bin/x", event="user/fire") for n in range(20)]
    site = Site(*many, Handler("boss", "/bin/boss", event="event/escalation"))
    site.post(about="one")
    site.post(about="two")
    assert len(site.orders) == desk.PROGRAMS
    assert len({order.handler for order in site.orders}) == desk.PROGRAMS
    site.post("event/escalation", "h0", "it is stuck")
    assert site.orders[-1].handler == "boss"  # a place is kept for it
    site.ends(site.orders[0])
    assert len(site.orders) == desk.PROGRAMS + 2


def test_a_handler_that_fires_itself_is_slowed_down() -> None:
    site = Site(replace(PROGRAM, every=True))
    for _ in range(300):
        site.post()
    for turn in range(300):
        if turn < len(site.orders):
            site.ends(site.orders[turn])
    assert len(site.orders) == 101
    site.wait(1.0)
    for turn in range(101, 200):
        if turn < len(site.orders):
            site.ends(site.orders[turn])
    assert len(site.orders) <= 113


def test_what_ran_when_the_manager_died_runs_again_and_nothing_else_does() -> None:
    site = Site(PROGRAM)
    done, running = site.post(about="one"), site.post(about="two")
    site.ends(site.orders[0])
    waiting = site.post(about="three")
    rows = [row for row in site.rows().values() if row.state is not ErrandState.DONE]
    again = Machine(replace_errands(rows), epoch=2, now=site.now)
    again.state.desk.appoint([PROGRAM])
    [order] = ordered(again.handle(site.now, Tick()))
    assert (order.first, order.attempt) == (running, 2)
    ended = Ran(order.first, order.handler, order.attempt, Outcome.SUCCESS)
    [last] = ordered(again.handle(site.now, Handled(ended)))
    assert (last.first, last.attempt) == (waiting, 1)
    assert done not in {order.first, last.first}


def replace_errands(rows: list[Errand]) -> Any:
    from msgspec.structs import replace as changed

    return changed(EMPTY, errands=rows)


def test_what_is_lost_with_its_process_runs_again_but_not_for_ever() -> None:
    site = Site(PROGRAM)
    site.post()
    for _ in range(10):
        site.do(HandlersLost("the process that ran it ended"))
        site.wait(700)
    assert len(site.orders) == 1 + desk.LOST
    assert len(site.told("event/escalation")) == 1


def test_an_end_that_comes_late_or_twice_changes_nothing() -> None:
    site = Site(replace(PROGRAM, retries=1))
    site.post()
    site.ends(site.orders[0], Outcome.FAILED, 1)
    site.ends(site.orders[0], Outcome.FAILED, 1)
    site.wait(6)
    site.ends(site.orders[0])
    assert [order.attempt for order in site.orders] == [1, 2]
    assert len(site.rows()) == 1


def test_what_waits_for_a_handler_that_is_removed_is_dropped() -> None:
    site = Site(PROGRAM)
    site.post(about="one")
    serial = site.post(about="two")
    site.machine.state.desk.appoint([])
    site.ends(site.orders[0])
    assert site.rows()[serial, "page"].result is Outcome.DROPPED
    assert not site.told("event/escalation")


def test_an_event_is_kept_as_long_as_somebody_has_to_handle_it() -> None:
    site = Site(PROGRAM)
    serial = site.post()
    assert droppable(site.machine.state, site.now + 1e9) == (site.now + 1e9 - 90 * 86_400, serial)


@pytest.mark.parametrize(
    "handler",
    [
        Handler("mail", "/bin/x"),
        Handler("x", "relative"),
        Handler("x", "/bin/x 'open"),
        Handler("x", "/bin/x", event="no/such/thing!"),
    ],
)
def test_a_handler_that_cannot_be_is_refused(handler: Handler) -> None:
    with pytest.raises(UsageError):
        check_handler(handler)


# -- users who are told --------------------------------------------------------------------------


def run(site: Site, job: int, code: int = 0) -> None:
    alloc = site.alloc(job)
    site.start(alloc)
    site.end(alloc, code=code)


def mails(site: Site) -> list[Mail]:
    return [order.work for order in site.orders if isinstance(order.work, Mail)]


@pytest.mark.parametrize(
    ("asked", "code", "subjects"),
    [
        (("begin", "end", "fail"), 0, ["has started", "success"]),
        (("begin", "end", "fail"), 3, ["has started", "failed"]),
        (("end",), 3, ["failed"]),
        (("fail",), 0, []),
        (("fail",), 3, ["failed"]),
        (("begin",), 3, ["has started"]),
    ],
)
def test_a_user_is_mailed_when_asked_and_once(
    asked: tuple[str, ...], code: int, subjects: list[str]
) -> None:
    site = Site()
    job = site.submit(mail=asked, name="fit")
    run(site, job, code)
    for order in site.orders:
        site.ends(order)
    assert [mail.to for mail in mails(site)] == ["ann"] * len(subjects)
    for mail, part in zip(mails(site), subjects, strict=True):
        assert mail.subject.startswith(f"job {job} (fit)")
        assert part in mail.subject


def test_an_array_is_told_of_once_with_its_counts() -> None:
    site = Site()
    job = site.submit(mail=("begin", "end"), mail_to="a@b.org", array=((0, 3),))
    for index, code in enumerate((0, 0, 1, 0)):
        site.finish(job, index, code)
    for order in site.orders:
        site.ends(order)
    begin, end = mails(site)
    assert "has started" in begin.subject
    assert end.to == "a@b.org"
    assert "elements:    4\n  success:   3\n  failed:    1\n" in end.body


def test_the_first_elements_that_fail_are_told_of_one_by_one_where_that_is_asked() -> None:
    site = Site()
    job = site.submit(mail=("fail", "element"), array=((0, 29),), name="fit")
    for index in range(30):
        site.finish(job, index, 3 if index % 2 else 0)
        for order in site.orders:
            site.ends(order)
    *elements, end = mails(site)
    assert [mail.subject.partition(" (fit): failed: ")[0] for mail in elements] == [
        f"element {job}_{index}" for index in range(1, 21, 2)
    ]
    assert "exit status: 3\n" in elements[0].body
    assert ["10 have failed" in mail.body for mail in elements] == [False] * 9 + [True]
    assert "  failed:    15\n" in end.body
    rows = [w for w in saved(site.done) if isinstance(w, Event) and w.kind == "element/failed"]
    assert [(event.job, event.element) for event in rows][:2] == [(job, 1), (job, 3)]


def test_elements_are_not_told_of_unless_that_is_asked() -> None:
    site = Site()
    job = site.submit(mail=("fail",), array=((0, 1),))
    site.finish(job, 0, 3)
    assert not mails(site)
    assert not site.told("element/failed")


def test_no_mail_says_what_was_run_and_no_table_where_it_goes() -> None:
    site = Site()
    run(site, site.submit(mail=("end",), mail_to="ann@home.example"))
    [mail] = mails(site)
    assert "true" not in mail.body
    assert "home.example" not in " ".join(w.text for w in saved(site.done) if isinstance(w, Event))


def test_a_webhook_gets_begin_and_end_as_json() -> None:
    site = Site()
    run(site, site.submit(notify="https://hooks.example/T0/secret"))
    for order in site.orders:
        site.ends(order)
    hooks = [order.work for order in site.orders if isinstance(order.work, Hook)]
    assert [hook.url for hook in hooks] == ["https://hooks.example/T0/secret"] * 2
    assert '"moment":"begin","result":null' in hooks[0].body
    assert '"moment":"end","result":"success"' in hooks[1].body
    assert "secret" not in hooks[1].body


def test_a_mail_that_cannot_be_sent_is_tried_for_minutes_and_then_told_in_the_jobs_story() -> None:
    site = Site()
    job = site.submit(mail=("end",))
    run(site, job)
    turn = 0
    while turn < len(site.orders):
        site.ends(site.orders[turn], Outcome.FAILED)
        site.wait(700)
        turn += 1
    assert turn == 1 + desk.NOTICE_RETRIES
    [event] = [w for w in saved(site.done) if isinstance(w, Event) and w.kind == "notice/failed"]
    assert (event.job, event.text) == (job, "no mail tells of it: it was failed")


def test_a_flood_of_mails_to_one_address_ends_as_one_that_names_the_others() -> None:
    site = Site()
    site.greet("n2", cpus=64)
    jobs = [site.submit(mail=("end",)) for _ in range(60)]
    for job in jobs:
        alloc = site.alloc(job)
        node = site.machine.state.allocations[alloc].placements[0].node
        site.start(alloc, node)
        site.end(alloc, node)
    turn = 0
    while turn < len(site.orders):
        site.ends(site.orders[turn])
        turn += 1
    told = mails(site)
    assert len(told) == 1 + desk.SINGLY
    assert "And 39 more, which are not told one by one:\n" in told[-1].body
    assert f"job {jobs[-1]}: success" in told[-1].body


@pytest.mark.parametrize(
    "spec",
    [
        {"mail": ("never",)},
        {"mail_to": "a@b.org"},
        {"mail": ("end",), "mail_to": "a@b.org\nBcc: all@b.org"},
        {"mail": ("end",), "mail_to": "-oQ/tmp"},
        {"notify": "file:///etc/passwd"},
        {"notify": "http://user:secret@host/"},
        {"notify": "http://host/ x"},
        {"notify": "http://host:99999/"},
    ],
)
def test_what_cannot_be_told_is_refused_at_submission(spec: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Site().submit(by=ANN, **spec)
    assert "secret" not in str(caught.value)

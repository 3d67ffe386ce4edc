"""The link: any number of requests under way, over as many connections as it takes."""

import threading
from pathlib import Path

import pytest

from ostler.client.link import Link
from ostler.model.errors import Missing, NotNow, Refused, UsageError
from ostler.model.limits import MAX_FRAME
from ostler.wire import messages
from tests.unit.scripted import (
    HANG_UP,
    SILENCE,
    Answer,
    Manager,
    Request,
    manager,
    play_supervisor,
)


def echo(request: Request) -> Answer:
    assert isinstance(request, messages.Read)
    return {"ref": request.ref}


def test_answers_come_in_any_order(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        assert isinstance(request, messages.Read)
        if request.ref != "3":
            return SILENCE
        return [messages.Reply(n, {"n": n}) for n in (3, 1, 2)]

    with manager(tmp_path, answer):
        link = Link(str(tmp_path))
        numbers = [link.send("read", what="job", ref=str(i)) for i in (1, 2, 3)]
        assert [link.result(n)["n"] for n in numbers] == [1, 2, 3]
        link.close()


def test_errors_are_raised_with_all_their_parts(tmp_path: Path) -> None:
    with manager(tmp_path, lambda _: Missing("no job 7", expected="a job", hint="look")):
        link = Link(str(tmp_path))
        with pytest.raises(Missing, match=r"no job 7 \(a job\); look") as error:
            link.call("read", what="job", ref="7")
        assert (error.value.code, error.value.exit_status) == ("missing", 4)
        link.close()


def test_a_word_to_the_connection_itself_is_raised(tmp_path: Path) -> None:
    with manager(tmp_path, lambda _: [messages.Failure(0, "refused", "it belongs to bob")]):
        link = Link(str(tmp_path))
        with pytest.raises(Refused, match="belongs to bob"):
            link.call("read", what="status")
        link.close()


def test_what_has_no_answer_is_repeated_on_the_next_connection_in_order(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    seen: list[str] = []

    def answer(request: Request) -> Answer:
        assert isinstance(request, messages.Read)
        seen.append(request.ref)
        if len(seen) == 3:
            return HANG_UP
        return SILENCE if len(seen) == 2 else {"ref": request.ref}

    with manager(tmp_path, answer):
        link = Link(str(tmp_path))
        numbers = [link.send("read", what="job", ref=ref) for ref in "abc"]
        assert [link.result(n)["ref"] for n in numbers] == ["a", "b", "c"]
        assert link.generation == 2
        link.close()
    assert seen == ["a", "b", "c", "b", "c"]


def test_a_manager_that_is_being_started_is_waited_for(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    started: list[Manager] = []

    def start() -> None:
        started.append(Manager(tmp_path, echo))

    timer = threading.Timer(0.1, start)
    timer.start()
    link = Link(str(tmp_path))
    assert link.call("read", what="job", ref="x") == {"ref": "x"}
    link.close()
    timer.join()
    started[0].close()


def test_a_restarted_manager_gets_what_the_old_one_left_unanswered(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    first = Manager(tmp_path, lambda _: SILENCE)
    link = Link(str(tmp_path))
    number = link.send("read", what="job", ref="x")
    first.await_requests(1)
    first.close()
    with manager(tmp_path, echo) as second:
        assert link.result(number) == {"ref": "x"}
        assert len(second.requests) == 1
    link.close()


def test_no_machine_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match=f"no machine is up at {tmp_path}; start one with `ostler up`"):
        Link(str(tmp_path))


def test_a_dead_supervisors_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "supervisor.json").write_text('{"pid": 1, "start_time": 1}')
    with pytest.raises(NotNow, match="no machine is up"):
        Link(str(tmp_path))


def test_patience_ends(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    with pytest.raises(NotNow, match=r"does not answer .*manager\.log"):
        Link(str(tmp_path), patience=0.05)


def test_a_manager_that_only_hangs_up_is_given_up(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    with manager(tmp_path, lambda _: HANG_UP):
        link = Link(str(tmp_path), patience=0.3)
        with pytest.raises(NotNow, match="does not answer"):
            link.call("read", what="status")
        link.close()


def test_many_large_requests_do_not_block_either_side(tmp_path: Path) -> None:
    """Both sockets are full while both sides write: the link must read meanwhile."""
    text = "x" * 20_000

    def answer(request: Request) -> Answer:
        assert isinstance(request, messages.Read)
        return {"ref": request.ref, "text": text}

    with manager(tmp_path, answer):
        link = Link(str(tmp_path))
        numbers = [link.send("read", what="job", ref=f"{i}{text}") for i in range(300)]
        for i, number in enumerate(numbers):
            assert link.result(number)["ref"].startswith(str(i))
        link.close()


def test_a_request_that_no_frame_holds_is_refused_here(tmp_path: Path) -> None:
    with manager(tmp_path, echo) as made:
        link = Link(str(tmp_path))
        with pytest.raises(UsageError, match="too large"):
            link.send("read", what="job", ref="x" * (MAX_FRAME + 1))
        assert link.call("read", what="job", ref="y") == {"ref": "y"}
        assert len(made.requests) == 1
        link.close()


def test_news_is_kept_by_request(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        number = getattr(request, "id", 0)
        return [messages.Reply(number, {}), messages.News(number, {"serial": 1})]

    with manager(tmp_path, answer):
        link = Link(str(tmp_path))
        number = link.send("follow", since=0)
        while not (news := link.news(number)):
            link.pump(None)
        assert news == [{"serial": 1}]
        assert link.news(number) == []
        link.close()

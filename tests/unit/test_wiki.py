"""WIKI's frames and words, held to vectors that were made with, or seen from, Maui 3.3.1."""

import pytest

from ostler.wire.wiki import (
    CHECKSUM,
    CLOCK,
    HEADER,
    MALFORMED,
    MAX_REQUEST,
    SHORT,
    Malformed,
    check_time,
    checksum,
    open_up,
    pack,
    read_key,
    size_of,
)
from ostler.wire.wiki_records import Node, format_node, parse_job, parse_node
from ostler.wire.wiki_words import (
    CancelJob,
    GetJobs,
    GetNodes,
    Reply,
    Request,
    ResumeJob,
    StartJob,
    SuspendJob,
    format_reply,
    format_request,
    parse_reply,
    parse_request,
)

SUMS = [
    (0, b"", "6f66d859d6cc931c"),
    (42, b"", "8767d60c74d00ee6"),
    (0, b"123456789", "bbca8d8b0a9c9dc3"),
    (42, b"123456789", "5d297c8151b86f7b"),
    (-1, b"123456789", "da85a61c60f3ab97"),
    (2**32 - 1, b"123456789", "da85a61c60f3ab97"),
    (42, b"\xe9", "605c66759d7d371d"),
    (1, b"TS=0 AUTH=x DT=", "eacb10b320a9c1b5"),
]
REQUESTS: list[tuple[int, int, str, Request, bytes]] = [
    (
        42, 1000000000, "root", GetNodes(),
        b"00000069\nCK=1d676509d97b68d1 TS=1000000000 AUTH=root DT=CMD=GETNODES ARG=0:ALL",
    ),
    (
        42, 1000000000, "root", GetJobs(),
        b"00000068\nCK=d17e24faf795dddf TS=1000000000 AUTH=root DT=CMD=GETJOBS ARG=0:ALL",
    ),
    (
        42, 1700000000, "maui", StartJob("job.7", ("n1", "n1", "n2")),
        (b"00000087\nCK=1e18d821945c263d TS=1700000000 AUTH=maui"
        b" DT=CMD=STARTJOB ARG=job.7 TASKLIST=n1:n1:n2"),
    ),
    (
        42, 1700000000, "maui", CancelJob("job.7", overdue=True),
        (b"00000085\nCK=281f88c5e086ccdc TS=1700000000 AUTH=maui"
        b" DT=CMD=CANCELJOB ARG=job.7 TYPE=WALLCLOCK"),
    ),
    (
        0x1234ABCD, 1700000001, "ostler", SuspendJob("job.7"),
        b"00000073\nCK=2865a9f0186ea44c TS=1700000001 AUTH=ostler DT=CMD=SUSPENDJOB ARG=job.7",
    ),
    (
        4294967295, 1700000001, "ostler", ResumeJob("job.7"),
        b"00000072\nCK=902b5a91cf1cb892 TS=1700000001 AUTH=ostler DT=CMD=RESUMEJOB ARG=job.7",
    ),
    # The next three were captured from a Maui 3.3.1 that was built with key 42.
    (
        42, 1795223218, "root", StartJob("1", ("n1", "n1")),
        (b"00000080\nCK=e0db5db7deeb4102 TS=1795223218 AUTH=root"
        b" DT=CMD=STARTJOB ARG=1 TASKLIST=n1:n1"),
    ),
    (
        42, 1795223408, "root", CancelJob("3"),
        (b"00000077\nCK=46ab0cd54127ea36 TS=1795223408 AUTH=root"
        b" DT=CMD=CANCELJOB ARG=3 TYPE=ADMIN"),
    ),
    (
        42, 1795223400, "root", SuspendJob("3"),
        b"00000067\nCK=cf895aaa6004ca2a TS=1795223400 AUTH=root DT=CMD=SUSPENDJOB ARG=3",
    ),
]  # fmt: skip
TWO_NODES = (
    42, 1700000002,
    (b"00000121\nCK=6367578e9cf14fa2 TS=1700000002 AUTH=ostler"
    b" DT=SC=0 ARG=2#n1:STATE=Idle;CPROC=2;APROC=2;#n2:STATE=Down;CPROC=2;APROC=0;"),
)  # fmt: skip
REFUSAL = b"00000075\nCK=a55714c007afab93 TS=1700000002 AUTH=ostler DT=SC=-1 RESPONSE=no such job"
ESCAPED = (
    b"00000103\nCK=59a79b378d8cbbd3 TS=1700000003 AUTH=ostler"
    b" DT=SC=0 ARG=1#j\\#1:STATE=Idle;UNAME=u;TASKS=1;WCLIMIT=60;"
)


@pytest.mark.parametrize(("key", "data", "expected"), SUMS)
def test_checksums_are_those_of_maui(key: int, data: bytes, expected: str) -> None:
    assert checksum(key, data) == expected


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b"42", 42), (b"0x2a", 42), (b"052", 42), (b"42abc", 42), (b"abc", 0), (b"", 0),
        (b" 42\n", 42), (b"-1", 2**32 - 1), (b"4294967338", 42), (b"0", 0), (b"09", 0),
    ],
)  # fmt: skip
def test_the_text_of_a_key_is_read_as_c_reads_integers(text: bytes, key: int) -> None:
    assert read_key(text) == key


@pytest.mark.parametrize(("key", "at", "user", "request_", "frame"), REQUESTS)
def test_requests_are_mauis_own_byte_for_byte(
    key: int, at: int, user: str, request_: Request, frame: bytes
) -> None:
    assert pack(format_request(request_), key, user, at) == frame
    assert size_of(frame[:HEADER], MAX_REQUEST) == len(frame) - HEADER
    opened = open_up(frame[HEADER:], key)
    assert (opened.at, opened.user) == (at, user)
    assert parse_request(opened.data) == request_


def test_replies_are_read_and_written_as_published() -> None:
    key, at, frame = TWO_NODES
    opened = open_up(frame[HEADER:], key)
    reply = parse_reply(opened.data)
    assert reply.records is not None
    nodes = [parse_node(*record) for record in reply.records]
    assert [(n.name, n.state, n.cpus, n.free_cpus) for n in nodes] == [
        ("n1", "Idle", 2, 2),
        ("n2", "Down", 2, 0),
    ]
    assert pack(format_reply(Reply(0, "", reply.records)), key, "ostler", at) == frame
    refused = parse_reply(open_up(REFUSAL[HEADER:], 42).data)
    assert refused == Reply(-1, "no such job")


def test_an_escaped_mark_is_part_of_a_name() -> None:
    reply = parse_reply(open_up(ESCAPED[HEADER:], 0).data)
    assert reply.records is not None
    job = parse_job(*reply.records[0])
    assert (job.id, job.state, job.user, job.tasks, job.time_limit) == ("j#1", "Idle", "u", 1, 60)
    assert pack(format_reply(Reply(0, "", reply.records)), 0, "ostler", 1700000003) == ESCAPED


def test_a_nul_ends_a_payload_before_it_is_checked() -> None:
    payload = REQUESTS[0][4][HEADER:]
    assert open_up(payload + b"\0anything", 42) == open_up(payload, 42)
    signed = payload[payload.index(b"TS=") :] + b"\0"
    wrong = b"CK=%s %s" % (checksum(42, signed).encode(), signed)
    with pytest.raises(Malformed, match="checksum"):
        open_up(wrong, 42)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"GET / HTT", MALFORMED), (b"00000000\n", MALFORMED), (b"-0000001\n", MALFORMED),
        (b"01048577\n", MALFORMED), (b"99999999\n", MALFORMED), (b"0000", SHORT), (b"", SHORT),
    ],
)  # fmt: skip
def test_headers_that_are_none(header: bytes, code: int) -> None:
    with pytest.raises(Malformed) as caught:
        size_of(header, MAX_REQUEST)
    assert caught.value.code == code


def test_the_ninth_byte_says_nothing() -> None:
    assert {size_of(b"00000012" + mark, 20) for mark in (b"\n", b" ", b"X")} == {12}


def test_another_key_and_another_text_are_refused() -> None:
    payload = REQUESTS[0][4][HEADER:]
    for key, body in ((43, payload), (42, payload.replace(b"0:ALL", b"1:ALL"))):
        with pytest.raises(Malformed, match="checksum is wrong") as caught:
            open_up(body, key)
        assert caught.value.code == CHECKSUM


def test_signed_and_unsigned_do_not_pass_for_each_other() -> None:
    with pytest.raises(Malformed, match="not signed"):
        open_up(b"CMD=GETJOBS ARG=0:ALL", 42)
    with pytest.raises(Malformed, match="no key"):
        open_up(REQUESTS[0][4][HEADER:], None)
    assert open_up(b"CMD=GETJOBS ARG=0:ALL", None).data == "CMD=GETJOBS ARG=0:ALL"


def test_the_clocks_may_differ_by_the_window_and_no_second_more() -> None:
    for at in (700, 1300):
        check_time(at, 1000.0, 300.0)
    for at in (699, 1301):
        with pytest.raises(Malformed, match="made 301 s") as caught:
            check_time(at, 1000.0, 300.0)
        assert caught.value.code == CLOCK
    check_time(None, 1000.0, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "", "CMD=", "CMD=FORMAT ARG=1", "CMD=GETNODES", "CMD=GETNODES ARG=ALL",
        "CMD=GETNODES ARG=-1:ALL", "CMD=GETJOBS ARG=0:", "CMD=STARTJOB ARG=1", "CMD=STARTJOB",
        "CMD=STARTJOB ARG=1 TASKLIST=n1::n2", "CMD=STARTJOB ARG=" + "j" * 64 + " TASKLIST=n1",
        "CMD=CANCELJOB TYPE=ADMIN", "CMD=SUSPENDJOB ARG=a;b",
    ],
)  # fmt: skip
def test_requests_that_are_none(text: str) -> None:
    with pytest.raises(Malformed):
        parse_request(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ARG=1#n1:STATE=Idle;", "SC="),
        ("SC=0 ARG=2#n1:STATE=Idle;", "announces 2 records and has 1"),
        ("SC=0 ARG=1#n1:STATE=Idle;#n2:STATE=Idle;", "announces 1 records and has 2"),
        ("SC=0 ARG=2#n1:STATE=Idle;#n1:STATE=Down;", "one name twice"),
        ("SC=0 ARG=2#n1:STATE=Idle;#n2:STATE=Id", "ends within a field"),
        ("SC=0 ARG=1#n1:STATE;", "without a value"),
        ("SC=0 ARG=1#n1", "without a name"),
        ('SC=0 ARG=1#n1:OS="a;', "quotation"),
    ],
)
def test_a_reply_with_a_fault_is_worthless_as_a_whole(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_reply(text)


def test_quotes_hide_separators_and_a_text_bears_no_words_of_the_protocol() -> None:
    assert parse_reply('SC=0 ARG=1#j:ARGS="a;b#c:d";').records == (("j", {"ARGS": "a;b#c:d"}),)
    told = format_reply(Reply(-1, "n1 is busy; SC=0 ARG=1#j:STATE=Idle;\n"))
    assert told == (
        "SC=-1 RESPONSE=n1 is busy SC 0 ARG 1 j STATE Idle RSP=n1 is busy SC 0 ARG 1 j STATE Idle"
    )
    assert parse_reply(told).status == -1


def test_a_node_tells_its_state_first_and_nothing_empty() -> None:
    node = Node("n1", "Running", cpus=4, free_cpus=1, memory=8 << 30, classes=("main",))
    name, fields = format_node(node)
    text = format_reply(Reply(0, "", ((name, fields),)))
    assert text == (
        "SC=0 ARG=1#n1:STATE=Running;CPROC=4;APROC=1;CMEMORY=8192;AMEMORY=8192;"
        "CCLASS=[main:4];ACLASS=[main:1];"
    )
    assert "=;" not in text

"""WIKI's words come back as they were said, and hostile ones are refused in one way."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostler.wire.wiki import MAX_REQUEST, Malformed, open_up, pack, size_of
from ostler.wire.wiki_records import (
    JOB_WORDS,
    NODE_WORDS,
    Job,
    Node,
    format_job,
    format_node,
    parse_job,
    parse_node,
)
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

NAMES = st.from_regex(r"[A-Za-z0-9._@+/-]{1,63}", fullmatch=True)
LISTS = st.lists(NAMES.filter(lambda name: name != "ALL"), min_size=1, max_size=5).map(tuple)
TIMES = st.integers(0, 2**40)
REQUESTS = st.one_of(
    st.builds(GetNodes, st.integers(0, 10**11), st.just(()) | LISTS),
    st.builds(GetJobs, st.integers(0, 10**11), st.just(()) | LISTS),
    st.builds(StartJob, NAMES, LISTS),
    st.builds(CancelJob, NAMES, st.booleans()),
    st.builds(SuspendJob, NAMES),
    st.builds(ResumeJob, NAMES),
)
MEMORY = st.integers(0, 1 << 20).map(lambda mb: mb << 20)
SAID = st.text("abc #;:.-=", max_size=20)
NODES = st.builds(
    Node,
    name=st.text("ab1#:;.", min_size=1, max_size=9),
    state=st.sampled_from(NODE_WORDS),
    cpus=st.integers(0, 4096),
    free_cpus=st.integers(0, 4096),
    memory=MEMORY,
    classes=LISTS.map(lambda names: tuple(n.replace("/", "") or "q" for n in names)),
    features=LISTS,
    os=SAID,
    partition=SAID,
    updated=TIMES,
)
JOBS = st.builds(
    Job,
    id=NAMES,
    state=st.sampled_from(JOB_WORDS),
    user=NAMES,
    group=NAMES,
    tasks=st.integers(1, 4096),
    time_limit=TIMES,
    submitted_at=TIMES,
    started_at=TIMES,
    ended_at=TIMES,
    task_list=st.just(()) | LISTS,
    host_list=st.just(()) | LISTS,
    nodes=st.integers(0, 100),
    cpus=st.integers(1, 64),
    memory=MEMORY,
    features=st.just(()) | LISTS,
    project=SAID,
    message=SAID,
)
# Bytes that look like WIKI, so that more than the first check sees them.
PIECES = st.sampled_from(
    ["SC=0 ", "ARG=", "1", "2#", "#", ":", ";", "\\", '"', "n1", "STATE=", "Idle;", "CMD=GETJOBS ",
     "CK=", "TS=1 ", "DT=", "AUTH=x ", "\0", "TASKS=9e9;", "\u2028", "CPROC=-1;", " "]
)  # fmt: skip
few = settings(max_examples=12)  # each is drawn from dozens of fields
HOSTILE = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60)


@few
@given(REQUESTS, st.none() | st.integers(-(2**31), 2**32), NAMES, st.integers(0, 10**11))
def test_requests_come_back(request: Request, key: int | None, user: str, now: int) -> None:
    frame = pack(format_request(request), key, user, now)
    assert size_of(frame[:9], MAX_REQUEST) == len(frame) - 9
    assert parse_request(open_up(frame[9:], key).data) == request


@few
@given(st.lists(NODES, unique_by=lambda node: node.name, max_size=6))
def test_nodes_come_back(nodes: list[Node]) -> None:
    reply = parse_reply(format_reply(Reply(0, "", tuple(map(format_node, nodes)))))
    read = [parse_node(*record) for record in reply.records or ()]
    for node, again in zip(nodes, read, strict=True):
        same = (node.name, node.state, node.cpus, node.free_cpus, node.memory, node.features)
        assert same == (
            again.name, again.state, again.cpus, again.free_cpus, again.memory, again.features
        )  # fmt: skip
        assert (node.os, node.partition, node.updated) == (again.os, again.partition, again.updated)
        assert node.classes == again.classes


@few
@given(st.lists(JOBS, unique_by=lambda job: job.id, max_size=6))
def test_jobs_come_back(jobs: list[Job]) -> None:
    reply = parse_reply(format_reply(Reply(0, "", tuple(map(format_job, jobs)))))
    assert [parse_job(*record) for record in reply.records or ()] == jobs


@settings(max_examples=60)
@given(HOSTILE, st.none() | st.just(42))
def test_any_text_is_read_or_malformed(text: str, key: int | None) -> None:
    data = text.encode()
    for read in (
        lambda: size_of(data, MAX_REQUEST),
        lambda: open_up(data, key),
        lambda: parse_request(text),
        lambda: [
            (parse_node(*record), parse_job(*record)) for record in parse_reply(text).records or ()
        ],
    ):
        with contextlib.suppress(Malformed):
            read()


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    for key in (None, 7):
        with contextlib.suppress(Malformed):
            size_of(data, 100)
        with contextlib.suppress(Malformed):
            open_up(data, key)


@pytest.mark.parametrize("piece", ["\\:", '"#"', "#", ";", ":", "\\#", "a=;", "1 ", "CK=", "[a:1]"])
def test_much_of_one_thing_takes_no_more_than_its_length(piece: str) -> None:
    """With time that grows as the square of the length, this would not end."""
    text = piece * (100_000 // len(piece))
    for read in (
        lambda: parse_reply("SC=0 ARG=1#" + text),
        lambda: parse_reply("SC=0 ARG=1#n1:A=" + text + ";"),
        lambda: parse_request("CMD=STARTJOB ARG=1 TASKLIST=" + text),
        lambda: open_up(b"CK=0123456789abcdef TS=1 AUTH=" + text.encode(), 1),
        lambda: parse_node("n1", {"CCLASS": "[" + text, "FEATURE": text, "CPROC": text}),
    ):
        with contextlib.suppress(Malformed):
            read()

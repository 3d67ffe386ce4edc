"""Reading workload traces: what is kept, what is dropped and counted, what is wrong and where."""

import gzip
import os
import threading
from pathlib import Path

import pytest

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_TRACE_LINE
from ostler.sim.swf import Trace, read, scaled
from tests.unit.swf_kit import job, written


def columns(trace: Trace) -> list[tuple[int, ...]]:
    every = (trace.numbers, trace.submits, trace.runs, trace.estimates, trace.sizes)
    return list(zip(*every, strict=True))


@pytest.mark.parametrize("how", ["plain", "gzip"])
def test_a_job_has_what_its_fields_say(tmp_path: Path, how: str) -> None:
    name = written(tmp_path / "t", job(5, 30, 60, 4, 100), packed=how == "gzip")
    trace = read(name)
    assert columns(trace) == [(5, 30, 60, 100, 4)]
    assert (trace.procs, trace.dropped, trace.name) == (10, {}, name)
    assert trace.header == {"Version": "2.2", "MaxProcs": "10"}


def test_a_trace_comes_through_a_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    data = gzip.compress(f"; MaxProcs: 4\n{job()}\n".encode())
    writer = threading.Thread(target=fifo.write_bytes, args=[data])
    writer.start()
    assert len(read(str(fifo))) == 1
    writer.join()


def test_the_allocated_processors_count_where_none_were_requested(tmp_path: Path) -> None:
    assert [*read(written(tmp_path / "t", job(size=-1, allocated=3))).sizes] == [3]


def test_a_job_ends_at_its_limit(tmp_path: Path) -> None:
    assert [*read(written(tmp_path / "t", job(run=500, estimate=100))).runs] == [100]


def test_arrival_order_is_by_submit_time_and_then_as_in_the_file(tmp_path: Path) -> None:
    lines = [job(1, 20), job(2, 10), job(3, 20), job(4, 10)]
    assert [*read(written(tmp_path / "t", *lines)).numbers] == [2, 4, 1, 3]


def test_what_cannot_run_is_dropped_and_counted_by_the_first_reason(tmp_path: Path) -> None:
    lines = [
        job(1),
        job(2, run=0, estimate=-1),
        job(3, run=-1),
        job(4, estimate=0),
        job(5, size=0, allocated=0),
        job(6, size=11),
        job(7, submit=-1),
    ]
    trace = read(written(tmp_path / "t", *lines))
    assert [*trace.numbers] == [1]
    assert trace.dropped == {
        "run_time": 2,
        "requested_time": 1,
        "size": 1,
        "too_large": 1,
        "submit_time": 1,
    }


def test_fractions_of_a_second_are_cut_off(tmp_path: Path) -> None:
    line = job(1, 10.9, 60.5, 2, 1e2)
    assert columns(read(written(tmp_path / "t", line))) == [(1, 10, 60, 100, 2)]


def test_a_size_that_is_given_replaces_that_of_the_header(tmp_path: Path) -> None:
    trace = read(written(tmp_path / "t", job(1, size=4), job(2, size=3)), 3)
    assert ([*trace.numbers], trace.procs) == ([2], 3)
    assert read(written(tmp_path / "u", job(), procs=None), 3).procs == 3
    assert read(written(tmp_path / "v", "; MaxProcs: many", job(), procs=None), 3).procs == 3


def test_a_time_that_no_machine_outlives_is_no_limit(tmp_path: Path) -> None:
    endless = [job(1, estimate=(1 << 63) - 1), job(2, run=1e30, estimate=1e300), job(3, size=1e99)]
    trace = read(written(tmp_path / "t", *endless))
    assert columns(trace) == [(1, 0, 60, 1 << 40, 1), (2, 0, 1 << 40, 1 << 40, 1)]
    assert trace.dropped == {"too_large": 1}


def test_numbers_of_jobs_may_be_long(tmp_path: Path) -> None:
    numbers = [2009_0101_1234_5678, -1]
    assert [*read(written(tmp_path / "t", *map(job, numbers))).numbers] == numbers


@pytest.mark.parametrize(
    "told", ["128", "128 ", "128 (of which 4 are for logins)", "128;", "128, in 2 parts", "128."]
)
def test_words_may_follow_the_number_of_processors(tmp_path: Path, told: str) -> None:
    name = written(tmp_path / "t", f"; MaxProcs: {told}", job(), procs=None)
    assert read(name).procs == 128


def test_comments_empty_lines_and_other_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "t"
    comment = "; " + " ".join(map(str, range(20)))
    text = f"\ufeff;MaxProcs: 4\r\n{comment}\r\n\r\n {job()}\r\n;\r\n  ; MaxProcs: 9\n{job(2)} 19"
    path.write_bytes(text.encode())
    trace = read(str(path))
    assert ([*trace.numbers], trace.procs) == ([1, 2], 4)


def test_names_in_a_header_may_be_in_an_older_code(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(f"; Computer: Blåhaj\n; MaxProcs: 4\n{job()}\n".encode("latin-1"))
    assert read(str(path)).header["Computer"] == "Blåhaj"


def test_all_of_a_trace_larger_than_a_chunk_is_read(tmp_path: Path) -> None:
    name = written(tmp_path / "t", *(job(n, n) for n in range(20_000)), packed=True)
    assert [*read(name).numbers] == [*range(20_000)]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["1 2 3"], r"t:3: '1 2 3' has 3 fields \(18 numbers, or a comment that begins with ;\)"),
        ([job(), "", "job 1"], "t:5: 'job 1' has 2 fields"),
        ([" ".join(["x"] * 18)], r"t:3: field 1 \(job number\) is 'x' \(a number\)"),
        ([job(run=float("nan"))], r"field 4 \(run time\) is 'nan' \(a number\)"),
        ([job(run=float("inf"))], r"field 4 \(run time\) is 'inf' \(a number\)"),
        ([job().replace("60", "6_0")], r"t:3: field 4 \(run time\) is '6_0' \(a number\)"),
        ([job().replace("60", "0x3c")], "field 4"),
        ([job(-(10**20))], r"field 1 \(job number\) is '-10+' \(\d+ at most\)"),
        ([job(submit=1 << 41)], r"field 2 \(submit time\) is '\d+' \(\d+ at most\)"),
        ([job(submit=1e300)], r"field 2 \(submit time\) is '1e\+300' \(\d+ at most\)"),
        (["x" * 100], r"'x{40}…' has 1 fields"),
        ([], "t: there are no jobs in it"),
        ([job(size=11)], r"none of its jobs can be run on 10 processors \(1 larger .*--procs N"),
        ([job(run=0)], r"none of its jobs can be run on 10 processors \(1 without a run time\)$"),
        ([job(estimate=-1)], r"\(1 without a requested time\); policies plan by it; .* field 9"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, lines: list[str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(written(tmp_path / "t", *lines))


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([job()], r"t:1: its header does not tell MaxProcs.*give it with --procs N$"),
        (["; MaxProcs: -1", job()], "t:2: its header does not tell MaxProcs"),
        (["; MaxNodes: 16", job()], "MaxNodes is 16$"),
        ([job(), "; MaxProcs: 10"], "t:1: its header does not tell MaxProcs"),
        (["; MaxProcs: 80,640", job()], r"t:1: MaxProcs is '80,640' .*--procs N takes its place"),
        (["; MaxProcs: many", job()], "t:1: MaxProcs is 'many'"),
        (["; MaxProcs: 16 x 8", job()], "t:1: MaxProcs is '16 x 8'"),
        (["; MaxProcs: 128-256", job()], "t:1: MaxProcs is '128-256'"),
    ],
)
def test_the_size_of_the_machine_must_be_known(
    tmp_path: Path, lines: list[str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(written(tmp_path / "t", *lines, procs=None))


@pytest.mark.parametrize("word", ["oops", "6_0"])
def test_the_line_is_right_beyond_the_first_chunk(tmp_path: Path, word: str) -> None:
    lines = [job(n, n) for n in range(9_000)]
    lines[8_000] = lines[8_000].replace("60", word)
    with pytest.raises(UsageError, match=rf":8003: field 4 \(run time\) is '{word}'"):
        read(written(tmp_path / "t", *lines))


PACKED = gzip.compress(f"; MaxProcs: 4\n{job()}\n".encode() * 50)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "there are no jobs"),
        (PACKED[:-9], "it is cut off: its gzip data have no end; copy or fetch it again"),
        (PACKED[:40] + b"\xff\xff" + PACKED[42:], r"it is damaged: .* \(gzip\)"),
        (PACKED + b"more", "it is damaged"),
        (b"BZh91AY&SY", "packed in a way .*; unpack it first, with bunzip2"),
        (b"\xfd7zXZ\0", "with unxz"),
        (f"; MaxProcs: 4\n{job()}\n".encode("utf-16"), "it is text in UTF-16"),
        (b"\x7fELF\2\1\1\0\0", "it is no text"),
        (b"; MaxProcs: 4\n" + b"1 " * MAX_TRACE_LINE * 4, "t:2: the line is too long"),
        (b"; " + b"x" * MAX_TRACE_LINE + b"\n", "t:1: the line is too long"),
        (b"1\r" * 10, "t:1: .* has 10 fields"),
    ],
)
def test_a_file_that_is_no_trace_is_told_as_what_it_is(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    path = tmp_path / "t"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=sentence):
        read(str(path))


def test_a_name_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="Is a directory"):
        read(str(tmp_path))
    with pytest.raises(UsageError, match="cannot be read"):
        read("a\0b")


def test_a_higher_load_brings_the_same_jobs_in_less_time(tmp_path: Path) -> None:
    lines = [job(n, submit) for n, submit in enumerate((100, 100, 101, 130, 131))]
    trace = read(written(tmp_path / "t", *lines))
    dense = scaled(trace, 2.0)
    assert [*dense.submits] == [100, 100, 100, 115, 116]  # ties to even, each from the first
    assert (dense.runs, dense.sizes, dense.numbers) == (trace.runs, trace.sizes, trace.numbers)
    assert [*scaled(trace, 0.5).submits] == [100, 100, 102, 160, 162]


def test_the_offered_load_is_the_work_that_arrives_for_each_second_of_the_machine(
    tmp_path: Path,
) -> None:
    trace = read(written(tmp_path / "t", job(1, 0, 50, 4), job(2, 100, 25, 8)))
    assert trace.offered_load() == (50 * 4 + 25 * 8) / (100 * 10)
    assert scaled(trace, 2.0).offered_load() == 2 * trace.offered_load()


def test_a_trace_is_described_with_what_is_known_of_it(tmp_path: Path) -> None:
    one = read(written(tmp_path / "one", job()))
    assert one.described() == "1 job on 10 processors"
    header = "; Computer: IBM\x1b SP2"
    two = read(written(tmp_path / "two", header, job(1, 0, 50, 4), job(2, 100, 25, 8)))
    assert two.described() == "2 jobs on 10 processors of IBM SP2, offered load 0.400"

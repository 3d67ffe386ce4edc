"""Any bytes are a trace or are refused with a sentence, and every kept job can run."""

import gzip
import tempfile

from hypothesis import example, given
from hypothesis import strategies as st

from ostler.model.errors import OstlerError
from ostler.sim.swf import Trace, read

NUMBERS = st.one_of(
    st.integers(-3, 12).map(str),
    st.sampled_from(["1.5", "-0.5", "1e3", "1e999", "nan", "_", "1_0", "+7", "9" * 30, ".", "x"]),
)
LINES = st.one_of(
    st.lists(NUMBERS, min_size=16, max_size=20).map(" ".join),
    st.lists(st.integers(-1, 12).map(str), min_size=18, max_size=18).map(" ".join),
    st.sampled_from(["", "; MaxProcs: 8", "; MaxProcs: x", "; Note: y", ";", "\0", "\r"]),
    st.text(max_size=30),
)
TEXTS = st.lists(LINES, max_size=30).map(lambda lines: "\n".join(lines).encode())
FILES = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: b"; MaxProcs: 10\n" + text),
    TEXTS.map(gzip.compress),
    st.tuples(TEXTS.map(gzip.compress), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda tail: b"\x1f\x8b\x08" + tail),
)


def trace_of(data: bytes) -> Trace | OstlerError:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            return read(file.name)
        except OstlerError as error:
            return error


@given(FILES)
@example(b"")
@example(b"; MaxProcs: 8\n" + b"1 " * 18)
def test_any_bytes_are_a_trace_or_are_refused(data: bytes) -> None:
    trace = trace_of(data)
    if isinstance(trace, OstlerError):
        assert trace.message
        assert trace.exit_status == 2
        return
    assert len(trace) > 0
    assert [*trace.submits] == sorted(trace.submits)
    assert min(trace.submits) >= 0
    assert min(trace.sizes) >= 1
    assert max(trace.sizes) <= trace.procs
    assert min(trace.runs) >= 1
    assert all(run <= most for run, most in zip(trace.runs, trace.estimates, strict=True))

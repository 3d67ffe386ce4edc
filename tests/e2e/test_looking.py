"""What people look at: output while it is written, progress, completion, on a real machine."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ostler.client.link import Link
from tests.e2e.machine_kit import OSTLER, PATIENCE, Host

GATED = "echo begun $OSTLER_ELEMENT; while [ ! -e gate ]; do sleep 0.05; done; printf ended"


@contextmanager
def following(host: Host, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [OSTLER, "--state", str(host.state), "logs", "-f", *words],
        cwd=host.work,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def test_output_is_shown_while_it_is_written_and_to_its_end(host: Host) -> None:
    ident = host.submit("--", "sh", "-c", GATED)
    with following(host, ident) as shown:
        assert line(shown) == b"begun\n"
        host.kill("manager")
        (host.work / "gate").touch()
        rest, _ = shown.communicate(timeout=PATIENCE)
    assert rest == b"ended"
    assert shown.returncode == 0


def test_elements_are_shown_together_with_their_labels(host: Host) -> None:
    ident = host.submit("--array", "0-2", "--", "sh", "-c", GATED)
    with following(host, ident) as shown:
        begun = {line(shown), line(shown)}
        (host.work / "gate").touch()
        rest, _ = shown.communicate(timeout=PATIENCE)
    lines = [*begun, *rest.splitlines(keepends=True)]
    expected = [f"{ident}_{n}: {word}\n" for n in range(3) for word in (f"begun {n}", "ended")]
    assert sorted(lines) == sorted(text.encode() for text in expected)
    assert host.ostler("logs", f"{ident}_1").stdout == "begun 1\nended"


def test_the_files_of_all_tasks_are_shown(host: Host) -> None:
    ident = host.submit("-n", "2", "-o", "%j-%t", "--", "sh", "-c", "echo $OSTLER_RANK")
    host.ostler("wait", ident)
    assert host.ostler("logs", "-l", ident).stdout == f"{ident} task 0: 0\n{ident} task 1: 1\n"


def test_the_counts_of_an_array_are_read_without_its_elements(host: Host) -> None:
    ident = host.submit("--array", "0-9", "--", "sh", "-c", "test $OSTLER_ELEMENT -lt 7")
    host.ostler("wait", ident, check=False)
    link = Link(str(host.state))
    rows = [
        link.call("read", what="job", ref=ref, options={"brief": True})["jobs"][0]
        for ref in (ident, f"{ident}_[5-8]")
    ]
    link.close()
    assert [row["elements_by_result"] for row in rows] == [
        {"success": 7, "failed": 3},
        {"success": 2, "failed": 2},
    ]
    assert [(row["elements"], row["elements_done"]) for row in rows] == [(10, 10), (4, 4)]
    assert all("element_rows" not in row for row in rows)

"""Every verb that people use on jobs, on a real machine."""

import json
from pathlib import Path

import pytest

from ostler.cli.columns import COLUMNS, NOUNS
from tests.e2e.machine_kit import Host, eventually


def test_a_script_carries_its_options_and_its_output_lands_in_the_folder(host: Host) -> None:
    script = host.work / "job.sh"
    script.write_text(
        "#!/bin/sh\n#SBATCH -n 1 -t 5 -J fit\n#OSTLER -c 2\necho $OSTLER_CPUS from $1\n"
    )
    ident = host.submit(str(script), "here")
    host.ostler("wait", ident)
    row = host.job(ident)
    assert (row["name"], row["cpus"], row["time_limit_seconds"]) == ("fit", 2, 300)
    assert (host.work / f"ostler-{ident}.out").read_text().endswith("from here\n")
    assert host.ostler("logs", ident).stdout.endswith("from here\n")


def test_an_element_for_each_line_of_a_file(host: Host) -> None:
    (host.work / "items").write_text("one\ntwo\nthree\n")
    ident = host.submit("--each", "items", "-o", "out-%a", "--", "sh", "-c", "echo $OSTLER_ITEM")
    host.ostler("wait", ident)
    assert [(host.work / f"out-{i}").read_text() for i in range(3)] == ["one\n", "two\n", "three\n"]


def test_a_dependent_job_waits_and_explain_says_for_what(host: Host) -> None:
    gate = host.work / "gate"
    first = host.submit("--", "sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    second = host.submit("--after", f"{first}:ok", "--", "true")
    told = host.json("explain", second)
    assert told["rule"] == "dependency"
    assert first in told["blockers"]
    gate.touch()
    host.ostler("wait", first, second)
    assert host.job(second)["result"] == "success"


def test_explain_says_why_elements_failed(host: Host) -> None:
    ident = host.submit("--array", "0-9", "--", "sh", "-c", "exit $((OSTLER_ELEMENT / 8 * 3))")
    host.ostler("wait", ident, check=False)
    told = host.json("explain", ident)
    why = "it exited with status 3"
    assert told["failures"] == [
        {"id": f"{ident}_{index}", "result": "failed", "reason": why} for index in (8, 9)
    ]
    assert f"  failed          {ident}_8: {why}\n" in host.ostler("explain", ident).stdout
    assert host.json("explain", f"{ident}_9")["reason"] == why
    assert host.json("explain", f"{ident}_1")["reason"] == "it succeeded"


def test_hold_release_and_cancel(host: Host) -> None:
    ident = host.submit("--hold", "--", "true")
    assert host.json("explain", ident)["rule"] == "hold"
    host.ostler("release", ident)
    host.ostler("wait", ident)
    held = host.submit("--hold", "--", "true")
    host.ostler("cancel", held)
    assert host.job(held)["result"] == "cancelled"
    assert host.ostler("wait", held, check=False).returncode == 1


def test_a_suspended_job_stands_still_and_goes_on(host: Host) -> None:
    """R-MAU-15: its processes do nothing until it is resumed."""
    ticks = host.work / "ticks"
    ident = host.submit("--", "sh", "-c", f"while :; do echo x >> {ticks}; sleep 0.02; done")
    eventually("it ticks", lambda: ticks.exists() and ticks.stat().st_size > 4)
    host.ostler("suspend", ident)
    host.wait_for(ident, "suspended")
    before = eventually("it stands still", lambda: _still(ticks))
    host.ostler("resume", ident)
    eventually("it goes on", lambda: ticks.stat().st_size > before)
    host.ostler("cancel", ident)
    host.ostler("wait", ident, check=False)


def _still(path: Path) -> int:
    """Return the size of a file that twenty looks in a row found the same."""
    import time

    sizes = set()
    for _ in range(20):
        sizes.add(path.stat().st_size)
        time.sleep(0.01)
    return sizes.pop() if len(sizes) == 1 else 0


def test_requeue_runs_it_again_as_another_attempt(host: Host) -> None:
    out = host.work / "attempts"
    ident = host.submit("--", "sh", "-c", f"echo run >> {out}")
    host.ostler("wait", ident)
    host.ostler("requeue", ident)
    host.ostler("wait", ident)
    assert out.read_text() == "run\nrun\n"


def test_retries_stop_at_the_first_success(host: Host) -> None:
    script = f"echo x >> {host.work}/tries; [ $(wc -l < {host.work}/tries) -ge 3 ] || exit 75"
    ident = host.submit("--retries", "5", "--retry-on", "75", "--", "sh", "-c", script)
    host.ostler("wait", ident)
    assert (host.work / "tries").read_text().count("x") == 3


def test_modify_changes_what_waits(host: Host) -> None:
    ident = host.submit("--hold", "-c", "1", "--", "true")
    host.ostler("modify", ident, "--name", "renamed", "-c", "2")
    row = host.job(ident)
    assert (row["name"], row["cpus"]) == ("renamed", 2)
    host.ostler("cancel", ident)


def test_a_drained_node_gets_nothing_and_explain_names_it(host: Host) -> None:
    name = host.json("nodes")["nodes"][0]["name"]
    host.ostler("nodes", "drain", name, "--reason", "new disk")
    ident = host.submit("--", "true")
    told = host.json("explain", ident)
    assert told["rule"] == "nodes"
    assert "new disk" in told["reason"] + " ".join(told["blockers"])
    host.ostler("nodes", "undrain", name)
    host.ostler("wait", ident)


def test_rows_have_the_columns_that_format_can_name(host: Host) -> None:
    host.ostler("run", "true")
    host.submit("--hold", "--", "true")
    host.ostler("handlers", "create", "nothing", "event=user/nothing", "command=/bin/true")
    for command in ("jobs --since 1d", "nodes", "acct", "usage", "partitions", "handlers"):
        noun = NOUNS.get(word := command.split()[0], word)
        rows = host.json(*command.split())[noun]
        assert {key for row in rows for key in row} == {*COLUMNS[noun].split()}
    host.ostler("handlers", "remove", "nothing")


def test_history_events_accounting_and_query_tell_the_same_story(host: Host) -> None:
    ident = host.submit("-J", "told", "--", "sh", "-c", "exit 3")
    host.ostler("wait", ident, check=False)
    kinds = [e["kind"] for e in host.json("history", ident)["events"]]
    assert kinds[0] == "job/submitted"
    assert kinds[-1] == "job/ended"
    [row] = [r for r in host.json("acct")["accounting"] if str(r["job"]) == ident]
    assert (row["result"], row["exit_status"]) == ("failed", 3)
    shown = host.ostler(
        "query", f"select result, exit_status from elements where job = {ident}", "--json"
    )
    assert json.loads(shown.stdout)["rows"] == [["failed", 3]]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["job", "999999"], 4),
        (["explain", "999999"], 4),
        (["cancel", "zwölf"], 2),
        (["submit", "--after", "999999", "--", "true"], 4),
        (["query", "delete from jobs"], 3),
        (["query", "select * from nosuch"], 4),
        (["config", "set", "max-cpus-per-usr", "3"], 4),
        (["submit", "-t", "90", "--", "true"], 2),
        (["nodes", "drain", "nosuch", "--reason", "x"], 4),
        (["frobnicate"], 2),
    ],
)
def test_errors_have_a_status_and_one_sentence(host: Host, words: list[str], status: int) -> None:
    done = host.ostler(*words, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_users_limit_refuses_alone_and_waits_beside_others(host: Host) -> None:
    host.ostler("config", "set", "max-cpus-per-user", "2")
    try:
        assert host.ostler("submit", "-c", "3", "--", "true", check=False).returncode == 3
        first = host.submit("-c", "2", "--", "sleep", "1000")
        second = host.submit("-c", "1", "--", "true")
        assert host.json("explain", second)["rule"] == "limit"
        host.ostler("cancel", first, second)
        host.ostler("wait", first, second, check=False)
    finally:
        host.ostler("config", "unset", "max-cpus-per-user")

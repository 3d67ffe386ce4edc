"""Several jobs in one submission, on a real machine."""

from pathlib import Path

import pytest

from tests.e2e.machine_kit import Host

pytestmark = pytest.mark.e2e


def write(host: Host, text: str) -> Path:
    path = host.work / "jobs.toml"
    path.write_text(text)
    return path


def test_a_refused_file_leaves_no_job(host: Host) -> None:
    before = len(host.json("jobs", "--all")["jobs"])
    write(host, "[a]\ncommand = ['true']\n[b]\ncommand = ['true']\nafter = 'a'\ncpus = 10000\n")
    done = host.ostler("submit", "--file", "jobs.toml", check=False)
    assert done.returncode == 3
    assert "refused: job 'b': it asks for 10000 CPUs on one node" in done.stderr
    write(host, "".join(f"[{a}]\ncommand = ['true']\nafter = '{b}'\n" for a, b in ("xy", "yx")))
    done = host.ostler("submit", "--file", "jobs.toml", check=False)
    assert done.returncode == 2
    assert "2 jobs wait for each other: 'x' after 'y' after 'x'" in done.stderr
    assert len(host.json("jobs", "--all")["jobs"]) == before


def test_a_thousand_jobs_are_queued_and_run_in_their_order(host: Host) -> None:
    text = "[j0]\ncommand = ['true']\nhold = true\n"
    for n in range(1, 1000):
        text += f"[j{n}]\ncommand = ['true']\noutput = '/dev/null'\nafter = ['j{n // 2}', 'j0']\n"
    write(host, text)
    rows = host.json("submit", "--file", "jobs.toml")["jobs"]
    assert [row["name"] for row in rows] == [f"j{n}" for n in range(1000)]
    first, last = rows[0]["id"], rows[-1]["id"]
    assert host.json("explain", last)["rule"] == "dependency"
    shown = host.json("jobs", "--tree")
    assert len({e["to"] for e in shown["edges"] if e["from"] == first}) == 999
    host.ostler("cancel", first)
    host.ostler("wait", last, check=False)
    told = host.job(last)
    assert (told["result"], told["after"]) == ("dependency", f"{rows[499]['id']},{first}")
    assert "and was to succeed first" in told["reason"]


def test_elements_follow_their_own_while_others_still_run(host: Host) -> None:
    gate = host.work / "gate"
    wait = f"[ $OSTLER_ELEMENT = 0 ] || while [ ! -e {gate} ]; do sleep 0.02; done"
    first = host.submit("--array", "0-2", "-o", "/dev/null", "--", "sh", "-c", wait)
    words = ("--array", "0-2", "--after", f"{first}:each", "-o", "/dev/null")
    second = host.submit(*words, "--", "sh", "-c", "exit $OSTLER_ELEMENT")
    host.ostler("wait", f"{second}_0")
    told = host.json("explain", f"{second}_2")
    assert (told["rule"], told["blockers"]) == ("dependency", [f"{first}_2"])
    gate.touch()
    host.ostler("wait", first, second, check=False)
    assert host.job(second)["elements_by_result"] == {"success": 1, "failed": 2}


def test_what_is_tied_outlives_the_manager(own_host: Host) -> None:
    host = own_host
    gate = host.work / "gate"
    wait = f"[ $OSTLER_ELEMENT = 0 ] || while [ ! -e {gate} ]; do sleep 0.02; done"
    wait += "; exit $((OSTLER_ELEMENT == 1))"
    first = host.submit("--array", "0-2", "-o", "/dev/null", "--", "sh", "-c", wait)
    words = ("--array", "0-2", "--after", f"{first}:each", "-o", "/dev/null")
    second = host.submit(*words, "--", "true")
    host.ostler("wait", f"{second}_0")
    host.kill("manager")
    assert host.json("explain", f"{second}_2")["blockers"] == [f"{first}_2"]
    gate.touch()
    host.ostler("wait", first, second, check=False)
    assert host.job(second)["elements_by_result"] == {"success": 2, "dependency": 1}

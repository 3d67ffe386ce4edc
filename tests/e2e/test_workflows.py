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

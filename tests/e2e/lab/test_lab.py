"""A lab of three nodes: what befalls a node is what the machine sees, and no work is lost by it."""

import json
import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ostler.wire.supervise import process_start
from tests.e2e.gated import Gated
from tests.e2e.lab.kit import InLab, lab
from tests.e2e.lab.wiki_planner import planning
from tests.e2e.machine_kit import OSTLER, eventually, names

FEATURES = ("--features", "n[01-02]=a100", "--features", "n03=a100,old")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InLab]:
    """Run one lab for all tests, which leave it as they found it."""
    with lab(tmp_path_factory.mktemp("lab"), 3, *FEATURES) as found:
        yield found


def test_every_task_knows_its_node_and_an_array_takes_all_cpus_of_all_nodes(three: InLab) -> None:
    out = three.work / "array"
    out.mkdir()
    script = f"echo $OSTLER_NODE >{out}/$OSTLER_ELEMENT; until [ -e {out}/go ]; do sleep 0.05; done"
    ident = three.submit("--array", "0-11", "-o", "/dev/null", "--", "sh", "-c", script)
    eventually("all twelve run at once", lambda: len(list(out.iterdir())) == 12)
    where = Counter(path.read_text().strip() for path in out.iterdir())
    (out / "go").touch()
    assert three.wait_for(ident, "done")["result"] == "success"
    assert where == {"n01": 4, "n02": 4, "n03": 4}


def test_a_job_of_three_nodes_runs_on_each_and_its_output_is_here(three: InLab) -> None:
    script = "echo $OSTLER_NODE $OSTLER_RANK"
    done = three.ostler("run", "-N", "3", "-n", "6", "sh", "-c", script)
    ranks = sorted(done.stdout.splitlines())
    assert ranks == ["n01 0", "n01 1", "n02 2", "n02 3", "n03 4", "n03 5"]


def test_a_context_is_one_on_all_its_nodes_and_gone_with_the_job(three: InLab) -> None:
    """R-RMS-19 and 22: the same members and key everywhere, for its owner alone."""
    out = three.work / "contexts"
    out.mkdir()
    script = (
        f"cat $OSTLER_CONTEXT >{out}/$OSTLER_RANK; stat -c %a.%u $OSTLER_CONTEXT >>{out}/$OSTLER_RANK;"
        f" touch {out}/$OSTLER_RANK.is; until [ -e {out}/go ]; do sleep 0.05; done"
    )
    ident = three.submit("-N", "3", "-n", "3", "-o", "/dev/null", "--", "sh", "-c", script)
    eventually("all three run", lambda: len(list(out.glob("*.is"))) == 3)
    told = three.json("contexts")
    seen = {(out / str(rank)).read_text() for rank in range(3)}
    (out / "go").touch()
    assert three.wait_for(ident, "done")["result"] == "success"
    (text,) = seen
    context, mode = text.splitlines()
    found = json.loads(context)
    assert mode == f"400.{os.getuid()}"
    assert (found["job"], found["members"], len(found["key"])) == (ident, ["n01", "n02", "n03"], 64)
    rows = [(row["context"], row["node"], row["phase"], row["job"]) for row in told["contexts"]]
    assert rows == [(found["context"], n, "started", ident) for n in ("n01", "n02", "n03")]
    assert three.json("contexts") == {"contexts": [], "silent": []}
    kinds = [row["kind"] for row in three.json("history", ident)["events"]]
    assert kinds == [
        *("job/submitted", "allocation/granted", "job/starting"),
        *("context/created", "context/created", "context/created", "allocation/ready"),
        *("job/running", "job/ended"),
    ]


def test_an_allocation_that_is_held_grows_and_shrinks_and_its_command_is_told(three: InLab) -> None:
    out = three.work / "resized"
    out.mkdir()
    run = f"{OSTLER} run -n 3 sh -c 'echo $OSTLER_NODE >>{out}/nodes'"
    script = f"trap 'touch {out}/told' WINCH; touch {out}/on; until [ -e {out}/told ]; do sleep 0.05; done; {run}"
    words = [OSTLER, "--state", str(three.state), "alloc", "-N", "1", "sh", "-c", script]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=three.work) as client:
        eventually("it is held", (out / "on").exists)
        ident = three.json("jobs")["jobs"][-1]["id"]
        assert three.ostler("modify", ident, "--nodes", "3").returncode == 0
        _, told = client.communicate()
    assert client.returncode == 0
    assert sorted((out / "nodes").read_text().split()) == ["n01", "n02", "n03"]
    assert f"job {ident} was resized: it was given " in told


def test_a_job_whose_tasks_run_grows_and_shrinks_and_its_tasks_are_told(three: InLab) -> None:
    """R-MAU-17: the notice is SIGWINCH, and the context read anew."""
    out = three.work / "grown"
    out.mkdir()
    script = (
        f"trap 'cp -f $OSTLER_CONTEXT {out}/seen-$OSTLER_RANK' WINCH; touch {out}/$OSTLER_RANK;"
        f" until [ -e {out}/go ]; do sleep 0.05; done"
    )
    ident = three.submit("-N", "2", "-n", "2", "-o", "/dev/null", "--", "sh", "-c", script)
    eventually("both run", lambda: (out / "0").exists() and (out / "1").exists())
    three.wait_for(ident, "running")
    three.ostler("modify", ident, "--nodes", "3")
    eventually("the third runs", (out / "2").exists)
    seen = eventually("the first is told", lambda: _members(out / "seen-0"))
    assert seen == ["n01", "n02", "n03"]
    refused = three.ostler("modify", ident, "--nodes", "1", check=False)
    assert (refused.returncode, "tasks of job" in refused.stderr) == (5, True)
    three.ostler("modify", ident, "--nodes", "1", "--end-tasks")
    eventually("two are gone", lambda: three.job(ident)["allocation_nodes"] == ["n01"])
    eventually("the first is told again", lambda: _members(out / "seen-0") == ["n01"])
    (out / "go").touch()
    assert three.wait_for(ident, "done")["result"] == "success"
    rows = three.json("acct", "--job", ident)["accounting"]
    assert [row["result"] for row in rows][-1] == "success"
    assert {row["result"] for row in rows[:-1]} == {"resized"}


def _members(path: Path) -> list[str]:
    """Return the members in a copy of a context; none while it is being written."""
    try:
        found: list[str] = json.loads(path.read_text())["members"]
    except (OSError, ValueError):
        return []
    return found


def test_users_of_a_lab_are_held_to_the_rules(three: InLab) -> None:
    """R-RMS-12, 13, 17: in a partition of its own."""
    words = ("submit", "-q", "-o", "/dev/null", "-p", "own", "--", "true")
    three.ostler("partitions", "create", "own", "n03")
    done = three.ostler("access", "allow", "own", "--user", "ann", "--max-cpus", "2")
    assert done.stderr == ""  # the host knows no ann, and the lab does
    ident = three.ostler("--as", "ann", *words).stdout.strip()
    three.ostler("wait", ident)
    for who, more, status, why in (
        ("bob", (), 3, "bob may not use partition own (open to bob: main)"),
        ("ann", ("-n", "3"), 3, "user ann in partition own may hold 2; ask for 2 or fewer"),
        ("eve", (), 3, "nobody can be 'eve' on this machine (test identities: ann, bob)"),
    ):
        done = three.ostler("--as", who, "submit", *more, *words[1:], check=False)
        assert (done.returncode, why in done.stderr) == (status, True), done.stderr
    denied = three.ostler("--as", "ann", "config", "set", "max-age", "1d", check=False)
    assert denied.returncode == 3
    assert '"user": "ann"' in three.ostler("jobs", "--user", "ann", "--all", "--json").stdout
    three.ostler("access", "allow", "own", "--kind", "parallel")
    shell = three.ostler("run", "-p", "own", "--kind", "shell", "--", "true", check=False)
    assert shell.returncode == 3
    three.ostler("run", "-p", "own", "-n", "4", "--", "true")
    three.ostler("partitions", "remove", "own")


def test_what_may_be_a_slip_is_told_and_done(three: InLab) -> None:
    done = three.ostler("partitions", "set", "main", "nodes=n01", check=False)
    assert (done.returncode, "ostler partitions set main 'n[01-04]'" in done.stderr) == (2, True)
    done = three.ostler("reservations", "create", "far", "n[02-05]", "duration=1h")
    assert done.stderr == (
        "ostler: no node is named n[04-05] now: until one is, that is about none\n"
    )
    three.ostler("reservations", "remove", "far")
    done = three.ostler("config", "set", "prolog", "/no/such")
    assert "prolog: /no/such is no program on this host: if nodes have none eit" in done.stderr
    assert three.ostler("config", "set", "prolog", "none").stderr == ""
    assert three.ostler("config", "effective", "prolog").stdout == "- (default)\n"
    done = three.ostler("handlers", "create", "h", "event=user", "command=/no/such -v")
    assert "command: /no/such is no program on this host" in done.stderr
    three.ostler("handlers", "remove", "h")
    assert three.ostler("scheduler", "add", "s", "/usr/bin/env python3 plan.py").stderr == ""
    three.ostler("scheduler", "remove", "s")


def test_tasks_per_node_and_ranks_in_turns(three: InLab) -> None:
    script = "echo $OSTLER_NODE $OSTLER_RANK"
    done = three.ostler("run", "-n", "5", "--tasks-per-node", "2", "sh", "-c", script)
    assert sorted(Counter(line.split()[0] for line in done.stdout.splitlines()).values()) == [
        1,
        2,
        2,
    ]
    words = ("-N", "3", "--tasks-per-node", "2", "--distribution", "cyclic", "--verbose")
    done = three.ostler("run", *words, "-c", "2", "sh", "-c", script)
    ranks = sorted(done.stdout.splitlines(), key=lambda line: int(line.split()[1]))
    assert ranks == ["n01 0", "n02 1", "n03 2", "n01 3", "n02 4", "n03 5"]
    told = sorted(line for line in done.stderr.splitlines() if " rank " in line)
    assert told[0] == "ostler: rank 0 on n01: CPUs 0,1, memory without a limit"
    assert told[3] == "ostler: rank 3 on n01: CPUs 2,3, memory without a limit"
    assert len(told) == 6
    words = ("-N", "3", "--tasks-per-node", "2", "--distribution", "cyclic", "--label")
    done = three.ostler("run", *words, "sh", "-c", script)
    ranks = sorted(done.stdout.splitlines(), key=lambda line: int(line.split()[2]))
    assert ranks == [f"{n}: n0{n % 3 + 1} {n}" for n in range(6)]


def test_a_job_runs_on_nodes_like_those_that_it_asks_for(three: InLab) -> None:
    assert [row["features"] for row in three.nodes().values()] == [["a100"]] * 2 + [["a100", "old"]]
    where = ("sh", "-c", "echo $OSTLER_NODE")
    assert three.ostler("run", "-C", "a100 & old", *where).stdout == "n03\n"
    whole = ("--exclusive", "-C", "[old*1&!old*1]", "-w", "n[02-03]")
    two = three.ostler("run", *whole, *where)
    assert sorted(two.stdout.split()) == ["n02", "n03"]
    done = three.ostler("run", "-C", "b200", *where, check=False)
    assert done.returncode == 3
    assert "no node of partition 'main' has the feature b200 (features there: a100" in done.stderr
    three.ostler("nodes", "features", "n01", "b200")
    three.ostler("nodes", "drain", "n01")
    ident = three.submit("-C", "b200", "--", *where)
    assert "n01" in three.json("explain", ident)["reason"]
    three.ostler("nodes", "undrain", "n01")
    assert three.wait_for(ident, "done")["result"] == "success"
    three.ostler("nodes", "features", "n01", "--reset")
    assert three.nodes()["n01"]["features"] == ["a100"]


def test_a_whole_node_is_one_job_s_and_its_tasks_share_it(three: InLab) -> None:
    script = "echo $OSTLER_NODE $OSTLER_CPU_LIST"
    done = three.ostler("run", "--exclusive", "-w", "n02", "-n", "2", "sh", "-c", script)
    assert sorted(done.stdout.splitlines()) == ["n02 0,1", "n02 2,3"]


def test_the_first_task_that_fails_ends_those_of_other_nodes(three: InLab) -> None:
    script = "[ $OSTLER_RANK = 3 ] && exit 7; exec sleep 1000"
    words = ("-N", "3", "--tasks-per-node", "2", "--kill-on-bad-exit")
    done = three.ostler("run", *words, "sh", "-c", script, check=False)
    assert done.returncode == 7
    assert "rank 3 on n02 ended with status 7, and with it the others" in done.stderr


def test_run_finds_its_node_from_outside_and_from_within_a_job(three: InLab) -> None:
    assert three.ostler("run", "-w", "n03", "cat", stdin="hello\n").stdout == "hello\n"
    inner = ["-w", "n02", "printenv", "OSTLER_NODE"]
    assert three.ostler("run", "-w", "n01", OSTLER, "run", *inner).stdout == "n02\n"


def test_what_runs_goes_on_when_agent_and_supervisor_are_killed(three: InLab) -> None:
    job = Gated(three, "killed", 0, "-w", "n02").running()
    three.verb("kill", "n02")
    assert three.await_status("n02", "no_agent")["unknown_since"]
    assert three.members()["n02"]["does"] == "killed"
    job.open()
    assert three.job(job.id)["state"] == "running"
    three.verb("start", "n02")
    assert job.ended() == ("success", 0)
    assert len(job.pids) == 1
    assert three.nodes()["n02"]["status"] == "running"


def test_a_crash_ends_all_on_the_node_and_is_another_boot(three: InLab) -> None:
    more = "setsid sh -c 'echo $$ >>crashed.ran; exec sleep 1000' &"
    job = Gated(three, "crashed", 0, "-w", "n03", more=more).running()
    eventually("its child has left the session", lambda: len(job.pids) == 2)
    boot = three.nodes()["n03"]["boot_id"]
    three.verb("crash", "n03")
    assert not any(map(process_start, job.pids))
    three.await_status("n03", "unreachable")
    three.verb("start", "n03")
    row = three.wait_for(job.id, "done")
    assert (row["result"], "started anew" in row["reason"]) == ("lost", True)
    assert three.nodes()["n03"]["boot_id"] != boot
    host = json.loads((three.state.parent / "n03" / "host.json").read_text())
    told = three.json("status")["processes"]
    assert told["agent"] is None  # of three there is not one, and no host is told for it
    os.kill(host["pid"], signal.SIGKILL)
    three.await_status("n03", "unreachable")
    three.verb("start", "n03")
    three.await_status("n03", "running")


def test_a_node_that_is_cut_or_frozen_is_silent_and_nothing_of_it_is_lost(three: InLab) -> None:
    cut = Gated(three, "cut", 3, "-w", "n01").running()
    frozen = Gated(three, "frozen", 4, "-w", "n02").running()
    three.verb("cut", "n01")
    three.verb("freeze", "n02")
    members = three.members()
    assert (members["n01"]["does"], members["n01"]["line"]) == ("runs", "cut")
    assert members["n02"]["does"] == "frozen"
    cut.open()
    three.await_status("n01", "unreachable")
    three.await_status("n02", "no_agent")
    eventually("its record is old", lambda: three.nodes()["n01"]["age_seconds"] > 2)
    assert three.job(cut.id)["state"] == three.job(frozen.id)["state"] == "running"
    frozen.open()
    three.verb("heal", "n01")
    three.verb("thaw", "n02")
    assert (cut.ended(), frozen.ended()) == (("failed", 3), ("failed", 4))
    assert (len(cut.pids), len(frozen.pids)) == (1, 1)
    for node, silent in (("n01", "unreachable"), ("n02", "no_agent")):
        three.await_status(node, "running")
        moves = changes(three, node)
        assert all(one[1] == two[0] for one, two in pairwise(moves))
        assert ["running", silent] in moves
        assert moves[-1][1] == "running"


def changes(machine: InLab, node: str) -> list[list[str]]:
    """Return each change of a node's status as it was and as it became."""
    rows = machine.json("events", "--limit", "1000")["events"]
    mine = [row for row in rows if row["kind"] == "node/status" and row["node"] == node]
    return [row["text"].split(" -> ") for row in mine]


def test_what_is_known_of_nodes_is_fresh_in_queries_and_looks_come_as_often_as_is_set(
    three: InLab,
) -> None:
    words = "select name, status, checked_at, last_update from nodes"
    for node in ("n01", "n02", "n03"):
        three.await_status(node, "running")
    eventually("all were looked at", lambda: _looked_at(three.json("query", words)))
    before = three.json("query", words)["rows"]
    assert [row[0] for row in before] == ["n01", "n02", "n03"]
    eventually("all were looked at again", lambda: _fresher(before, three.json("query", words)))
    eventually("it is written down, too", lambda: all(row[2] > 0 for row in _stored(three)))
    key = "node-status-poll-interval"
    assert three.ostler("config", "effective", key).stdout == "1\n"
    three.ostler("config", "set", key, "0")
    assert three.ostler("config", "effective", key).stdout == "60 (default)\n"
    three.ostler("config", "set", "rms-poll-interval", "7")
    assert three.ostler("config", "effective", key).stdout == "7 (poll-interval)\n"
    three.ostler("config", "set", key, "1")


def _stored(machine: InLab) -> list[tuple[Any, ...]]:
    """Return what the file itself has, to which nothing is added that is only in memory."""
    with closing(sqlite3.connect(f"file:{machine.state}/ostler.db?mode=ro", uri=True)) as conn:
        words = "SELECT coalesce(checked_at, 0), coalesce(last_update, 0), coalesce(agent_pid, 0)"
        return conn.execute(f"{words} FROM nodes").fetchall()


def _looked_at(found: dict[str, Any]) -> bool:
    return all(None not in row for row in found["rows"])


def _fresher(before: list[list[Any]], found: dict[str, Any]) -> bool:
    pairs = zip(before, found["rows"], strict=True)
    return all(new[2] > old[2] and new[3] > old[3] for old, new in pairs)


def test_a_load_is_reported_as_told(three: InLab) -> None:
    three.verb("load", "n[02-03]", "4.25")
    eventually("n03 says so", lambda: three.nodes()["n03"]["load"] == 4.25)
    eventually("n02 says so", lambda: three.nodes()["n02"]["load"] == 4.25)


def test_the_manager_can_be_killed_and_started(three: InLab) -> None:
    job = Gated(three, "steady").running()
    three.verb("kill", "manager")
    done = three.ostler("jobs", check=False)
    assert (done.returncode, "`ostler lab start manager` starts it" in done.stderr) == (5, True)
    job.open()
    three.verb("start", "manager")
    assert job.ended() == ("success", 0)


def test_a_wiki_scheduler_plans_and_is_stood_in_for_when_it_stops(three: InLab) -> None:
    three.ostler("config", "set", "wiki-silence", "1")
    with planning(three) as planner:
        single = three.submit("-n", "3", "-o", "/dev/null", "--", "true")
        array = three.submit("--array", "0-5", "-o", "/dev/null", "--", "true")
        for ident in (single, array):
            assert three.wait_for(ident, "done")["result"] == "success"
        assert sorted(planner.started) == sorted([single, *(f"{array}_{i}" for i in range(6))])
        assert not planner.refused
    last = three.submit("-o", "/dev/null", "--", "true")
    assert three.wait_for(last, "done")["result"] == "success"
    assert "it has not been heard for 1 s" in three.ostler("events").stdout
    three.ostler("partitions", "set", "main", "scheduler=none")
    for key in ("wiki-port", "wiki-silence"):
        three.ostler("config", "unset", key)


def test_what_cannot_be_is_told_by_the_exit_status(three: InLab, tmp_path: Path) -> None:
    assert three.verb("up", "-m", "2", check=False).returncode == 6
    assert three.verb("cut", "manager", check=False).returncode == 6
    assert three.verb("kill", "n04", check=False).returncode == 4
    assert three.verb("load", "n01", "much", check=False).returncode == 2
    again = three.verb("up", check=False)
    assert (again.returncode, "a lab is up" in again.stderr) == (3, True)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "mine").touch()
    stranger = InLab(tmp_path)
    assert stranger.verb("status", check=False).returncode == 5
    assert stranger.verb("up", check=False).returncode == 3
    assert (tmp_path / "lab" / "mine").exists()


def test_down_leaves_nothing_running_and_up_begins_anew(tmp_path: Path) -> None:
    with lab(tmp_path, 1, "--cpus", "2", "--memory", "1G") as one:
        # It gives up its session, its parent and its environment: only the host is above it.
        orphan = f"env -i setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 1000' & sleep 1000"
        one.submit("-o", "/dev/null", "--", "sh", "-c", orphan)
        pid = eventually("it runs", lambda: _number(tmp_path / "pid"))
        one.verb("kill", "n01")
        one.verb("down")
        assert not process_start(pid)
        left = [p.name for p in Path("/proc").iterdir() if p.name.isdigit()]
        assert not [p for p in left if names(Path("/proc") / p, Path(one.lab.folder))]
        assert {row["does"] for row in one.members().values()} == {"down"}
        assert "n01 is down" in one.verb("cut", "n01", check=False).stderr
        one.verb("up", "-n", "2")
        lines = one.verb("env").stdout
        told = subprocess.run(
            ["sh", "-c", f"{lines}\n{OSTLER} nodes --format name,cpus -q; {OSTLER} jobs -q"],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.split() == ["n01", "4", "n02", "4"]


def _number(path: Path) -> int:
    text = path.read_text() if path.exists() else ""
    return int(text) if text.endswith("\n") else 0

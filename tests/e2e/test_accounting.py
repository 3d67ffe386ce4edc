"""What is accounted is what the kernel counted for the very processes."""

import json
from pathlib import Path

import pytest

from tests.e2e.machine_kit import Host, eventually

pytestmark = pytest.mark.e2e

# Burns CPU time in itself and in a child, writes and reads, and says what the kernel says of both.
PROGRAM = """
import json, os, resource, sys, time
def burn(seconds):
    while time.process_time() < seconds:
        sum(i * i for i in range(1000))
path = sys.argv[1]
child = os.fork()
if child == 0:
    burn(0.2)
    os._exit(0)
os.waitpid(child, 0)
burn(0.3)
block = bytearray(30 << 20)
with open(path, "wb", buffering=0) as file:
    file.write(bytes(4 << 20))
    os.fsync(file.fileno())
both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
told = {
    "cpu_user_seconds": sum(u.ru_utime for u in both),
    "cpu_system_seconds": sum(u.ru_stime for u in both),
    "max_rss": max(u.ru_maxrss for u in both) * 1024,
    "written_bytes": sum(u.ru_oublock for u in both) * 512,
}
print(json.dumps(told))
"""


def test_an_attempts_row_is_what_the_kernel_counted(host: Host, tmp_path: Path) -> None:
    output = tmp_path / "told"
    argv = ("python3", "-c", PROGRAM, str(tmp_path / "data"))
    ident = host.submit("-o", str(output), "-n", "1", "--", *argv)
    host.ostler("wait", ident)
    told = json.loads(output.read_text())
    [row] = host.json("acct", "--job", ident)["accounting"]
    # What it used before it asked is in the row; afterwards comes little but its exit.
    for key in ("cpu_user_seconds", "cpu_system_seconds"):
        assert told[key] - 0.001 <= row[key] <= told[key] + 0.2
    assert told["max_rss"] <= row["max_rss"] <= told["max_rss"] + (8 << 20)
    assert row["written_bytes"] >= told["written_bytes"]
    [used] = host.json("usage", "--period", "today")["usage"]
    assert used["used_cpu_seconds"] >= told["cpu_user_seconds"]
    assert used["jobs"] >= 1


def test_jobs_older_than_their_lifetime_are_found_in_an_archive(own_host: Host) -> None:
    old = own_host.submit("-J", "ancient", "--", "true")
    own_host.ostler("wait", old)
    newest = own_host.submit("--", "true")
    own_host.ostler("wait", newest)
    own_host.ostler("config", "set", "jobs-lifetime", "1s")
    eventually("it has moved", lambda: "archive" in own_host.json("job", old)["jobs"][0])
    job = own_host.json("job", old)["jobs"][0]
    assert (job["name"], job["result"]) == ("ancient", "success")
    assert job["element_rows"][0]["exit_status"] == 0
    story = own_host.json("history", old)
    assert story["archive"] == job["archive"]
    kinds = [event["kind"] for event in story["events"]]
    assert (kinds[0], kinds[-1]) == ("job/submitted", "job/ended")
    told = own_host.ostler("cancel", old, check=False)
    assert (told.returncode, "was moved to an archive" in told.stderr) == (4, True)
    nowhere = own_host.ostler("query", "--archive", "x", "select 1", check=False)
    assert nowhere.returncode == 4
    [month] = nowhere.stderr.partition("archives: ")[2].strip(")\n").split(", ")
    assert month == job["archive"]
    sql = f"select name, state from jobs where id = {old}"
    eventually(  # the rows themselves go a little later
        "its row has gone", lambda: own_host.json("query", sql)["rows"] == []
    )
    assert own_host.json("query", "--archive", month, sql)["rows"] == [["ancient", "done"]]
    assert [r["job"] for r in own_host.json("acct", "--job", old)["accounting"]] == [old]

"""Events on a real machine: posted, waited for, read to the last one."""

import json

from tests.e2e.machine_kit import Host


def test_events_are_posted_waited_for_and_read_on_where_it_was_left(host: Host) -> None:
    """R-RMS-8: a subscriber that was away resumes at its last acknowledged serial without a gap."""
    assert host.ostler("events", "--subscribe", "mirror").stdout == ""
    first = int(host.ostler("events", "post", "user/a", "home", "one").stdout)
    row = host.json("events", "wait", "user/a", "--after", str(first - 1), "--object", "ho*")
    assert (row["serial"], row["object"], row["text"]) == (first, "home", "one")
    late = host.ostler("events", "wait", "user/b", "--timeout", "0s", check=False)
    assert (late.returncode, late.stdout) == (5, "")
    host.kill("manager")
    second = int(host.ostler("events", "post", "user/b", "two").stdout)
    told = host.ostler("events", "--subscribe", "mirror", "--json").stdout
    read = [json.loads(line)["serial"] for line in told.splitlines()]
    assert read == list(range(first, second + 1))
    assert host.ostler("events", "--subscribe", "mirror").stdout == ""
    assert "two" in host.ostler("events", "user/b", "--limit", "1").stdout
    host.ostler("events", "forget", "mirror")

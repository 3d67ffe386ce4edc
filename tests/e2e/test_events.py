"""Events on a real machine: posted, waited for, read to the last one."""

import json

from tests.e2e.machine_kit import Host, eventually
from tests.e2e.sinks import http_sink, smtp_sink


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
    assert read == list(range(read[0], second + 1))
    assert read[0] <= first
    later = host.ostler("events", "--subscribe", "mirror", "--json").stdout
    assert all(json.loads(line)["serial"] > second for line in later.splitlines())
    assert "two" in host.ostler("events", "user/b", "--limit", "1").stdout
    host.ostler("events", "forget", "mirror")


def test_a_user_is_told_by_mail_and_webhook(host: Host) -> None:
    with smtp_sink() as mails, http_sink() as posts:
        host.ostler("config", "set", "smtp-host", f"127.0.0.1:{mails.port}")
        (host.work / "url").write_text(f"http://127.0.0.1:{posts.port}/hook?secret\n")
        options = ("--mail", "end", "--mail-to", "ann@example.org", "--notify", "@url")
        ident = host.submit(*options, "--array", "0-2", "--", "false")
        mail = mails.next()
        told = [posts.next() for _ in range(2)]
        host.ostler("config", "unset", "smtp-host")
    assert (mail["To"], mail["Auto-Submitted"]) == ("ann@example.org", "auto-generated")
    assert mail["Subject"].startswith(f"job {ident} (false): failed")
    assert b"  failed:    3\r\n" in mail.get_payload(decode=True)
    assert [path for path, _ in told] == ["/hook?secret"] * 2
    assert [(row["moment"], row["job"], row["result"]) for _, row in told] == [
        *(("begin", ident, None), ("end", ident, "failed"))
    ]
    rows = host.json("query", "select * from handled where state = 'done' order by first")
    assert "notice" not in rows["columns"]
    assert "secret" not in str(rows) + host.logs()


def test_handlers_that_hang_crash_or_flood_escalate_and_hold_up_nobody(host: Host) -> None:
    seen = host.work / "escalations"
    boss = host.work / "boss"
    reads = "grep -q '^{\"event\":'"  # what it can read is the event from its first sign on
    boss.write_text(f'#!/bin/sh\necho "$4: $5" >> {seen}\n{reads} && ostler jobs -q\n')
    boss.chmod(0o755)
    programs = {
        "sleeper": "/bin/sh -c 'sleep 1000'",
        "crasher": "/bin/sh -c 'kill -SEGV $$'",
        "flooder": "/bin/sh -c 'head -c 1G /dev/zero'",
    }
    for name, command in programs.items():
        timeout = "1s" if name == "sleeper" else "10m"
        words = (f"command={command}", "event=user/fire", f"timeout={timeout}")
        host.ostler("handlers", "create", name, *words)
    host.ostler("handlers", "create", "boss", f"command={boss}", "event=event/escalation")
    serial = int(host.ostler("events", "post", "user/fire", "hall", "smoke").stdout)
    ident = host.submit("-o", "/dev/null", "--", "true")  # meanwhile all goes on
    host.ostler("wait", ident)
    eventually(
        "each has escalated", lambda: seen.exists() and len(seen.read_text().split("\n")) > 3
    )
    told = sorted(seen.read_text().splitlines())
    text = f"did not complete for event {serial} (user/fire hall): it was"
    assert told == [
        f"escalation: crasher {text} ended by signal 11",
        f"escalation: flooder {text} killed: it wrote more than 1 MiB",
        f"escalation: sleeper {text} killed: it took more than 1 s",
    ]
    eventually("all is done", lambda: not host.json("events", "handled", "--unfinished")["handled"])
    rows = {row["handler"]: row for row in host.json("events", "handled")["handled"]}
    assert [rows[name]["result"] for name in programs] == ["late", "failed", "failed"]
    assert (rows["boss"]["result"], rows["crasher"]["exit_status"]) == ("success", 139)
    for name in (*programs, "boss"):
        host.ostler("handlers", "remove", name)
